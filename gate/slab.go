package gate

import "sync/atomic"

// slab allocates values of one small type in large chunks, at numbered places. Values never move. If T has no
// pointers, the garbage collector does not scan them. It takes no lock: at may be called at any time, but alloc and
// release only by one goroutine at a time.
type slab[T any] struct {
	chunks atomic.Pointer[[][]T]
	free   []uint32 // unused places
}

// slabChunk is the number of values in a chunk. With 1024, chunks of entries and of meters fill whole pages of 8 KiB;
// with 256 an eighth of the memory was lost.
const slabChunk = 1024

// at returns the value at a place that alloc returned.
func (s *slab[T]) at(place uint32) *T { return &(*s.chunks.Load())[place/slabChunk][place%slabChunk] }

// alloc returns an unused place, which is never 0. The value is not zeroed: it is what was last stored there.
func (s *slab[T]) alloc() uint32 {
	if len(s.free) == 0 {
		var chunks [][]T
		if known := s.chunks.Load(); known != nil {
			chunks = *known
		}
		begin := uint32(len(chunks)) * slabChunk
		chunks = append(chunks, make([]T, slabChunk))
		s.chunks.Store(&chunks)
		for place := begin + slabChunk - 1; place > begin; place-- {
			s.free = append(s.free, place)
		}
		if begin > 0 {
			s.free = append(s.free, begin)
		}
	}
	last := len(s.free) - 1
	place := s.free[last]
	s.free = s.free[:last]
	return place
}

// release makes a place unused.
func (s *slab[T]) release(place uint32) { s.free = append(s.free, place) }
