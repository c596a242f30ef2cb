package models

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"
)

// RequestLog is one request made with a known key.
type RequestLog struct {
	ID          RequestID // tells the time as well
	ProjectID   int64
	KeyID       int64
	Version     int
	Type        KeyType // of the key; empty in rows of a program that did not store it
	Category    string  // of the key at the time
	Method      string
	Path        string        // without query, at most [MaxLoggedPath] bytes
	Status      int           // of the verdict, until the app reports its own
	DurationUs  int64         // of validate, microseconds
	TTFBUs      sql.NullInt64 // the app's time to first byte, microseconds, where it was reported
	IP          string
	Credits     int64
	Code        Code
	SessionHash []byte // of the caller's session; nil where none was told
}

// MaxLoggedPath and MaxLoggedMethod bound what a row keeps, in bytes.
const (
	MaxLoggedPath   = 512
	MaxLoggedMethod = 32
)

// usageMinute counts the requests of one project, minute and code.
type usageMinute struct {
	ProjectID int64
	Minute    int64 // minutes since 1970
	Code      Code
	Requests  int64
	Credits   int64
}

// WriteRequestLogs stores rows and adds them to the usage counts in one transaction, so that the two cannot disagree.
// Writing the same rows again does nothing: after an error that leaves it open whether they were stored, just repeat.
func (s *Store) WriteRequestLogs(ctx context.Context, rows []RequestLog) error {
	if len(rows) == 0 {
		return nil
	}
	return s.requests.write(ctx, rows)
}

// usageOf sums rows up, in the order of the primary key, so that parallel writers lock in the same order.
func usageOf(rows []RequestLog) []usageMinute {
	type group struct {
		project, minute int64
		code            Code
	}
	index := map[group]int{}
	var sums []usageMinute
	last, at := group{}, 0
	for i := range rows {
		r := &rows[i]
		if g := (group{r.ProjectID, minuteOf(r.ID), r.Code}); i == 0 || g != last {
			known, seen := index[g]
			if !seen {
				known = len(sums)
				index[g] = known
				sums = append(sums, usageMinute{ProjectID: g.project, Minute: g.minute, Code: g.code})
			}
			last, at = g, known
		}
		sums[at].Requests++
		sums[at].Credits += r.Credits
	}
	slices.SortFunc(sums, func(a, b usageMinute) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Code, b.Code))
	})
	return sums
}

// creditsOf sums up by what the credits of rows have changed, which is in the place of their credits.
func creditsOf(rows []RequestLog) []usageMinute {
	sums := usageOf(rows)
	for i := range sums {
		sums[i].Requests = 0
	}
	return sums
}

// LogFilter narrows a list of requests; zero fields do not.
type LogFilter struct {
	KeyID       int64
	Type        KeyType
	Category    string // of the key at the time
	Code        Code
	StatusClass int    // 2 for 200 to 299
	Method      string // with Path, an endpoint
	Path        string
	IP          string
	From        time.Time // inclusive
	To          time.Time // exclusive
	Before      RequestID // only older ones: the cursor to older pages
	After       RequestID // only newer ones: the cursor to newer pages
	Limit       int
}

// LogEntry is a row with the present name of its key, empty where the key is gone.
type LogEntry struct {
	RequestLog
	KeyName string
}

// LogPage is a stretch of the log, newest first.
type LogPage struct {
	Entries  []LogEntry
	HasOlder bool
	HasNewer bool
}

// RequestLogs lists requests of a project, newest first. With After and no Before it is the stretch just newer than After.
func (s *Store) RequestLogs(ctx context.Context, projectID int64, f LogFilter) (LogPage, error) {
	q := rowQuery{
		projectID: projectID, keyID: f.KeyID, keyType: f.Type, category: f.Category, code: f.Code, statusClass: f.StatusClass,
		method: f.Method, path: f.Path, ip: f.IP, to: endOfIDs, limit: f.Limit + 1,
	}
	if !f.From.IsZero() {
		q.from = FirstRequestIDAt(f.From)
	}
	if !f.To.IsZero() {
		q.to = FirstRequestIDAt(f.To)
	}
	q.oldestFirst = f.After > 0 && f.Before == 0
	if q.oldestFirst {
		q.from = max(q.from, f.After+1)
	} else if f.Before > 0 {
		q.to = min(q.to, f.Before)
	}
	entries, err := s.requests.list(ctx, q)
	if err != nil {
		return LogPage{}, err
	}
	more := len(entries) > f.Limit
	if more {
		entries = entries[:f.Limit]
	}
	if q.oldestFirst {
		slices.Reverse(entries)
		return LogPage{Entries: entries, HasNewer: more, HasOlder: true}, nil
	}
	return LogPage{Entries: entries, HasOlder: more, HasNewer: f.Before > 0}, nil
}

// RequestLog reads one request of the project, or [CodeNotFound].
func (s *Store) RequestLog(ctx context.Context, projectID int64, id RequestID) (*LogEntry, error) {
	entries, err := s.requests.list(ctx, rowQuery{projectID: projectID, from: id, to: id + 1, limit: 1})
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, NotFound("request")
	}
	return &entries[0], nil
}

// MinuteUsage is what happened in one minute of a project.
type MinuteUsage struct {
	Start    time.Time
	Admitted int64
	Rejected int64
}

// UsageByMinute gives the last minutes of a project up to the present one, oldest first, quiet ones included.
func (s *Store) UsageByMinute(ctx context.Context, projectID int64, minutes int) ([]MinuteUsage, error) {
	last := s.Now().Unix() / 60
	first := last - int64(minutes) + 1
	var rows []usageMinute
	err := s.read.WithContext(ctx).
		Where("project_id = ? AND minute BETWEEN ? AND ?", projectID, first, last).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	usage := make([]MinuteUsage, minutes)
	for i := range usage {
		usage[i].Start = time.Unix((first+int64(i))*60, 0).UTC()
	}
	for _, r := range rows {
		at := &usage[r.Minute-first]
		if r.Code == Valid {
			at.Admitted += r.Requests
		} else {
			at.Rejected += r.Requests
		}
	}
	return usage, nil
}
