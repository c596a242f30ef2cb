package sqlite

import (
	"cmp"
	"time"
)

// Options are the sizes of what the log stores and writes at once. Zero values are the defaults given, which were
// measured: see docs/performance.md.
type Options struct {
	// Now gives the time; time.Now if nil.
	Now func() time.Time
	// ChunkRows is how many rows fill a chunk, 512: few enough that finding one row in it is quick, and enough that a
	// row costs little to write. A chunk that gets late rows may hold half as many more.
	ChunkRows int
	// GroupChunks is how many chunks have a Bloom filter in common, 64.
	GroupChunks int
	// HeadChunks is how many small chunks of a project may wait to become a full one, 32. A page of the log reads
	// them all.
	HeadChunks int
	// MemtableEntries (524,288) and MemtableBatches (20,000) are how many requests and batches are in memory and in the
	// journal before they are flushed to a sorted run. They bound the time that a start takes. At four times as many
	// entries, of 32 bytes each, writers wait.
	MemtableEntries, MemtableBatches int
	// BlockBytes is the size of a block of a sorted run, 3,800: with what SQLite adds it fits a page of 4,096.
	BlockBytes int
	// RunsPerLevel is how many sorted runs a level may have, 8. One more, and they are compacted into one of the next
	// level. So a request is written once for each level, and a reader looks into few runs.
	RunsPerLevel int
	// BlocksPerStep and ChunksPerStep, 64 each, are what one transaction in the background writes or removes: a few
	// milliseconds.
	BlocksPerStep, ChunksPerStep int
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ChunkRows = cmp.Or(o.ChunkRows, 512)
	o.GroupChunks = cmp.Or(o.GroupChunks, 64)
	o.HeadChunks = cmp.Or(o.HeadChunks, 32)
	o.MemtableEntries = cmp.Or(o.MemtableEntries, 1<<19)
	o.MemtableBatches = cmp.Or(o.MemtableBatches, 20_000)
	o.BlockBytes = cmp.Or(o.BlockBytes, 3800)
	o.RunsPerLevel = cmp.Or(o.RunsPerLevel, 8)
	o.BlocksPerStep = cmp.Or(o.BlocksPerStep, 64)
	o.ChunksPerStep = cmp.Or(o.ChunksPerStep, 64)
	return o
}
