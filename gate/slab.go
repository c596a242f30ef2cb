package gate

import "sync/atomic"

// slab keeps many values of one small type in large pieces. Values never move, and where T has no pointer the garbage
// collector has nothing to walk through, however many there are. It takes no lock: at may be called at any time, the others not
// at the same.
type slab[T any] struct {
	pieces atomic.Pointer[[][]T]
	free   []uint32 // places that hold nothing
}

// slabPiece makes pieces of entries and of meters that fill whole pages of 8 KiB: with 256 an eighth was lost.
const slabPiece = 1024

// at is the value at a place that take gave.
func (s *slab[T]) at(place uint32) *T { return &(*s.pieces.Load())[place/slabPiece][place%slabPiece] }

// take gives a place for a value; none is 0. What was there before is still there.
func (s *slab[T]) take() uint32 {
	if len(s.free) == 0 {
		var pieces [][]T
		if known := s.pieces.Load(); known != nil {
			pieces = *known
		}
		begin := uint32(len(pieces)) * slabPiece
		pieces = append(pieces, make([]T, slabPiece))
		s.pieces.Store(&pieces)
		for place := begin + slabPiece - 1; place > begin; place-- {
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

// give takes a place back.
func (s *slab[T]) give(place uint32) { s.free = append(s.free, place) }
