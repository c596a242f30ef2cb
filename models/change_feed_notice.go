package models

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"gorm.io/gorm"
)

// notice is what a transaction tells the other processes on the same Postgres.
type notice struct {
	From    string       `json:"from"` // the store that made the changes
	At      int64        `json:"at"`   // microseconds since 1970, as [Change.At]
	Changes []noticePart `json:"changes"`
}

type noticePart struct {
	Kind      string `json:"kind"`
	ID        int64  `json:"id,omitempty"`
	ProjectID int64  `json:"project,omitempty"`
}

// maxNoticed is how many changes a notice lists. It keeps the payload far below the 8,000 bytes that Postgres takes.
const maxNoticed = 50

// maxChannel is the longest name of a channel that Postgres takes, in bytes.
const maxChannel = 63

// noticeChannel is the same for all processes that work in a schema, and another one for each schema.
func noticeChannel(schema string) string {
	channel := "claviger_" + schema
	if len(channel) > maxChannel {
		sum := sha256.Sum256([]byte(schema))
		channel = "claviger_" + hex.EncodeToString(sum[:16])
	}
	return channel
}

// renameSender gives the store a new name by which it knows its own notices. Those under the old name are from then on as good
// as another process's.
func (s *Store) renameSender() {
	var b [8]byte
	rand.Read(b[:])
	name := hex.EncodeToString(b[:])
	s.sender.Store(&name)
}

func newNotice(sender string, changes []Change) notice {
	n := notice{From: sender, At: changes[0].At.UnixMicro()}
	if len(changes) > maxNoticed {
		n.Changes = []noticePart{{Kind: Everything}}
		return n
	}
	for _, c := range changes {
		n.Changes = append(n.Changes, noticePart{c.Kind, c.ID, c.ProjectID})
	}
	return n
}

// notify makes Postgres tell the others when the transaction commits, and only then. On SQLite there are none.
func (s *Store) notify(tx *gorm.DB, changes []Change) error {
	if !s.isPostgres() || len(changes) == 0 {
		return nil
	}
	payload, err := json.Marshal(newNotice(*s.sender.Load(), changes))
	if err != nil {
		return err
	}
	return tx.Exec("SELECT pg_notify(?, ?)", s.channel, string(payload)).Error
}

// heard tells the subscribers what a notice of another process says. One that cannot be read is from another version of the
// program, and may mean anything.
func (s *Store) heard(payload string) {
	var n notice
	if err := json.Unmarshal([]byte(payload), &n); err != nil {
		n = notice{At: s.now().UnixMicro(), Changes: []noticePart{{Kind: Everything}}}
	}
	if n.From == *s.sender.Load() { // told by the call that made the change
		return
	}
	changes := make([]Change, 0, len(n.Changes))
	for _, p := range n.Changes {
		changes = append(changes, Change{Kind: p.Kind, ID: p.ID, ProjectID: p.ProjectID, At: time.UnixMicro(n.At), Remote: true})
	}
	s.tell(changes)
}
