package models

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// RequestLog is one request made with a known key.
type RequestLog struct {
	ID          RequestID // tells the time as well
	ProjectID   int64
	KeyID       int64
	Version     int
	Category    string // of the key at the time
	Method      string
	Path        string // without query, at most [MaxLoggedPath] bytes
	Status      int
	DurationUs  int64 // microseconds
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
	return s.tx(ctx, func(tx *gorm.DB) error {
		result := tx.Clauses(clause.OnConflict{DoNothing: true}).CreateInBatches(rows, 500)
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected == 0 {
			return nil // stored before, together with their counts
		}
		err := tx.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "project_id"}, {Name: "minute"}, {Name: "code"}},
			DoUpdates: clause.Assignments(map[string]any{
				"requests": gorm.Expr("usage_minutes.requests + excluded.requests"),
				"credits":  gorm.Expr("usage_minutes.credits + excluded.credits"),
			}),
		}).CreateInBatches(usageOf(rows), 500).Error
		if err != nil {
			return err
		}
		return touchKeys(tx, rows)
	})
}

// usageOf sums rows up, in the order of the primary key, so that parallel writers lock in the same order.
func usageOf(rows []RequestLog) []usageMinute {
	type group struct {
		project, minute int64
		code            Code
	}
	index := map[group]int{}
	var sums []usageMinute
	for _, r := range rows {
		g := group{r.ProjectID, r.ID.Time().Unix() / 60, r.Code}
		i, seen := index[g]
		if !seen {
			i = len(sums)
			index[g] = i
			sums = append(sums, usageMinute{ProjectID: g.project, Minute: g.minute, Code: g.code})
		}
		sums[i].Requests++
		sums[i].Credits += r.Credits
	}
	slices.SortFunc(sums, func(a, b usageMinute) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Code, b.Code))
	})
	return sums
}

// touchKeys moves last_used_at of the rows' keys on, at most once a second for each key.
func touchKeys(tx *gorm.DB, rows []RequestLog) error {
	var newest time.Time
	ids := make([]int64, 0, len(rows))
	for _, r := range rows {
		ids = append(ids, r.KeyID)
		if at := r.ID.Time(); at.After(newest) {
			newest = at
		}
	}
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), 500) {
		err := tx.Model(&Key{}).
			Where("id IN ? AND (last_used_at IS NULL OR last_used_at <= ?)", part, newest.Add(-time.Second)).
			UpdateColumn("last_used_at", newest).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// LogFilter narrows a list of requests; zero fields do not.
type LogFilter struct {
	KeyID    int64
	Category string // of the key at the time
	Code     Code
	From     time.Time // inclusive
	To       time.Time // exclusive
	Before   RequestID // only older ones: the cursor to older pages
	After    RequestID // only newer ones: the cursor to newer pages
	Limit    int
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
	q := s.logEntries(ctx, projectID)
	if f.KeyID != 0 {
		q = q.Where("request_logs.key_id = ?", f.KeyID)
	}
	if f.Category != "" {
		q = q.Where("request_logs.category = ?", f.Category)
	}
	if f.Code != "" {
		q = q.Where("request_logs.code = ?", f.Code)
	}
	if !f.From.IsZero() {
		q = q.Where("request_logs.id >= ?", FirstRequestIDAt(f.From))
	}
	if !f.To.IsZero() {
		q = q.Where("request_logs.id < ?", FirstRequestIDAt(f.To))
	}
	backwards := f.After > 0 && f.Before == 0
	order := "request_logs.id DESC"
	if backwards {
		q, order = q.Where("request_logs.id > ?", f.After), "request_logs.id ASC"
	} else if f.Before > 0 {
		q = q.Where("request_logs.id < ?", f.Before)
	}
	var entries []LogEntry
	if err := q.Order(order).Limit(f.Limit + 1).Find(&entries).Error; err != nil {
		return LogPage{}, err
	}
	more := len(entries) > f.Limit
	if more {
		entries = entries[:f.Limit]
	}
	if backwards {
		slices.Reverse(entries)
		return LogPage{Entries: entries, HasNewer: more, HasOlder: true}, nil
	}
	return LogPage{Entries: entries, HasOlder: more, HasNewer: f.Before > 0}, nil
}

func (s *Store) logEntries(ctx context.Context, projectID int64) *gorm.DB {
	return s.read.WithContext(ctx).Table("request_logs").
		Select("request_logs.*, COALESCE(keys.name, '') AS key_name").
		Joins("LEFT JOIN keys ON keys.id = request_logs.key_id").
		Where("request_logs.project_id = ?", projectID)
}

// RequestLog reads one request of the project, or [CodeNotFound].
func (s *Store) RequestLog(ctx context.Context, projectID int64, id RequestID) (*LogEntry, error) {
	var entry LogEntry
	err := s.logEntries(ctx, projectID).Where("request_logs.id = ?", id).Take(&entry).Error
	return &entry, notFoundAs(err, "request")
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
