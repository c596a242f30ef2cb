package sqlite

import (
	"cmp"
	"time"
)

// Options are sizes of what the log stores, and say how much it writes at once. A zero field means its default, which
// was chosen by measurement: see docs/performance.md.
type Options struct {
	// Now returns the time. The default is time.Now.
	Now func() time.Time
	// ChunkRows is how many rows fill a chunk. The default is 512: few enough to find one row quickly, and enough to
	// make writing a row cheap. A chunk that gets late rows may have up to half as many more.
	ChunkRows int
	// GroupChunks is how many chunks share a Bloom filter. The default is 64.
	GroupChunks int
	// HeadChunks is how many small chunks a project may have before they are joined into full ones. A page of the log
	// reads all of them. The default is 32.
	HeadChunks int
	// MemtableEntries and MemtableBatches are how many requests and batches are in memory and in the journal before
	// they are flushed to a sorted run. They limit how long a start takes. The defaults are 524,288 entries, of 32
	// bytes each, and 20,000 batches. If there are four times as many entries, writers wait.
	MemtableEntries, MemtableBatches int
	// BlockBytes is the size of a block of a sorted run. With the default, 3,800, a block fits a page of 4,096 bytes.
	BlockBytes int
	// RunsPerLevel is how many sorted runs a level may have. If there is one more, they are compacted into a run of
	// the next level. So a request is written once for each level, and a reader reads few runs. The default is 8.
	RunsPerLevel int
	// BlocksPerStep and ChunksPerStep limit what one transaction in the background writes or removes. With the default
	// of 64 each, it takes a few milliseconds.
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
