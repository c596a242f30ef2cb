package requestlog_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models/requestlog"
)

// The log line of a 500 must tell which call failed, whichever it is.
func TestEveryErrorOfTheLogSaysWhatWasBeingDone(t *testing.T) {
	doing := regexp.MustCompile(`^[a-z]+ ([a-z0-9]+ )*[a-z]+: `)
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		store := testkit.Store(t, url, testkit.NewClock(), nil)
		log, ctx := store.Log(), t.Context()
		store.Close()
		for name, call := range map[string]func() error{
			"Write": func() error { return log.Write(ctx, []requestlog.Row{{ID: 1}}) },
			"Complete": func() error {
				_, err := log.Complete(ctx, 1, []requestlog.Report{{ID: 1}})
				return err
			},
			"List": func() error {
				_, err := log.List(ctx, requestlog.Query{ProjectID: 1, To: requestlog.EndOfIDs, Limit: 1})
				return err
			},
			"List of a key": func() error {
				_, err := log.List(ctx, requestlog.Query{ProjectID: 1, KeyID: 1, To: requestlog.EndOfIDs, Limit: 1})
				return err
			},
			"NewIDs": func() error {
				_, err := log.NewIDs(ctx)
				return err
			},
			"UsageByMinute": func() error {
				_, err := log.UsageByMinute(ctx, 1, 1, 2)
				return err
			},
			"KeyUsage": func() error {
				_, err := log.KeyUsage(ctx, 1)
				return err
			},
			"UsageByVersion": func() error {
				_, err := log.UsageByVersion(ctx, 1, time.Unix(0, 0))
				return err
			},
			"Tidy": func() error {
				_, err := log.Tidy(ctx, &requestlog.Retention{})
				return err
			},
		} {
			if err := call(); err == nil || !doing.MatchString(err.Error()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
