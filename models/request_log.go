package models

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"gorm.io/gorm"
)

// WriteRequestLogs stores rows and adds them to the usage counts in one transaction, so that the two cannot disagree.
// Writing the same rows again does nothing: after an error that leaves it open whether they were stored, just repeat.
func (s *Store) WriteRequestLogs(ctx context.Context, rows []requestlog.Row) error {
	if len(rows) == 0 {
		return nil
	}
	return s.requests.write(ctx, rows)
}

// LogFilter narrows a list of requests; zero fields do not.
type LogFilter struct {
	KeyID       int64
	Type        KeyType
	Category    string // of the key at the time
	Code        requestlog.Code
	StatusClass int    // 2 for 200 to 299
	Method      string // with Path, an endpoint
	Path        string
	IP          string
	From        time.Time     // inclusive
	To          time.Time     // exclusive
	Before      requestlog.ID // only older ones: the cursor to older pages
	After       requestlog.ID // only newer ones: the cursor to newer pages
	Limit       int
}

// LogEntry is a row with the present name of its key, empty where the key is gone.
type LogEntry struct {
	requestlog.Row
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
	q := requestlog.Query{
		ProjectID: projectID, KeyID: f.KeyID, Type: string(f.Type), Category: f.Category, Code: f.Code, StatusClass: f.StatusClass,
		Method: f.Method, Path: f.Path, IP: f.IP, To: requestlog.EndOfIDs, Limit: f.Limit + 1,
	}
	if !f.From.IsZero() {
		q.From = requestlog.FirstIDAt(f.From)
	}
	if !f.To.IsZero() {
		q.To = requestlog.FirstIDAt(f.To)
	}
	q.OldestFirst = f.After > 0 && f.Before == 0
	if q.OldestFirst {
		q.From = max(q.From, f.After+1)
	} else if f.Before > 0 {
		q.To = min(q.To, f.Before)
	}
	if f.KeyID != 0 {
		// The log finds a key's requests by the key alone, and a key of another project has none here.
		switch key, err := s.loggedKey(ctx, f.KeyID); {
		case err != nil:
			return LogPage{}, err
		case key != nil && (key.ProjectID != projectID || f.Type != "" && f.Type != key.Type):
			return LogPage{HasOlder: q.OldestFirst, HasNewer: !q.OldestFirst && f.Before > 0}, nil
		}
	}
	rows, err := s.requests.list(ctx, q)
	if err != nil {
		return LogPage{}, err
	}
	entries, err := s.withKeyNames(ctx, rows)
	if err != nil {
		return LogPage{}, err
	}
	more := len(entries) > f.Limit
	if more {
		entries = entries[:f.Limit]
	}
	if q.OldestFirst {
		slices.Reverse(entries)
		return LogPage{Entries: entries, HasNewer: more, HasOlder: true}, nil
	}
	return LogPage{Entries: entries, HasOlder: more, HasNewer: f.Before > 0}, nil
}

// requestlog.Row reads one request of the project, or [CodeNotFound].
func (s *Store) RequestLog(ctx context.Context, projectID int64, id requestlog.ID) (*LogEntry, error) {
	rows, err := s.requests.list(ctx, requestlog.Query{ProjectID: projectID, From: id, To: id + 1, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, NotFound("request")
	}
	entries, err := s.withKeyNames(ctx, rows)
	if err != nil {
		return nil, err
	}
	return &entries[0], nil
}

// loggedKey reads the key that requests are asked for; nil where it is gone.
func (s *Store) loggedKey(ctx context.Context, keyID int64) (*Key, error) {
	var key Key
	err := s.read.WithContext(ctx).Select("project_id", "type").Where("id = ?", keyID).Take(&key).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &key, err
}

// withKeyNames adds the present names of the keys.
func (s *Store) withKeyNames(ctx context.Context, rows []requestlog.Row) ([]LogEntry, error) {
	ids := map[int64]bool{}
	for _, r := range rows {
		ids[r.KeyID] = true
	}
	var keys []Key
	err := s.read.WithContext(ctx).Select("id", "name").Where("id IN ?", slices.Collect(maps.Keys(ids))).Find(&keys).Error
	if err != nil {
		return nil, err
	}
	names := map[int64]string{}
	for _, k := range keys {
		names[k.ID] = k.Name
	}
	entries := make([]LogEntry, len(rows))
	for i, r := range rows {
		entries[i] = LogEntry{r, names[r.KeyID]}
	}
	return entries, nil
}

// UsageByMinute gives the last minutes of a project up to the present one, oldest first, quiet ones included.
func (s *Store) UsageByMinute(ctx context.Context, projectID int64, minutes int) ([]requestlog.MinuteUsage, error) {
	last := s.Now().Unix() / 60
	first := last - int64(minutes) + 1
	var rows []requestlog.ProjectMinute
	err := s.read.WithContext(ctx).Table("usage_minutes").
		Where("project_id = ? AND minute BETWEEN ? AND ?", projectID, first, last).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	return requestlog.Minutes(rows, first, last), nil
}

// NewRequestIDs claims a process number of the database and starts after every id that is already there, so that a
// clock that was set back makes no id twice.
func (s *Store) NewRequestIDs(ctx context.Context) (*requestlog.IDs, error) {
	if s.dialect == "postgres" {
		var process int64
		err := s.write.WithContext(ctx).Raw("SELECT nextval('process_numbers')").Scan(&process).Error
		return requestlog.NewIDs(s.now, process, 0), err
	}
	newest, err := s.requests.newestID(ctx)
	return requestlog.NewIDs(s.now, 0, newest), err
}

// CompleteRequests completes the rows of a project's requests, in small transactions, and gives the ids that have no row there.
// An id may be in reports once. The counts of credits by minute follow. Completing again changes nothing: after an error, repeat.
func (s *Store) CompleteRequests(ctx context.Context, projectID int64, reports []requestlog.Report) (missing []requestlog.ID, err error) {
	reports = slices.SortedFunc(slices.Values(reports), func(a, b requestlog.Report) int { return cmp.Compare(a.ID, b.ID) })
	return s.requests.complete(ctx, projectID, reports)
}
