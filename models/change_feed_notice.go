package models

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"gorm.io/gorm"
)

// notification is what a transaction sends to the other processes on the same Postgres: the payload of NOTIFY, as JSON.
type notification struct {
	Sender  string           `json:"from"` // name of the store that made the changes
	At      int64            `json:"at"`   // [Change.At] in microseconds since 1970
	Changes []notifiedChange `json:"changes"`
}

// notifiedChange is a [Change] in a notification.
type notifiedChange struct {
	Kind      string `json:"kind"`
	ID        int64  `json:"id,omitempty"`
	ProjectID int64  `json:"project,omitempty"`
}

// maxNotifiedChanges is the most changes that a notification lists. A transaction with more sends one [Everything].
// That keeps the payload far below the 8,000 bytes that Postgres allows.
const maxNotifiedChanges = 50

// maxChannel is the length in bytes that Postgres allows for the name of a channel.
const maxChannel = 63

// notificationChannel returns the channel of a schema. All processes that use the schema have the same one.
func notificationChannel(schema string) string {
	channel := "claviger_" + schema
	if len(channel) > maxChannel {
		sum := sha256.Sum256([]byte(schema))
		channel = "claviger_" + hex.EncodeToString(sum[:16])
	}
	return channel
}

// renameSender gives the store a new random sender name. The store ignores notifications under its current name, so
// from then on it handles those under the old name like another process's.
func (s *Store) renameSender() {
	var b [8]byte
	rand.Read(b[:])
	name := hex.EncodeToString(b[:])
	s.sender.Store(&name)
}

func newNotification(sender string, changes []Change) notification {
	n := notification{Sender: sender, At: changes[0].At.UnixMicro()}
	if len(changes) > maxNotifiedChanges {
		n.Changes = []notifiedChange{{Kind: Everything}}
		return n
	}
	for _, c := range changes {
		n.Changes = append(n.Changes, notifiedChange{c.Kind, c.ID, c.ProjectID})
	}
	return n
}

// notify makes Postgres notify the other processes when tx commits, and only then. On SQLite there are no others.
func (s *Store) notify(tx *gorm.DB, changes []Change) error {
	if !s.isPostgres() || len(changes) == 0 {
		return nil
	}
	payload, err := json.Marshal(newNotification(*s.sender.Load(), changes))
	if err != nil {
		return err
	}
	return tx.Exec("SELECT pg_notify(?, ?)", s.channel, string(payload)).Error
}

// receive calls the subscribers for the changes in a notification of another process. A payload that cannot be
// decoded is from another version of the program and counts as [Everything].
func (s *Store) receive(payload string) {
	var n notification
	if err := json.Unmarshal([]byte(payload), &n); err != nil {
		n = notification{At: s.now().UnixMicro(), Changes: []notifiedChange{{Kind: Everything}}}
	}
	if n.Sender == *s.sender.Load() { // the call that made the changes has published them
		return
	}
	changes := make([]Change, 0, len(n.Changes))
	for _, c := range n.Changes {
		changes = append(changes, Change{
			Kind: c.Kind, ID: c.ID, ProjectID: c.ProjectID, At: time.UnixMicro(n.At), Remote: true,
		})
	}
	s.publish(changes)
}
