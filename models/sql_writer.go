package models

import (
	"context"
	"database/sql"
	"sync"
)

// sqlWriter runs transactions on a pool of one connection, with statements that are prepared once: parsing one costs
// more than running most of them.
type sqlWriter struct {
	db       *sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt // nil for those that were used and are not prepared yet
}

func newSQLWriter(db *sql.DB) *sqlWriter { return &sqlWriter{db: db, prepared: map[string]*sql.Stmt{}} }

// writeTx is one transaction. It is short: ctx counts while it waits for the connection and at its end.
type writeTx struct {
	*sql.Tx
	writer     *sqlWriter
	statements map[string]*sql.Stmt
}

func (w *sqlWriter) tx(ctx context.Context, fn func(*writeTx) error) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	tx, end, err := beginWhole(ctx, w.db)
	if err != nil {
		return err
	}
	defer end()
	if err = fn(&writeTx{tx, w, map[string]*sql.Stmt{}}); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// beginWhole begins a transaction of SQLite that lasts until end, whatever becomes of ctx, which counts while a connection is waited
// for. Where ctx ends one that is at work, database/sql can lose a statement that is being prepared, or wait for ever for one that
// is asked while the rows of another one are read.
func beginWhole(ctx context.Context, db *sql.DB) (tx *sql.Tx, end func(), err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	if tx, err = conn.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return tx, func() {
		tx.Rollback() // does nothing after a commit
		conn.Close()
	}, nil
}

// prepare prepares what earlier transactions used. In a transaction it cannot be done: it holds the only connection.
func (w *sqlWriter) prepare(ctx context.Context) error {
	var queries []string
	w.mu.Lock()
	for query, s := range w.prepared {
		if s == nil {
			queries = append(queries, query)
		}
	}
	w.mu.Unlock()
	for _, query := range queries {
		s, err := w.db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if w.prepared[query] == nil {
			w.prepared[query], s = s, nil
		}
		w.mu.Unlock()
		if s != nil { // somebody else did the same
			s.Close()
		}
	}
	return nil
}

func (t *writeTx) statement(query string) (s *sql.Stmt, err error) {
	if s = t.statements[query]; s != nil {
		return s, nil
	}
	t.writer.mu.Lock()
	known, used := t.writer.prepared[query]
	if !used {
		t.writer.prepared[query] = nil
	}
	t.writer.mu.Unlock()
	if known != nil {
		s = t.Stmt(known)
	} else {
		s, err = t.Prepare(query)
	}
	t.statements[query] = s
	return s, err
}

func (t *writeTx) exec(query string, args ...any) error {
	_, err := t.changed(query, args...)
	return err
}

// changed is exec that tells how many rows were changed.
func (t *writeTx) changed(query string, args ...any) (int64, error) {
	s, err := t.statement(query)
	if err != nil {
		return 0, err
	}
	result, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row into the targets; [sql.ErrNoRows] where there is none.
func (t *writeTx) row(query string, args []any, into ...any) error {
	s, err := t.statement(query)
	if err != nil {
		return err
	}
	return s.QueryRow(args...).Scan(into...)
}

func (t *writeTx) query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}
