package gate

// index finds the places of entries and meters by numbers that are as good as random in their lower bits. All that a look needs is
// in one line of memory mostly, where Go's map takes three: with a million keys no cache holds them. It takes no lock.
type index struct {
	slots []slot // a power of two, at most three quarters of them used; a number is in the first that was free from its own on
	used  int
	hand  int // where any looked last
}

type slot struct {
	number       uint64
	entry, meter uint32 // places; the slot is free where entry is 0
}

const firstSlots = 16

// get gives the places of a number; 0 where it is not known.
func (x *index) get(number uint64) (entry, meter uint32) {
	if x.used == 0 {
		return 0, 0
	}
	s := &x.slots[x.find(number)]
	return s.entry, s.meter
}

// find gives the slot of a number, or the free one where it would go.
func (x *index) find(number uint64) int {
	mask := len(x.slots) - 1
	at := int(number) & mask
	for x.slots[at].entry != 0 && x.slots[at].number != number {
		at = (at + 1) & mask
	}
	return at
}

// put sets the places of a number.
func (x *index) put(number uint64, entry, meter uint32) {
	if 4*(x.used+1) > 3*len(x.slots) {
		x.grow()
	}
	s := &x.slots[x.find(number)]
	if s.entry == 0 {
		x.used++
	}
	*s = slot{number, entry, meter}
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, max(firstSlots, 2*len(old)))
	for _, s := range old {
		if s.entry != 0 {
			x.slots[x.find(s.number)] = s
		}
	}
}

// drop forgets a number.
func (x *index) drop(number uint64) {
	if x.used == 0 {
		return
	}
	free := x.find(number)
	if x.slots[free].entry == 0 {
		return
	}
	x.used--
	// Who was put further on because this slot was taken comes back, so that it is still found.
	mask := len(x.slots) - 1
	for at := (free + 1) & mask; x.slots[at].entry != 0; at = (at + 1) & mask {
		wants := int(x.slots[at].number) & mask
		if (at-wants)&mask >= (at-free)&mask {
			x.slots[free], free = x.slots[at], at
		}
	}
	x.slots[free] = slot{}
}

// any gives an arbitrary number and the place of its entry, another one each time. There must be one.
func (x *index) any() (number uint64, entry uint32) {
	for {
		x.hand = (x.hand + 1) & (len(x.slots) - 1)
		if s := x.slots[x.hand]; s.entry != 0 {
			return s.number, s.entry
		}
	}
}
