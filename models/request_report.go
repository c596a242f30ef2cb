package models

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// RequestReport is what an app says of a request after it has answered it. What it does not say stays as it is in the row.
type RequestReport struct {
	ID      RequestID
	Status  int           // 0: not said
	TTFBUs  sql.NullInt64 // time to first byte, microseconds
	Credits sql.NullInt64
}

// CompleteRequests completes the rows of a project's requests, in small transactions, and gives the ids that have no row there.
// An id may be in reports once. The counts of credits by minute follow. Completing again changes nothing: after an error, repeat.
func (s *Store) CompleteRequests(ctx context.Context, projectID int64, reports []RequestReport) (missing []RequestID, err error) {
	reports = slices.SortedFunc(slices.Values(reports), func(a, b RequestReport) int { return cmp.Compare(a.ID, b.ID) })
	return s.requests.complete(ctx, projectID, reports)
}

// apply completes the row, and tells whether that changed it and what it changed the credits by.
func (r *RequestReport) apply(row *RequestLog) (changed bool, credits int64) {
	before := *row
	if r.Status != 0 {
		row.Status = r.Status
	}
	if r.TTFBUs.Valid {
		row.TTFBUs = r.TTFBUs
	}
	if r.Credits.Valid {
		row.Credits = r.Credits.Int64
	}
	return row.Status != before.Status || row.TTFBUs != before.TTFBUs || row.Credits != before.Credits, row.Credits - before.Credits
}
