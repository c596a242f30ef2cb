package models

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// UnknownKeyCount is how many requests of one address came with no known key on one day: product.md, section 5. They have no rows.
type UnknownKeyCount struct {
	ProjectID int64
	Day       int64  // days since 1970, UTC
	Address   string // as [Network.String] has it; empty for all that are counted together
	Requests  int64
	LastAt    int64 // milliseconds since 1970
	Batch     int64 // that was added last
}

// UnknownKeyDay is the day of a moment.
func UnknownKeyDay(at time.Time) int64 { return at.Unix() / (24 * 3600) }

const (
	// maxUnknownKeyAddresses bounds the rows of one project and day, and so what an attack from many addresses adds. Requests
	// of further addresses are counted together.
	maxUnknownKeyAddresses = 1_000
	// unknownKeysAtOnce bounds a statement that adds or removes counts.
	unknownKeysAtOnce = 1_000
)

// CountUnknownKeys adds counts to what is stored. After an error that leaves it open whether a batch was stored, just repeat it
// under its number, which tells it from all others: a row does not take the same batch twice. (On Postgres another process may
// have added to the row in between; then it does.)
func (s *Store) CountUnknownKeys(ctx context.Context, batch int64, counts []UnknownKeyCount) (err error) {
	defer doing(&err, "count unknown keys")
	return s.tx(ctx, func(tx *gorm.DB) error {
		rows, err := boundUnknownKeys(tx, counts)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			rows[i].Batch = batch
		}
		return tx.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "project_id"}, {Name: "day"}, {Name: "address"}},
			Where:   clause.Where{Exprs: []clause.Expression{gorm.Expr("unknown_key_counts.batch <> excluded.batch")}},
			DoUpdates: clause.Assignments(map[string]any{
				"requests": gorm.Expr("unknown_key_counts.requests + excluded.requests"),
				"last_at":  gorm.Expr("CASE WHEN excluded.last_at > unknown_key_counts.last_at THEN excluded.last_at ELSE unknown_key_counts.last_at END"),
				"batch":    gorm.Expr("excluded.batch"),
			}),
		}).CreateInBatches(rows, unknownKeysAtOnce).Error
	})
}

// boundUnknownKeys gives the rows to add, in the order of the primary key, so that parallel writers lock in the same order.
// What has no room under its address is counted with others.
func boundUnknownKeys(tx *gorm.DB, counts []UnknownKeyCount) ([]UnknownKeyCount, error) {
	type day struct{ project, day int64 }
	type place struct {
		day
		address string
	}
	known, rows := map[day]map[string]bool{}, map[place]UnknownKeyCount{}
	for _, count := range counts {
		of := day{count.ProjectID, count.Day}
		addresses, read := known[of]
		if !read {
			var stored []string
			err := tx.Model(&UnknownKeyCount{}).Where("project_id = ? AND day = ?", count.ProjectID, count.Day).Pluck("address", &stored).Error
			if err != nil {
				return nil, err
			}
			addresses = map[string]bool{}
			for _, address := range stored {
				addresses[address] = true
			}
			known[of] = addresses
		}
		if !addresses[count.Address] && len(addresses) >= maxUnknownKeyAddresses {
			count.Address = ""
		}
		addresses[count.Address] = true
		at := place{of, count.Address}
		count.Requests, count.LastAt = count.Requests+rows[at].Requests, max(count.LastAt, rows[at].LastAt)
		rows[at] = count
	}
	return slices.SortedFunc(maps.Values(rows), func(a, b UnknownKeyCount) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Address, b.Address))
	}), nil
}

// UnknownKeyAddress sums up the requests of one address over some days; its Address is empty for all that were counted together.
type UnknownKeyAddress struct {
	Address  string
	Requests int64
	LastAt   int64 // milliseconds since 1970
}

// UnknownKeyPage is those with the most requests first.
type UnknownKeyPage struct {
	Addresses []UnknownKeyAddress
	Total     int64 // addresses, those that are not in the page included
}

// UnknownKeyDays is how many days, today included, [Store.UnknownKeys] looks back.
const UnknownKeyDays = 7

// UnknownKeys tells which addresses came with no known key in the last days, where search is part of the address.
func (s *Store) UnknownKeys(
	ctx context.Context, projectID int64, search string, limit int,
) (page UnknownKeyPage, err error) {
	defer doing(&err, "list unknown keys")
	from := UnknownKeyDay(s.Now()) - UnknownKeyDays + 1
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		counts := whereContains(tx.Model(&UnknownKeyCount{}).Where("project_id = ? AND day >= ?", projectID, from), "address", search)
		counts = counts.Session(&gorm.Session{})
		err := counts.Select("address, CAST(SUM(requests) AS bigint) AS requests, MAX(last_at) AS last_at").
			Group("address").Order("requests DESC, address").Limit(limit).Find(&page.Addresses).Error
		if err != nil {
			return err
		}
		return counts.Distinct("address").Count(&page.Total).Error
	})
	return page, err
}

// removeOldUnknownKeys removes some of the counts that are older than their project keeps its log, once a day.
func (s *Store) removeOldUnknownKeys(ctx context.Context, round *tidyRound) (more bool, err error) {
	today := UnknownKeyDay(round.kept.Now)
	if s.tidied == today {
		return false, nil
	}
	read, write := s.read.WithContext(ctx), s.write.WithContext(ctx)
	for range 100 { // projects without such counts; then others may go on
		var project *int64
		if err := read.Raw("SELECT MIN(project_id) FROM unknown_key_counts WHERE project_id > ?", round.unknownProject).Scan(&project).Error; err != nil {
			return false, err
		}
		if project == nil {
			s.tidied = today
			return false, nil
		}
		from, err := round.kept.Of(*project, func() (there bool, err error) {
			return there, write.Raw("SELECT EXISTS (SELECT 1 FROM projects WHERE id = ?)", *project).Scan(&there).Error
		})
		if err != nil {
			return false, err
		}
		result := write.Exec("DELETE FROM unknown_key_counts WHERE (project_id, day, address) IN ("+
			"SELECT project_id, day, address FROM unknown_key_counts WHERE project_id = ? AND day < ? LIMIT ?)", *project, UnknownKeyDay(from.Time()), unknownKeysAtOnce)
		if result.Error != nil {
			return false, result.Error
		}
		if result.RowsAffected < unknownKeysAtOnce {
			round.unknownProject = *project
		}
		if result.RowsAffected > 0 {
			break
		}
	}
	return true, nil
}
