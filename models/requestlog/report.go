package requestlog

import (
	"cmp"
	"database/sql"
	"slices"
)

// Report is what an app reports about a request after it has answered it. Fields that it leaves out stay unchanged in
// the row.
type Report struct {
	ID      ID
	Status  int           // 0 if left out
	TTFBUs  sql.NullInt64 // time to first byte, in microseconds
	Credits sql.NullInt64
}

// Apply changes the row to what the report says. It reports whether that changed the row, and by how much the row's
// credits changed.
func (r *Report) Apply(row *Row) (changed bool, credits int64) {
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
	changed = row.Status != before.Status || row.TTFBUs != before.TTFBUs || row.Credits != before.Credits
	return changed, row.Credits - before.Credits
}

// SortedReports returns the reports in the order of their ids.
func SortedReports(reports []Report) []Report {
	return slices.SortedFunc(slices.Values(reports), func(a, b Report) int { return cmp.Compare(a.ID, b.ID) })
}
