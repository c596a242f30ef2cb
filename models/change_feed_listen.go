package models

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Listener learns how far it can rely on being told what other processes change. Its methods are called one at a time.
type Listener interface {
	// Heard says that the subscribers were told all changes of other processes that were committed after since and before
	// asked. It is called several times a second, with the same since as long as the connection holds.
	SyncedUntil(since, asked time.Time)
	// Deaf says that changes may be missed from now on, and why: once for each loss of the connection, and where the first
	// attempt to connect fails.
	Disconnected(err error)
}

const (
	// listenPing is how often the connection is asked for an answer, and listenTimeout how long one may take. A connection
	// that is dead without saying so is found out within their sum.
	listenPing    = 200 * time.Millisecond
	listenTimeout = 300 * time.Millisecond
	// listenConnect ends an attempt to connect and to begin to listen.
	listenConnect = 3 * time.Second
	// From a loss to the first attempt to connect it takes listenRetry; from one that failed to the next, twice as long each
	// time, up to listenRetryMax.
	listenRetry    = 100 * time.Millisecond
	listenRetryMax = time.Second
)

// listenName is what Postgres shows as the application_name of the connection, after the name that the address gives.
const listenName = "listener"

// Listen tells the subscribers what other processes on the same Postgres change, until ctx ends. It keeps a connection of its
// own for that, and makes a new one when it is lost. On SQLite there is one process, and it returns at once.
func (s *Store) Listen(ctx context.Context, l Listener) {
	if !s.isPostgres() {
		return
	}
	deaf := false
	for retry := listenRetry; ; retry = min(2*retry, listenRetryMax) {
		err := s.listen(ctx, func(since, asked time.Time) {
			retry, deaf = listenRetry, false
			l.SyncedUntil(since, asked)
		})
		if ctx.Err() != nil {
			return
		}
		if !deaf {
			deaf = true
			l.Disconnected(err)
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return
		}
	}
}

// listen is Listen over one connection. It ends with the error that ends the connection.
func (s *Store) listen(ctx context.Context, heard func(since, asked time.Time)) error {
	config, err := pgx.ParseConfig(s.db.URL)
	if err != nil {
		return err
	}
	config.RuntimeParams["application_name"] = cmp.Or(config.RuntimeParams["application_name"], "claviger") + " " + listenName
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { s.heard(n.Payload) }

	connecting, cancel := context.WithTimeout(ctx, listenConnect)
	defer cancel()
	conn, err := pgconn.ConnectConfig(connecting, &config.Config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenTimeout)
		defer cancel()
		conn.Close(closing)
	}()
	if err := conn.Exec(connecting, "LISTEN "+pgx.Identifier{s.channel}.Sanitize()).Close(); err != nil {
		return err
	}
	since := s.now()
	for {
		asked := s.now()
		if err := answers(ctx, conn); err != nil {
			return err
		}
		// Postgres signals who listens before a commit's own call returns, and each session sends its notices before it says that
		// it is ready for the next question. So the notices of all that was committed before asked have been told by now.
		heard(since, asked)
		if err := waitForNotices(ctx, conn); err != nil {
			return err
		}
	}
}

func answers(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// waitForNotices returns when it is time for the next question.
func waitForNotices(ctx context.Context, conn *pgconn.PgConn) error {
	waiting, cancel := context.WithTimeout(ctx, listenPing)
	defer cancel()
	for {
		err := conn.WaitForNotification(waiting)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !conn.IsClosed() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
