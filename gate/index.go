package gate

// index is a hash table that maps numbers to the places of an entry and a meter. The numbers serve as their own
// hashes, so their lower bits must be random. A look-up mostly touches one cache line, and three with Go's map; that
// matters because with a million keys neither fits the processor's caches. It takes no lock.
type index struct {
	// slots has a length that is a power of two, and is at most three quarters full. A number is in the first slot that
	// was free from its own slot on (linear probing).
	slots []slot
	used  int
	hand  int // the slot that next returned last
}

type slot struct {
	number       uint64
	entry, meter uint32 // places; the slot is free if entry is 0
}

const firstSlots = 16

// get returns the places of a number, 0 and 0 if it is not in the index.
func (x *index) get(number uint64) (entry, meter uint32) {
	if x.used == 0 {
		return 0, 0
	}
	s := &x.slots[x.find(number)]
	return s.entry, s.meter
}

// find returns the position of a number's slot, or of the free slot where it would be put. There must be a free slot.
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

// drop removes a number.
func (x *index) drop(number uint64) {
	if x.used == 0 {
		return
	}
	free := x.find(number)
	if x.slots[free].entry == 0 {
		return
	}
	x.used--
	// Numbers that were put further on because this slot was taken move back, so that find still finds them.
	mask := len(x.slots) - 1
	for at := (free + 1) & mask; x.slots[at].entry != 0; at = (at + 1) & mask {
		own := int(x.slots[at].number) & mask
		if (at-own)&mask >= (at-free)&mask {
			x.slots[free], free = x.slots[at], at
		}
	}
	x.slots[free] = slot{}
}

// next returns a number and the place of its entry. Successive calls go round all slots. The index must not be empty.
func (x *index) next() (number uint64, entry uint32) {
	for {
		x.hand = (x.hand + 1) & (len(x.slots) - 1)
		if s := x.slots[x.hand]; s.entry != 0 {
			return s.number, s.entry
		}
	}
}
