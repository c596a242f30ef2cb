package models

import (
	"context"
	"database/sql"
	"fmt"

	"gorm.io/gorm"
)

// windowGrowth is how much longer than a stretch the next one is.
const windowGrowth = 8

// list looks for rows in stretches that grow. In each, Postgres goes from row to row or asks the index of values, as its
// statistics say: a value that many rows have is found at once, and one that few have in a dozen statements. With one statement
// for all, one that is neither would be looked for in the whole log.
func (q *postgresRequests) list(ctx context.Context, query rowQuery) (list []LogEntry, err error) {
	if len(query.values()) == 0 {
		return listRows(q.db.WithContext(ctx), query)
	}
	err = q.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		// A plan for any values, which Postgres makes after some of the same form, knows neither how long the stretch is nor how rare.
		if err := tx.Exec("SET LOCAL plan_cache_mode = force_custom_plan").Error; err != nil {
			return err
		}
		list, err = listStretches(tx, query)
		return err
	}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	return list, err
}

func listStretches(tx *gorm.DB, query rowQuery) (list []LogEntry, err error) {
	rest, window, err := firstStretch(tx, query)
	for err == nil && rest.from < rest.to && len(list) < query.limit {
		part := rest
		part.limit -= len(list)
		switch {
		case rest.to-rest.from <= window:
			rest.from = rest.to
		case query.oldestFirst:
			part.to = rest.from + window
			rest.from = part.to
		default:
			part.from = rest.to - window
			rest.to = part.from
		}
		window = min(window, (rest.to-rest.from)/windowGrowth+1) * windowGrowth
		var found []LogEntry
		found, err = listRows(tx, part)
		list = append(list, found...)
	}
	return list, err
}

// firstStretch narrows the query to where rows are, and tells how long the stretch with the first of them is.
func firstStretch(tx *gorm.DB, query rowQuery) (narrowed rowQuery, window RequestID, err error) {
	condition := "project_id = @project AND id >= @from AND id < @to"
	if query.keyID != 0 {
		condition += " AND key_id = @key"
	}
	order, reversed := "DESC", "ASC"
	if query.oldestFirst {
		order, reversed = reversed, order
	}
	var first, last, end RequestID // of the first rows, and the last row of all
	err = tx.Raw(fmt.Sprintf("SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0), "+
		"COALESCE((SELECT id FROM request_logs WHERE %[1]s ORDER BY id %[3]s LIMIT 1), 0) FROM "+
		"(SELECT id FROM request_logs WHERE %[1]s ORDER BY id %[2]s LIMIT %[4]d) AS first", condition, order, reversed, limits.window),
		map[string]any{"project": query.projectID, "from": query.from, "to": query.to, "key": query.keyID}).Row().Scan(&first, &last, &end)
	narrowed = query
	narrowed.from, narrowed.to = min(first, end), max(last, end)+1
	if end == 0 {
		narrowed.to = narrowed.from // there is none
	}
	return narrowed, last - first + 1, err
}

// listRows lists rows in one statement.
func listRows(db *gorm.DB, query rowQuery) (list []LogEntry, err error) {
	rows := db.Table("request_logs").Select("request_logs.*, COALESCE(keys.name, '') AS key_name").
		Joins("LEFT JOIN keys ON keys.id = request_logs.key_id").
		Where("request_logs.project_id = ? AND request_logs.id >= ? AND request_logs.id < ?", query.projectID, query.from, query.to)
	for _, c := range []struct {
		asked     bool
		condition string
		value     any
	}{
		{query.keyID != 0, "key_id = ?", query.keyID},
		{query.keyType != "", "type = ?", query.keyType},
		{query.category != "", "category = ?", query.category},
		{query.code != "", "code = ?", query.code},
		{query.statusClass != 0, "status >= ?", query.statusClass * 100}, // as the index knows it
		{query.statusClass != 0, "status < ?", query.statusClass*100 + 100},
		{query.method != "", "method = ?", query.method},
		{query.path != "", "path = ?", query.path},
		{query.ip != "", "ip = ?", query.ip},
	} {
		if c.asked {
			rows = rows.Where("request_logs."+c.condition, c.value)
		}
	}
	order := "request_logs.id DESC"
	if query.oldestFirst {
		order = "request_logs.id"
	}
	return list, rows.Order(order).Limit(query.limit).Find(&list).Error
}
