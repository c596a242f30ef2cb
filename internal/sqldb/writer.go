package sqldb

import (
	"context"
	"database/sql"
	"sync"
)

// Writer runs transactions on a pool of one connection. It prepares each statement once, because parsing takes longer
// than running most of them.
type Writer struct {
	db       *sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt // nil for statements that were used and are not prepared yet
}

func newWriter(db *sql.DB) *Writer { return &Writer{db: db, prepared: map[string]*sql.Stmt{}} }

// Tx is one transaction of a [Writer].
type Tx struct {
	tx         *sql.Tx
	writer     *Writer
	statements map[string]*sql.Stmt
}

// Tx runs fn in one transaction and commits it. It rolls back if fn returns an error or ctx has ended. ctx is checked
// only while waiting for the connection and before the commit, because transactions are short.
func (w *Writer) Tx(ctx context.Context, fn func(*Tx) error) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	tx, end, err := BeginWhole(ctx, w.db)
	if err != nil {
		return err
	}
	defer end()
	if err = fn(&Tx{tx, w, map[string]*sql.Stmt{}}); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// BeginWhole begins a transaction on SQLite that lasts until end is called, even if ctx ends. ctx limits only the
// wait for a connection. If a context ended the transaction, database/sql could lose a statement that is being
// prepared, or wait for ever for a statement that runs while the rows of another are read.
func BeginWhole(ctx context.Context, db *sql.DB) (tx *sql.Tx, end func(), err error) {
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

// prepare prepares the statements that earlier transactions used. Call it outside of transactions, which hold the only
// connection.
func (w *Writer) prepare(ctx context.Context) error {
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
		if s != nil { // another goroutine has prepared it
			s.Close()
		}
	}
	return nil
}

func (t *Tx) statement(query string) (s *sql.Stmt, err error) {
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
		s = t.tx.Stmt(known)
	} else {
		s, err = t.tx.Prepare(query)
	}
	t.statements[query] = s
	return s, err
}

// Exec runs a statement.
func (t *Tx) Exec(query string, args ...any) error {
	_, err := t.ExecCount(query, args...)
	return err
}

// ExecCount runs a statement and returns how many rows it changed.
func (t *Tx) ExecCount(query string, args ...any) (int64, error) {
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

// QueryRow reads one row into the targets. It returns [sql.ErrNoRows] if there is none.
func (t *Tx) QueryRow(query string, args []any, into ...any) error {
	s, err := t.statement(query)
	if err != nil {
		return err
	}
	return s.QueryRow(args...).Scan(into...)
}

// Query reads rows. The caller closes them.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}
