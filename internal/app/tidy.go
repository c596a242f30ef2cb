package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// tidyEvery is how long the tables of requests are left alone once they are tidy; tidyPause is between two steps,
	// so that requests and pages get their turn.
	tidyEvery = time.Minute
	tidyPause = 10 * time.Millisecond
)

// keepTidy removes old rows and sees to the indexes in the background until stop is called, which waits for the step
// that is under way.
func keepTidy(store *models.Store, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			more, err := store.Tidy(ctx)
			if err != nil && ctx.Err() == nil {
				log.Error("the log of requests could not be tidied, trying again", "error", err)
			}
			pause := tidyEvery
			if more {
				pause = tidyPause
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
