package gate

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/models"
)

// insist tries until it works, or can never work, or is pointless, or end is closed.
func insist(end <-chan struct{}, try func(context.Context) error, pointless func() bool) error {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := once(try)
		var final *models.Error
		if err == nil || errors.As(err, &final) || pointless() {
			return err
		}
		select {
		case <-time.After(pause):
		case <-end:
			return err
		}
	}
}

func once(try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return try(ctx)
}
