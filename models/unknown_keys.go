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

// UnknownKeyCount counts the requests without a known key that one address sent on one day: product.md, section 5. They
// have no rows in the request log.
type UnknownKeyCount struct {
	ProjectID int64
	Day       int64  // days since 1970, UTC
	Address   string // as [Network.String]; empty for addresses that are counted together
	Requests  int64
	LastAt    int64 // time of the last request, in milliseconds since 1970
	Batch     int64 // number of the batch that was added last
}

// UnknownKeyDay returns the day of a time, in days since 1970, UTC.
func UnknownKeyDay(at time.Time) int64 { return at.Unix() / (24 * 3600) }

const (
	// maxUnknownKeyAddresses is the most addresses of one project and day. It bounds how many rows an attack from many
	// addresses adds. Requests of further addresses are counted together.
	maxUnknownKeyAddresses = 1_000
	// unknownKeysAtOnce is the most rows that one statement adds or removes.
	unknownKeysAtOnce = 1_000
)

// CountUnknownKeys adds counts to the stored ones. batch must differ from the numbers of all other batches. After an
// error it may be unknown whether the batch was stored; the call can then be repeated with the same batch, because a
// row does not add the same batch twice. (On Postgres another process may have added to the row in between. Then the
// row does.)
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
				"last_at": gorm.Expr(`
					CASE
						WHEN excluded.last_at > unknown_key_counts.last_at THEN excluded.last_at
						ELSE unknown_key_counts.last_at
					END
				`),
				"batch": gorm.Expr("excluded.batch"),
			}),
		}).CreateInBatches(rows, unknownKeysAtOnce).Error
	})
}

// boundUnknownKeys returns the rows to add, with the counts of addresses beyond the limit added up under "". The rows
// are in the order of the primary key, so that concurrent writers lock them in the same order.
func boundUnknownKeys(tx *gorm.DB, counts []UnknownKeyCount) ([]UnknownKeyCount, error) {
	type projectDay struct{ project, day int64 }
	type rowKey struct {
		projectDay
		address string
	}
	known, rows := map[projectDay]map[string]bool{}, map[rowKey]UnknownKeyCount{}
	for _, count := range counts {
		day := projectDay{count.ProjectID, count.Day}
		addresses, read := known[day]
		if !read {
			var stored []string
			err := tx.Model(&UnknownKeyCount{}).
				Where("project_id = ? AND day = ?", count.ProjectID, count.Day).
				Pluck("address", &stored).Error
			if err != nil {
				return nil, err
			}
			addresses = map[string]bool{}
			for _, address := range stored {
				addresses[address] = true
			}
			known[day] = addresses
		}
		if !addresses[count.Address] && len(addresses) >= maxUnknownKeyAddresses {
			count.Address = ""
		}
		addresses[count.Address] = true
		key := rowKey{day, count.Address}
		count.Requests, count.LastAt = count.Requests+rows[key].Requests, max(count.LastAt, rows[key].LastAt)
		rows[key] = count
	}
	return slices.SortedFunc(maps.Values(rows), func(a, b UnknownKeyCount) int {
		return cmp.Or(
			cmp.Compare(a.ProjectID, b.ProjectID),
			cmp.Compare(a.Day, b.Day),
			cmp.Compare(a.Address, b.Address),
		)
	}), nil
}

// UnknownKeyAddress is the sum of the counts of one address over several days.
type UnknownKeyAddress struct {
	Address  string // as [UnknownKeyCount.Address]
	Requests int64
	LastAt   int64 // time of the last request, in milliseconds since 1970
}

// UnknownKeyPage is the beginning of the list of addresses, those with the most requests first.
type UnknownKeyPage struct {
	Addresses []UnknownKeyAddress
	Total     int64 // number of addresses, including those that are not in the page
}

// UnknownKeyDays is how many days [Store.UnknownKeys] looks back, including today.
const UnknownKeyDays = 7

// UnknownKeys lists the addresses that sent requests without a known key in the last [UnknownKeyDays] days. If search
// is not empty, it lists those that contain it.
func (s *Store) UnknownKeys(
	ctx context.Context, projectID int64, search string, limit int,
) (page UnknownKeyPage, err error) {
	defer doing(&err, "list unknown keys")
	from := UnknownKeyDay(s.Now()) - UnknownKeyDays + 1
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		counts := tx.Model(&UnknownKeyCount{}).Where("project_id = ? AND day >= ?", projectID, from)
		counts = whereContains(counts, "address", search).Session(&gorm.Session{}) // so that it can be used twice
		err := counts.
			Select("address, CAST(SUM(requests) AS bigint) AS requests, MAX(last_at) AS last_at").
			Group("address").
			Order("requests DESC, address").
			Limit(limit).
			Find(&page.Addresses).Error
		if err != nil {
			return err
		}
		return counts.Distinct("address").Count(&page.Total).Error
	})
	return page, err
}

// removeOldUnknownKeys removes some of the counts that are older than their project keeps its request log. It does so
// in one round a day.
func (s *Store) removeOldUnknownKeys(ctx context.Context, round *tidyRound) (more bool, err error) {
	today := UnknownKeyDay(round.retention.Now)
	if s.tidied == today {
		return false, nil
	}
	read, write := s.read.WithContext(ctx), s.write.WithContext(ctx)
	for range 100 { // a step passes at most 100 projects without old counts
		var project *int64
		err := read.Raw(`
			SELECT MIN(project_id)
			FROM unknown_key_counts
			WHERE project_id > ?
		`, round.unknownProject).Scan(&project).Error
		if err != nil {
			return false, err
		}
		if project == nil {
			s.tidied = today
			return false, nil
		}
		from, err := round.retention.Of(*project, func() (exists bool, err error) {
			query := write.Raw("SELECT EXISTS (SELECT 1 FROM projects WHERE id = ?)", *project)
			return exists, query.Scan(&exists).Error
		})
		if err != nil {
			return false, err
		}
		result := write.Exec(`
			DELETE FROM unknown_key_counts
			WHERE (project_id, day, address) IN (
				SELECT project_id, day, address
				FROM unknown_key_counts
				WHERE project_id = ? AND day < ?
				LIMIT ?
			)
		`, *project, UnknownKeyDay(from.Time()), unknownKeysAtOnce)
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
