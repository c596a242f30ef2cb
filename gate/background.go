package gate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/claviger/claviger/models"
)

// What the gate's loops in the background have in common.

// insist tries until it works, or can never work, or is pointless, or end is closed. pointless may be nil. Where it takes longer
// than a moment, the log says so, once.
func insist(end <-chan struct{}, log *slog.Logger, try func(context.Context) error, pointless func() bool) error {
	told := false
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := once(try)
		var final *models.Error
		if err == nil || errors.As(err, &final) || pointless != nil && pointless() {
			return err
		}
		if pause == lastRetry && !told {
			told = true
			log.Warn("the database does not take or give what the gate keeps there, trying on", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-end:
			return err
		}
	}
}

// once tries with the time that one write may take.
func once(try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return try(ctx)
}

// flushed puts a question into a loop's queue, which the loop answers by closing answered when all before it is done.
func flushed[J any](ctx context.Context, queue chan<- J, question func(answered chan<- struct{}) J) error {
	answered := make(chan struct{})
	select {
	case queue <- question(answered):
		return ended(ctx, answered)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended returns when done is closed, or with ctx's error.
func ended(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
