package gate

// slab keeps many values of one small type in large pieces. Values never move, and where T has no pointer the garbage
// collector has nothing to walk through, however many there are. It takes no lock.
type slab[T any] struct {
	pieces [][]T
	free   []uint32 // places that hold nothing
}

// slabPiece makes pieces of entries and of meters that fill whole pages of 8 KiB: with 256 an eighth was lost.
const slabPiece = 1024

func (s *slab[T]) at(place uint32) *T { return &s.pieces[place/slabPiece][place%slabPiece] }

// take gives a place for a value. What was there before is still there.
func (s *slab[T]) take() uint32 {
	if len(s.free) == 0 {
		begin := uint32(len(s.pieces)) * slabPiece
		s.pieces = append(s.pieces, make([]T, slabPiece))
		for place := begin + slabPiece; place > begin; place-- {
			s.free = append(s.free, place-1)
		}
	}
	last := len(s.free) - 1
	place := s.free[last]
	s.free = s.free[:last]
	return place
}

// give takes a place back.
func (s *slab[T]) give(place uint32) { s.free = append(s.free, place) }
