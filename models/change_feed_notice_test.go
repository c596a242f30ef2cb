package models

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestANotificationFitsIntoAPayloadOfPostgres(t *testing.T) {
	for _, n := range []int{1, maxNotifiedChanges, maxNotifiedChanges + 1, 100_000} {
		changes := make([]Change, n)
		for i := range changes {
			changes[i] = Change{
				Kind:      "service_token_or_longer",
				ID:        math.MaxInt64 - int64(i),
				ProjectID: math.MaxInt64,
				At:        time.Now(),
			}
		}
		payload, err := json.Marshal(newNotification(strings.Repeat("f", 16), changes))
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) >= 8000 {
			t.Errorf("%d changes: got %d bytes, want less than 8000", n, len(payload))
		}
		names := strings.Contains(string(payload), `"id"`)
		if names != (n <= maxNotifiedChanges) || strings.Contains(string(payload), Everything) == names {
			t.Errorf("%d changes: the notification is %.80s", n, payload)
		}
	}
}

func TestANotificationThatCannotBeDecodedCountsAsEverything(t *testing.T) {
	for _, payload := range []string{"", "{", `{"changes":7}`, "something else"} {
		s := &Store{now: time.Now}
		s.renameSender()
		var got []Change
		s.Subscribe(func(c Change) { got = append(got, c) })
		s.receive(payload)
		if len(got) != 1 || got[0].Kind != Everything || !got[0].Remote {
			t.Errorf("%q: got %+v, want one remote change of everything", payload, got)
		}
	}
}

func TestEachSchemaHasItsOwnValidChannel(t *testing.T) {
	seen := map[string]string{}
	long := strings.Repeat("s", 60)
	for _, schema := range []string{"public", "Public", "test_1", long + "aaa", long + "aab", `with "quotes"`} {
		channel := notificationChannel(schema)
		if len(channel) > 63 {
			t.Errorf("the channel of %s is too long: %s", schema, channel)
		}
		if other, taken := seen[channel]; taken {
			t.Errorf("%s and %s share the channel %s", schema, other, channel)
		}
		seen[channel] = schema
	}
}
