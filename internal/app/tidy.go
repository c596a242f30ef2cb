package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/claviger/claviger/models"
)

const (
	// tidyEvery is the pause between rounds, and tidyPause the pause between the steps of a round, in which requests
	// and pages can use the database.
	tidyEvery = time.Minute
	tidyPause = 10 * time.Millisecond
)

// keepTidy removes old rows and maintains indexes in the background until stop is called. stop waits for the current
// step.
func keepTidy(store *models.Store, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			more, err := store.Tidy(ctx)
			if err != nil && ctx.Err() == nil {
				log.Error("removing old rows of the request log failed; trying again", "error", err)
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
