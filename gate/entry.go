package gate

import (
	"time"

	"github.com/claviger/claviger/models"
)

// entry holds a [models.GateKey] without pointers.
type entry struct {
	rest                   digestRest
	projectID, keyID       int64
	readAt                 int64 // moment at which the look-up began; times are milliseconds since 1970
	expiresAt, versionEnds int64 // 0: never
	caps                   models.Caps
	changes                uint32 // generations.of when it was read
	version                uint32
	category, ios, android uint32 // numbers in the intern table
	longName               uint32 // the same, if the name is too long for name; otherwise 0
	nameLength, state      uint8
	flags                  entryFlags
	name                   [shortName]byte
}

// shortName is the length of the longest name that an entry holds itself. Nearly all names are shorter.
const shortName = 38

// digestRest is a digest without its first 8 bytes, which are in the index.
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

func newEntry(digest models.Digest, k *models.GateKey, readAt int64, changes uint32, texts *internTable) entry {
	e := entry{
		rest:        restOf(digest),
		projectID:   k.ProjectID,
		keyID:       k.KeyID,
		readAt:      readAt,
		expiresAt:   milliseconds(k.ExpiresAt),
		versionEnds: milliseconds(k.VersionEndsAt),
		caps:        k.Caps,
		changes:     changes,
		version:     uint32(k.Version),
		category:    texts.number(k.Category),
		ios:         texts.number(k.IOSBundleID),
		android:     texts.number(k.AndroidPackage),
	}
	if len(k.Name) > shortName {
		e.longName = texts.number(k.Name)
	} else {
		e.nameLength = uint8(copy(e.name[:], k.Name))
	}
	for i, state := range entryStates {
		if state == k.State {
			e.state = uint8(i)
		}
	}
	for flag, set := range map[entryFlags]bool{
		isTest:      k.Type == models.TypeTest,
		selfRotates: k.SelfRotation,
		onIOS:       k.PlatformIOS,
		onAndroid:   k.PlatformAndroid,
	} {
		if set {
			e.flags |= flag
		}
	}
	return e
}

// key returns the key that the entry was made from. texts is the intern table it was made with.
func (e *entry) key(texts *internTable) models.GateKey {
	k := models.GateKey{
		ProjectID:    e.projectID,
		KeyID:        e.keyID,
		Name:         texts.text(e.longName),
		Type:         models.TypeProduction,
		Category:     texts.text(e.category),
		State:        entryStates[e.state],
		ExpiresAt:    timeOf(e.expiresAt),
		SelfRotation: e.flags&selfRotates != 0,
		Restrictions: models.Restrictions{
			PlatformIOS:     e.flags&onIOS != 0,
			PlatformAndroid: e.flags&onAndroid != 0,
			IOSBundleID:     texts.text(e.ios),
			AndroidPackage:  texts.text(e.android),
		},
		Version:       int(e.version),
		VersionEndsAt: timeOf(e.versionEnds),
		Caps:          e.caps,
	}
	if e.longName == 0 {
		k.Name = string(e.name[:e.nameLength])
	}
	if e.flags&isTest != 0 {
		k.Type = models.TypeTest
	}
	return k
}

// milliseconds returns the time in milliseconds since 1970, 0 for the zero time.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeOf is the inverse of milliseconds.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// internTable numbers the texts that entries refer to: categories and bundle IDs, which many keys share, and long
// names, which are rare. Number 0 is the empty text. It takes no lock.
type internTable struct {
	numbers map[string]uint32
	texts   []string
}

func newInternTable() internTable {
	return internTable{numbers: map[string]uint32{"": 0}, texts: []string{""}}
}

func (t *internTable) number(text string) uint32 {
	n, known := t.numbers[text]
	if !known {
		n = uint32(len(t.texts))
		t.texts = append(t.texts, text)
		t.numbers[text] = n
	}
	return n
}

func (t *internTable) text(n uint32) string { return t.texts[n] }
