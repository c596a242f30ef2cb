package models

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Listener is called when the connection of [Store.Listen] answers or is lost. Its methods are called one at a time.
type Listener interface {
	// SyncedUntil reports that the subscribers have been called for all changes of other processes that were
	// committed after since and before asked. It is called several times a second. since stays the same until the
	// connection is lost.
	SyncedUntil(since, asked time.Time)
	// Disconnected reports that changes may be missed from now on, and why. It is called once for each loss of the
	// connection, and once if the first attempt to connect fails.
	Disconnected(err error)
}

const (
	// listenPing is how often the connection is pinged, and listenTimeout how long it may take to answer. A
	// connection that is dead without an error is noticed within their sum.
	listenPing    = 200 * time.Millisecond
	listenTimeout = 300 * time.Millisecond
	// listenConnect limits an attempt to connect and begin to listen.
	listenConnect = 3 * time.Second
	// After a loss, listenRetry passes before the first attempt to connect. The wait doubles after each attempt that
	// fails, up to listenRetryMax.
	listenRetry    = 100 * time.Millisecond
	listenRetryMax = time.Second
)

// listenName is appended to the application_name of the database URL. Postgres shows the connection under that name.
const listenName = "listener"

// Listen calls the subscribers for changes of other processes on the same Postgres, until ctx ends. It uses a
// connection of its own and replaces it when it is lost. On SQLite there is only one process, and Listen returns at
// once.
func (s *Store) Listen(ctx context.Context, l Listener) {
	if !s.isPostgres() {
		return
	}
	disconnected := false
	for retry := listenRetry; ; retry = min(2*retry, listenRetryMax) {
		err := s.listen(ctx, func(since, asked time.Time) {
			retry, disconnected = listenRetry, false
			l.SyncedUntil(since, asked)
		})
		if ctx.Err() != nil {
			return
		}
		if !disconnected {
			disconnected = true
			l.Disconnected(err)
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return
		}
	}
}

// listen is Listen over one connection. It returns the error that ends the connection.
func (s *Store) listen(ctx context.Context, syncedUntil func(since, asked time.Time)) error {
	config, err := pgx.ParseConfig(s.db.URL)
	if err != nil {
		return err
	}
	name := cmp.Or(config.RuntimeParams["application_name"], "claviger")
	config.RuntimeParams["application_name"] = name + " " + listenName
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { s.receive(n.Payload) }

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
		if err := ping(ctx, conn); err != nil {
			return err
		}
		// Postgres signals the listening sessions before COMMIT returns, and each session sends its notifications
		// before it reports that it is ready for the next query. So the notifications of all that was committed
		// before asked have been received by now.
		syncedUntil(since, asked)
		if err := waitForNotifications(ctx, conn); err != nil {
			return err
		}
	}
}

func ping(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// waitForNotifications receives notifications until it is time for the next ping.
func waitForNotifications(ctx context.Context, conn *pgconn.PgConn) error {
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
