package models

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestANoticeFitsWhatPostgresTakes(t *testing.T) {
	for _, n := range []int{1, maxNotifiedChanges, maxNotifiedChanges + 1, 100_000} {
		changes := make([]Change, n)
		for i := range changes {
			changes[i] = Change{Kind: "service_token_or_longer", ID: math.MaxInt64 - int64(i), ProjectID: math.MaxInt64, At: time.Now()}
		}
		payload, err := json.Marshal(newNotification(strings.Repeat("f", 16), changes))
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) >= 8000 {
			t.Errorf("%d changes give %d bytes", n, len(payload))
		}
		if names := strings.Contains(string(payload), `"id"`); names != (n <= maxNotifiedChanges) || strings.Contains(string(payload), Everything) == names {
			t.Errorf("of %d changes the notice says %.80s", n, payload)
		}
	}
}

func TestANoticeThatCannotBeReadMayMeanAnything(t *testing.T) {
	for _, payload := range []string{"", "{", `{"changes":7}`, "something else"} {
		s := &Store{now: time.Now}
		s.renameSender()
		var told []Change
		s.Subscribe(func(c Change) { told = append(told, c) })
		s.receive(payload)
		if len(told) != 1 || told[0].Kind != Everything || !told[0].Remote {
			t.Errorf("%q tells %+v", payload, told)
		}
	}
}

func TestEachSchemaHasAChannelThatPostgresTakes(t *testing.T) {
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
