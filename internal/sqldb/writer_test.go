package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// openFile opens a new SQLite file with one table.
func openFile(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "claviger.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Write.Exec("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	return db
}

// When a context ends a transaction, database/sql rolls it back in the background. If the process ends before that,
// SQLite leaves its write-ahead log behind.
func TestCloseWaitsForConnectionsInUse(t *testing.T) {
	db := openFile(t)
	conn, err := db.Read.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "SELECT 1 FROM numbers"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		db.Close()
		close(closed)
	}()
	for db.Read.PingContext(t.Context()) == nil { // until Close has come to this pool
		time.Sleep(time.Millisecond)
	}
	select {
	case <-closed:
		t.Error("the database was closed while a connection was in use")
	case <-time.After(20 * time.Millisecond):
	}
	conn.Close()
	<-closed
	if _, err := os.Stat(db.URL + "-wal"); err == nil {
		t.Error("the write-ahead log still exists after Close")
	}
}

// If a context ended the transaction, a statement that is being prepared at that moment could be lost, and its
// connection would stay open until the process ends.
func TestATransactionRollsBackOnlyAfterItsLastStatement(t *testing.T) {
	db := openFile(t)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Writer.Tx(ctx, func(tx *Tx) error {
		cancel()
		for i := range 200 {
			if err := tx.Exec(fmt.Sprintf("INSERT INTO numbers VALUES (%d)", i)); err != nil {
				t.Fatalf("statement %d after the context has ended: %v", i, err)
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the transaction returned %v, want %v", err, context.Canceled)
	}
	if err := db.Writer.Tx(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a transaction that begins after the context has ended returned %v, want %v", err, context.Canceled)
	}
	left := 0
	err = db.Writer.Tx(t.Context(), func(tx *Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM numbers", nil, &left)
	})
	if err != nil || left != 0 {
		t.Errorf("%d rows are stored (%v), want 0", left, err)
	}
}
