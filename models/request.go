package models

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/claviger/claviger/models/requestlog"
	"gorm.io/gorm"
)

// LogFilter narrows a list of requests. Zero fields do not filter.
type LogFilter struct {
	KeyID       int64
	Type        KeyType
	Category    string // the key's at the time of the request
	Code        requestlog.Code
	StatusClass int // 2 for 200 to 299
	Method      string
	Path        string
	IP          string
	From        time.Time     // inclusive
	To          time.Time     // exclusive
	Before      requestlog.ID // only older requests: the cursor to older pages
	After       requestlog.ID // only newer requests: the cursor to newer pages
	Limit       int
}

// LogEntry is a row with the current name of its key, empty if the key was deleted.
type LogEntry struct {
	requestlog.Row
	KeyName string
}

// LogPage is a page of the log, newest first.
type LogPage struct {
	Entries  []LogEntry
	HasOlder bool
	HasNewer bool
}

// RequestLogs lists requests of a project, newest first. With After and without Before, it returns the requests that
// come right after that one.
func (s *Store) RequestLogs(ctx context.Context, projectID int64, f LogFilter) (_ LogPage, err error) {
	defer doing(&err, "read page of the log")
	q := requestlog.Query{
		ProjectID:   projectID,
		KeyID:       f.KeyID,
		Type:        string(f.Type),
		Category:    f.Category,
		Code:        f.Code,
		StatusClass: f.StatusClass,
		Method:      f.Method,
		Path:        f.Path,
		IP:          f.IP,
		To:          requestlog.EndOfIDs,
		Limit:       f.Limit + 1,
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
	var names map[int64]string
	if f.KeyID != 0 {
		// The log finds requests of a key by its id only. A key of another project has none in this one.
		key, err := s.loggedKey(ctx, f.KeyID)
		if err != nil {
			return LogPage{}, err
		}
		if key != nil && (key.ProjectID != projectID || f.Type != "" && f.Type != key.Type) {
			return LogPage{HasOlder: q.OldestFirst, HasNewer: !q.OldestFirst && f.Before > 0}, nil
		}
		names = map[int64]string{}
		if key != nil {
			names[key.ID] = key.Name
		}
	}
	rows, err := s.log.List(ctx, q)
	if err != nil {
		return LogPage{}, err
	}
	if names == nil {
		if names, err = s.keyNames(ctx, rows); err != nil {
			return LogPage{}, err
		}
	}
	entries := make([]LogEntry, len(rows))
	for i, r := range rows {
		entries[i] = LogEntry{r, names[r.KeyID]}
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

// RequestLog reads one request of the project, or [CodeNotFound].
func (s *Store) RequestLog(ctx context.Context, projectID int64, id requestlog.ID) (_ *LogEntry, err error) {
	defer doing(&err, "read request")
	rows, err := s.log.List(ctx, requestlog.Query{ProjectID: projectID, From: id, To: id + 1, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, NotFound("request")
	}
	names, err := s.keyNames(ctx, rows)
	if err != nil {
		return nil, err
	}
	return &LogEntry{rows[0], names[rows[0].KeyID]}, nil
}

// loggedKey reads what a list of a key's requests needs of the key. It returns nil if the key was deleted.
func (s *Store) loggedKey(ctx context.Context, keyID int64) (*Key, error) {
	var key Key
	err := s.read.WithContext(ctx).
		Select("id", "project_id", "type", "name").
		Where("id = ?", keyID).
		Take(&key).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil
	}
	return &key, err
}

// keyNames reads the current names of the keys of rows, by key id.
func (s *Store) keyNames(ctx context.Context, rows []requestlog.Row) (map[int64]string, error) {
	ids := map[int64]bool{}
	for _, r := range rows {
		ids[r.KeyID] = true
	}
	names := map[int64]string{}
	if len(ids) == 0 {
		return names, nil
	}
	var keys []Key
	err := s.read.WithContext(ctx).
		Select("id", "name").
		Where("id IN ?", slices.Collect(maps.Keys(ids))).
		Find(&keys).Error
	for _, k := range keys {
		names[k.ID] = k.Name
	}
	return names, err
}

// UsageByMinute returns the usage of a project in the last minutes, including the current one, oldest first. Minutes
// without requests are included.
func (s *Store) UsageByMinute(
	ctx context.Context, projectID int64, minutes int,
) ([]requestlog.MinuteUsage, error) {
	last := s.Now().Unix() / 60
	first := last - int64(minutes) + 1
	return s.log.UsageByMinute(ctx, projectID, first, last)
}
