// Package requestlog defines the request log: a row for each request made with a known key, and the counts that are
// derived from the rows. The packages sqlite and postgres implement [Log], which stores both. The package refers to
// projects and keys only by their ids.
package requestlog

import "database/sql"

// Row is one request made with a known key.
type Row struct {
	ID          ID // contains the time of the request
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
	SessionHash []byte // of the caller's session; nil if it sent none
}

// MaxPath and MaxMethod limit the length of a row's path and method, in bytes. The gate cuts longer ones.
const (
	MaxPath   = 512
	MaxMethod = 32
)
