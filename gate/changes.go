package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// Forget makes the next request that has to do with what was changed ask the database. The store calls it after each
// commit, and for each change that another process tells of.
func (g *Gate) Invalidate(c models.Change) {
	switch c.Kind {
	case "key":
		g.keys.changes.keyChanged(c.ID)
	case "category": // replies name the label of a key
		g.keys.changes.projectChanged(c.ProjectID)
	case "service_token":
		g.tokens.invalidate(func(t *gateToken) bool { return t.ID == c.ID })
	case "address_block":
		g.blocks.changed(c.ProjectID, c.ID)
	case "project": // one that is new included: its slug may be remembered as unknown
		g.projects.invalidate(func(p *Project) bool { return p.ID == c.ID })
	case "plan":
		g.projects.invalidate(func(*Project) bool { return true })
	case models.Everything:
		g.projects.invalidate(func(*Project) bool { return true })
		g.keys.changes.everythingChanged()
		g.tokens.invalidate(func(*gateToken) bool { return true })
		g.blocks.everythingChanged()
	}
	if g.onPropagated != nil && !c.At.IsZero() { // zero: it did not come to a commit
		g.onPropagated(max(0, g.now().Sub(c.At)), c.Remote)
	}
}

// Heard is told that Forget was called for all changes of other processes that were committed after since and before asked.
// See [models.Listener].
func (g *Gate) SyncedUntil(since, asked time.Time) {
	if g.wasDisconnected.CompareAndSwap(true, false) {
		g.log.Info("changes of other processes arrive again")
	}
	if g.connectedSince.Swap(since.UnixNano()) != since.UnixNano() { // it begins, or begins again: blocks may have been missed
		g.blocks.everythingChanged()
	}
	g.staleness.syncedUntil(since, asked)
}

// Deaf is told that changes of other processes may be missed from now on. Until Heard is called, what was read is believed
// for a moment only, and for longer only where the database cannot be asked.
func (g *Gate) Disconnected(err error) {
	g.staleness.disconnected()
	if !g.wasDisconnected.Swap(true) {
		g.log.Warn("changes of other processes do not arrive: keys are read again when they are used", "error", err)
	}
}
