package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// Forget makes the next request that has to do with what was changed ask the database. The store calls it after each
// commit, and for each change that another process tells of.
func (g *Gate) Forget(c models.Change) {
	switch c.Kind {
	case "key":
		g.keys.changes.keyChanged(c.ID)
	case "category": // replies name the label of a key
		g.keys.changes.projectChanged(c.ProjectID)
	case "service_token":
		g.tokens.forget(func(t *gateToken) bool { return t.ID == c.ID })
	case "address_block":
		g.blocks.changed(c.ProjectID, c.ID)
	case "project": // one that is new included: its slug may be remembered as unknown
		g.projects.forget(func(p *Project) bool { return p.ID == c.ID })
	case "plan":
		g.projects.forget(func(*Project) bool { return true })
	case models.Everything:
		g.projects.forget(func(*Project) bool { return true })
		g.keys.changes.everythingChanged()
		g.tokens.forget(func(*gateToken) bool { return true })
		g.blocks.everythingChanged()
	}
	if g.effects != nil && !c.At.IsZero() { // zero: it did not come to a commit
		g.effects(max(0, g.now().Sub(c.At)), c.Remote)
	}
}

// Heard is told that Forget was called for all changes of other processes that were committed after since and before asked.
// See [models.Listener].
func (g *Gate) Heard(since, asked time.Time) {
	if g.wasDeaf.CompareAndSwap(true, false) {
		g.log.Info("changes of other processes arrive again")
	}
	if g.heardSince.Swap(since.UnixNano()) != since.UnixNano() { // it begins, or begins again: blocks may have been missed
		g.blocks.everythingChanged()
	}
	g.trust.heard(since, asked)
}

// Deaf is told that changes of other processes may be missed from now on. Until Heard is called, what was read is believed
// for a moment only, and for longer only where the database cannot be asked.
func (g *Gate) Deaf(err error) {
	g.trust.deaf()
	if !g.wasDeaf.Swap(true) {
		g.log.Warn("changes of other processes do not arrive: keys are read again when they are used", "error", err)
	}
}
