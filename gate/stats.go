package gate

import (
	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models/requestlog"
)

// Stats are counts since the start, and what is in memory now.
type Stats struct {
	Verdicts                     map[requestlog.Code]uint64
	KeyCacheHits, KeyCacheMisses uint64
	ChangeFeedConnected          bool // changes of other processes arrive, or there are no other processes
	Recorder                     recorder.Stats
	BlockedAddresses             int // now, as the two that follow
	KnownVersions, Meters        int // in memory
}

// Stats returns the gate's counts.
func (g *Gate) Stats() Stats {
	stats := Stats{
		Verdicts:            make(map[requestlog.Code]uint64, len(g.verdicts)),
		KeyCacheHits:        g.keys.hits.Load(),
		KeyCacheMisses:      g.keys.misses.Load(),
		ChangeFeedConnected: g.staleness.isSynced(),
		Recorder:            g.recorder.Stats(),
		BlockedAddresses:    g.blocks.count(),
		KnownVersions:       g.keys.size(),
		Meters:              g.meters.size(),
	}
	for code, n := range g.verdicts {
		stats.Verdicts[code] = n.Load()
	}
	return stats
}
