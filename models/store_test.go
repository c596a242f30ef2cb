package models

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func openSQLiteStore(t *testing.T) (store *Store, path string) {
	t.Helper()
	pepper, err := NewPepper(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "claviger.db")
	if store, err = Open(t.Context(), Options{URL: path, Pepper: pepper}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, path
}

// database/sql rolls back on its own time what a context ended. SQLite would leave its write-ahead log where the process
// ends before that.
func TestCloseWaitsForConnectionsInUse(t *testing.T) {
	store, path := openSQLiteStore(t)
	pool, err := store.read.DB()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "SELECT 1 FROM users"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		store.Close()
		close(closed)
	}()
	for pool.PingContext(t.Context()) == nil { // until Close has come to this pool
		time.Sleep(time.Millisecond)
	}
	select {
	case <-closed:
		t.Error("the store was closed while a connection was in use")
	case <-time.After(20 * time.Millisecond):
	}
	conn.Close()
	<-closed
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the write-ahead log is left")
	}
}

// Else a statement that is being prepared at that moment is lost, and its connection is open until the process ends.
func TestAWritingTransactionIsNotRolledBackBesideItsStatements(t *testing.T) {
	store, _ := openSQLiteStore(t)
	defer store.Close()
	writer := store.requests.(*sqliteRequests).writer
	ctx, cancel := context.WithCancel(t.Context())
	err := writer.tx(ctx, func(tx *writeTx) error {
		cancel()
		for i := range 200 {
			if err := tx.exec(fmt.Sprintf("INSERT INTO key_journal (seq, data) VALUES (%d, '')", i)); err != nil {
				t.Fatalf("statement %d after the context has ended: %v", i, err)
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the transaction gives %v", err)
	}
	if err := writer.tx(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("one that would begin after the context has ended gives %v", err)
	}
	left := 0
	err = writer.tx(t.Context(), func(tx *writeTx) error { return tx.row("SELECT COUNT(*) FROM key_journal", nil, &left) })
	if err != nil || left != 0 {
		t.Errorf("%d rows are stored (%v)", left, err)
	}
}
