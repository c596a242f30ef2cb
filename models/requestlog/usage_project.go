package requestlog

import (
	"cmp"
	"database/sql"
	"slices"
	"time"
)

// ProjectMinute counts the requests of one project in one minute with one code.
type ProjectMinute struct {
	ProjectID int64
	Minute    int64 // since 1970
	Code      Code
	Requests  int64
	Credits   int64
}

// CountByMinute counts rows by project, minute and code. The result is sorted by these three, so that processes that
// write at the same time lock rows in the same order.
func CountByMinute(rows []Row) []ProjectMinute {
	type group struct {
		project, minute int64
		code            Code
	}
	index := map[group]int{}
	var sums []ProjectMinute
	last, at := group{}, 0
	for i := range rows {
		r := &rows[i]
		if g := (group{r.ProjectID, r.ID.Minute(), r.Code}); i == 0 || g != last {
			known, seen := index[g]
			if !seen {
				known = len(sums)
				index[g] = known
				sums = append(sums, ProjectMinute{ProjectID: g.project, Minute: g.minute, Code: g.code})
			}
			last, at = g, known
		}
		sums[at].Requests++
		sums[at].Credits += r.Credits
	}
	slices.SortFunc(sums, func(a, b ProjectMinute) int {
		return cmp.Or(
			cmp.Compare(a.ProjectID, b.ProjectID),
			cmp.Compare(a.Minute, b.Minute),
			cmp.Compare(a.Code, b.Code),
		)
	})
	return sums
}

// CountCredits is like [CountByMinute], but counts no requests. It is for rows whose Credits are the difference that a
// report makes.
func CountCredits(rows []Row) []ProjectMinute {
	sums := CountByMinute(rows)
	for i := range sums {
		sums[i].Requests = 0
	}
	return sums
}

// MinuteUsage counts the requests of a project in one minute.
type MinuteUsage struct {
	Start    time.Time
	Admitted int64
	Rejected int64
}

// Minutes sums the counts of one project by minute, from first to last. Minutes without requests are included. All
// counts must be of these minutes.
func Minutes(counts []ProjectMinute, first, last int64) []MinuteUsage {
	usage := make([]MinuteUsage, last-first+1)
	for i := range usage {
		usage[i].Start = time.Unix((first+int64(i))*60, 0).UTC()
	}
	for _, c := range counts {
		at := &usage[c.Minute-first]
		if c.Code == CodeValid {
			at.Admitted += c.Requests
		} else {
			at.Rejected += c.Requests
		}
	}
	return usage
}

// ScanMinutes reads rows of minute, code and requests of one project, and closes them.
func ScanMinutes(rows *sql.Rows) (counts []ProjectMinute, err error) {
	defer rows.Close()
	for rows.Next() {
		var c ProjectMinute
		if err := rows.Scan(&c.Minute, &c.Code, &c.Requests); err != nil {
			return nil, err
		}
		counts = append(counts, c)
	}
	return counts, rows.Err()
}
