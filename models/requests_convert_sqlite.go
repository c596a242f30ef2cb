package models

import (
	"context"
	"database/sql"
)

// rowsPerConversion is how many rows of an older program move in one transaction.
const rowsPerConversion = 5000

// prepare moves rows that an older program stored one by one to chunks, and drops their table. Their counts by minute are
// there already. Where it is broken off, it goes on at the next start.
func (q *sqliteRequests) prepare(ctx context.Context) error {
	var tables int
	err := q.reading.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'request_logs_before_chunks'").Scan(&tables)
	if err != nil || tables == 0 {
		return err
	}
	for moved := rowsPerConversion; moved == rowsPerConversion; {
		err := q.add(ctx, func(tx *writeTx) ([]RequestLog, error) {
			rows, err := oldRows(tx.Tx)
			if moved = len(rows); moved == 0 || err != nil {
				return nil, err
			}
			return rows, tx.exec("DELETE FROM request_logs_before_chunks WHERE id <= ?", int64(rows[moved-1].ID))
		})
		if err != nil {
			return err
		}
	}
	return q.writer.tx(ctx, func(tx *writeTx) error {
		_, err := tx.Exec("DROP TABLE request_logs_before_chunks")
		return err
	})
}

func oldRows(tx *sql.Tx) (list []RequestLog, err error) {
	rows, err := tx.Query("SELECT id, project_id, key_id, version, category, method, path, status, duration_us, ip, credits, code, session_hash "+
		"FROM request_logs_before_chunks ORDER BY id LIMIT ?", rowsPerConversion)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r RequestLog
		err := rows.Scan(&r.ID, &r.ProjectID, &r.KeyID, &r.Version, &r.Category, &r.Method, &r.Path, &r.Status, &r.DurationUs, &r.IP, &r.Credits, &r.Code, &r.SessionHash)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
