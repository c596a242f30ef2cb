package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// entry is a [models.GateKey] without a pointer.
type entry struct {
	rest                   digestRest
	projectID, keyID       int64
	readAt                 int64 // when it was read from the database; times are milliseconds since 1970
	expiresAt, versionEnds int64 // 0: never
	caps                   models.Caps
	changes                uint32 // what generations.of said when it was read
	version                uint32
	category, ios, android uint32 // words
	longName               uint32 // a word, where the name is too long for name
	nameLength, state      uint8
	flags                  entryFlags
	name                   [shortName]byte
}

// shortName is as long as nearly all names are.
const shortName = 38

// digestRest is a digest without its first bytes, which the index has.
type digestRest [len(models.Digest{}) - 8]byte

func restOf(digest models.Digest) digestRest { return digestRest(digest[8:]) }

type entryFlags uint8

const (
	isTest entryFlags = 1 << iota
	selfRotates
	onIOS
	onAndroid
)

var entryStates = []models.KeyState{models.StateActive, models.StateInactive, models.StateRevoked}

func newEntry(digest models.Digest, k *models.GateKey, readAt int64, changes uint32, w *internTable) entry {
	e := entry{
		rest: restOf(digest), projectID: k.ProjectID, keyID: k.KeyID, readAt: readAt, expiresAt: milliseconds(k.ExpiresAt), versionEnds: milliseconds(k.VersionEndsAt),
		caps: k.Caps, changes: changes, version: uint32(k.Version), category: w.number(k.Category), ios: w.number(k.IOSBundleID), android: w.number(k.AndroidPackage),
	}
	if len(k.Name) > shortName {
		e.longName = w.number(k.Name)
	} else {
		e.nameLength = uint8(copy(e.name[:], k.Name))
	}
	for i, state := range entryStates {
		if state == k.State {
			e.state = uint8(i)
		}
	}
	for flag, set := range map[entryFlags]bool{
		isTest: k.Type == models.TypeTest, selfRotates: k.SelfRotation, onIOS: k.PlatformIOS, onAndroid: k.PlatformAndroid,
	} {
		if set {
			e.flags |= flag
		}
	}
	return e
}

// key is what the entry was made of.
func (e *entry) key(w *internTable) models.GateKey {
	k := models.GateKey{
		ProjectID: e.projectID, KeyID: e.keyID, Name: w.text(e.longName), Type: models.TypeProduction, Category: w.text(e.category),
		State: entryStates[e.state], ExpiresAt: momentOf(e.expiresAt), SelfRotation: e.flags&selfRotates != 0,
		Restrictions: models.Restrictions{
			PlatformIOS: e.flags&onIOS != 0, PlatformAndroid: e.flags&onAndroid != 0, IOSBundleID: w.text(e.ios), AndroidPackage: w.text(e.android),
		},
		Version: int(e.version), VersionEndsAt: momentOf(e.versionEnds), Caps: e.caps,
	}
	if e.longName == 0 {
		k.Name = string(e.name[:e.nameLength])
	}
	if e.flags&isTest != 0 {
		k.Type = models.TypeTest
	}
	return k
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func momentOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// words gives texts a number that many keys share, as labels and the bundle IDs of apps, or that few have, as long names.
// Number 0 is the empty text. It takes no lock.
type internTable struct {
	numbers map[string]uint32
	texts   []string
}

func newInternTable() internTable {
	return internTable{numbers: map[string]uint32{"": 0}, texts: []string{""}}
}

func (w *internTable) number(text string) uint32 {
	n, known := w.numbers[text]
	if !known {
		n = uint32(len(w.texts))
		w.texts = append(w.texts, text)
		w.numbers[text] = n
	}
	return n
}

func (w *internTable) text(n uint32) string { return w.texts[n] }
