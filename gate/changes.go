package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// Invalidate makes the next request that uses the changed object read it from the database. The store calls it after
// each commit, and for each change of another process.
func (g *Gate) Invalidate(c models.Change) {
	switch c.Kind {
	case "key":
		g.keys.changes.keyChanged(c.ID)
	case "category": // replies have the name of the key's category
		g.keys.changes.projectChanged(c.ProjectID)
	case "service_token":
		g.tokens.invalidate(func(t *gateToken) bool { return t.ID == c.ID })
	case "address_block":
		g.blocks.changed(c.ProjectID, c.ID)
	case "project": // a new one too: its slug may be cached as unknown
		g.projects.invalidate(func(p *Project) bool { return p.ID == c.ID })
	case "plan":
		g.projects.invalidate(func(*Project) bool { return true })
	case models.Everything:
		g.projects.invalidate(func(*Project) bool { return true })
		g.keys.changes.everythingChanged()
		g.tokens.invalidate(func(*gateToken) bool { return true })
		g.blocks.everythingChanged()
	}
	if g.onPropagated != nil && !c.At.IsZero() { // zero: the change was not committed
		g.onPropagated(max(0, g.now().Sub(c.At)), c.Remote)
	}
}

// SyncedUntil says that Invalidate has been called for all changes of other processes that were committed after since
// and before asked. See [models.Listener].
func (g *Gate) SyncedUntil(since, asked time.Time) {
	if g.wasDisconnected.CompareAndSwap(true, false) {
		g.log.Info("changes of other processes arrive again")
	}
	if g.connectedSince.Swap(since.UnixNano()) != since.UnixNano() { // a new connection: blocks may have been missed
		g.blocks.everythingChanged()
	}
	g.staleness.syncedUntil(since, asked)
}

// Disconnected says that changes of other processes may be missed from now on, because of err. Until SyncedUntil is
// called, a read from the database is used for 0.25 s, or for longer only while the database does not answer.
func (g *Gate) Disconnected(err error) {
	g.staleness.disconnected()
	if !g.wasDisconnected.Swap(true) {
		g.log.Warn("changes of other processes do not arrive: keys are read again when they are used", "error", err)
	}
}
