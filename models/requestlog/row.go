// Package requestlog holds what happened: a row for each request made with a known key, and the counts that follow
// from the rows. [Log] is how both are stored; the packages sqlite and postgres implement it. It knows no users, keys
// or plans but their ids.
package requestlog

import "database/sql"

// Row is one request made with a known key.
type Row struct {
	ID          ID // tells the time as well
	ProjectID   int64
	KeyID       int64
	Version     int           // of the key's secret
	Type        string        // of the key: "production" or "test"
	Category    string        // of the key at the time
	Method      string        // at most [MaxMethod] bytes
	Path        string        // without its query, at most [MaxPath] bytes
	Status      int           // of the verdict, until the app reports its own
	DurationUs  int64         // of validate, in microseconds
	TTFBUs      sql.NullInt64 // the app's time to first byte in microseconds; null until it is reported
	IP          string
	Credits     int64
	Code        Code
	SessionHash []byte // of the caller's session; nil where none was given
}

// MaxPath and MaxMethod bound what a row keeps, in bytes.
const (
	MaxPath   = 512
	MaxMethod = 32
)
