package models

import "testing"

// SmallSteps makes the limits of the storage of requests so small that a test of some thousand rows reaches all of them.
func SmallSteps(t *testing.T) {
	before := limits
	t.Cleanup(func() { limits = before })
	limits = storageLimits{tail: 700, tailBatches: 9, runsPerLevel: 2, blockSize: 200, blocksPerStep: 3, chunk: 40, window: 10, group: 3, openChunks: 4, chunksPerStep: 2, rowsPerStep: 100}
}
