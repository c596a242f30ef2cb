package gate

import (
	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models/requestlog"
)

// Stats are counts since the start.
type Stats struct {
	Verdicts                     map[requestlog.Code]uint64
	KeyCacheHits, KeyCacheMisses uint64
	ChangeFeedConnected          bool // changes of other processes are told, or there are none
	Recorder                     recorder.Stats
	BlockedAddresses             int // at this moment, as the two that follow
	KnownVersions, Meters        int // in memory: versions of keys, and keys that are counted
}

// Stats of the gate at this moment.
func (g *Gate) Stats() Stats {
	stats := Stats{
		Verdicts: make(map[requestlog.Code]uint64, len(g.verdicts)), Recorder: g.recorder.Stats(),
		KeyCacheHits: g.keys.hits.Load(), KeyCacheMisses: g.keys.misses.Load(), ChangeFeedConnected: g.staleness.isSynced(),
		BlockedAddresses: g.blocks.count(), KnownVersions: g.keys.size(), Meters: g.meters.size(),
	}
	for code, n := range g.verdicts {
		stats.Verdicts[code] = n.Load()
	}
	return stats
}
