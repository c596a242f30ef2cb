package process_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestMetricsCountVerdictsOnTheirOwnAddress(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		metricsAddr := freeAddr(t)
		i := newInstance(t, url).with("CLAVIGER_METRICS_ADDR=" + metricsAddr)
		s := i.setup("--email", "ada@example.com", "--project", "first")
		p := i.serve()
		p.validate(s.Project, s.Key, "")
		p.validate(s.Project, "clv_prod_typo", "")

		metrics := func() string {
			r := ask(t, http.MethodGet, "http://"+metricsAddr+"/metrics", "")
			if r.Status != http.StatusOK {
				t.Fatalf("/metrics answered %d, want 200: %s", r.Status, r.Body)
			}
			return r.Body
		}
		for _, line := range []string{
			`claviger_verdicts_total{code="valid"} 1`,
			`claviger_verdicts_total{code="key_invalid"} 1`,
			`claviger_verdicts_total{code="key_missing"} 0`,
			`claviger_validate_duration_seconds_count 2`,
			`claviger_key_cache_lookups_total{from="database"} 1`,
		} {
			if text := metrics(); !strings.Contains(text, line+"\n") {
				t.Errorf("the metrics have no line %s:\n%s", line, text)
			}
		}
		eventually(t, "changes of other processes to arrive",
			func() bool { return strings.Contains(metrics(), "claviger_change_feed_connected 1\n") })
		label := ask(t, http.MethodPost, p.URL+"/projects/"+s.Project+"/categories", "name=label",
			"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin",
			"Cookie", p.signIn(s.Email, s.Password))
		if line := `claviger_change_propagation_seconds_count{origin="local"} 1`; label.Status != http.StatusSeeOther ||
			!strings.Contains(metrics(), line+"\n") {
			t.Errorf("a change answered %d, want 303 and the metric %s", label.Status, line)
		}
		eventually(t, "the row to be counted as written", func() bool {
			return strings.Contains(metrics(), `claviger_recorder_rows_total{outcome="written"} 1`+"\n")
		})
		for _, name := range []string{"waiting_rows", "spooled_rows", "spooled_bytes", "lag_seconds", "retries_total"} {
			if text := metrics(); !strings.Contains(text, "claviger_recorder_"+name+" 0\n") {
				t.Errorf("the metric %s is not 0:\n%s", name, text)
			}
		}
		if strings.Contains(metrics(), s.Key) {
			t.Error("the metrics contain the key's secret")
		}

		for _, address := range []string{
			p.URL + "/metrics", "http://" + metricsAddr + "/readyz", "http://" + metricsAddr + "/",
		} {
			if r := ask(t, http.MethodGet, address, ""); r.Status != http.StatusNotFound {
				t.Errorf("%s answered %d, want 404", address, r.Status)
			}
		}
		if strings.Contains(p.get("/").Body, "claviger_") {
			t.Error("the main address shows metrics")
		}
	})
}

// CLAVIGER_MAX_KEYS limits how many keys are in memory. Further keys are valid, too.
func TestNoMoreKeysAreInMemoryThanTheSettingSays(t *testing.T) {
	t.Parallel()
	metricsAddr := freeAddr(t)
	i := newInstance(t, "").with("CLAVIGER_METRICS_ADDR="+metricsAddr, "CLAVIGER_MAX_KEYS=1000")
	s := i.setup("--email", "ada@example.com", "--project", "first")
	const keys, most = 1300, 1064 // the setting, and one more for each of 64 shards
	daily := int64(100)
	made := i.createKeys(s.ProjectID, keys, models.KeyInput{Quotas: models.Quotas{Daily: &daily}})
	p := i.serve()
	for _, key := range made {
		if v := p.validate(s.Project, key.secret, ""); v.Code != "valid" {
			t.Fatalf("key %d is %s, want valid", key.id, v.Code)
		}
	}
	for _, kind := range []string{"version", "meter"} {
		got := metric(t, metricsAddr, `claviger_key_cache_entries{kind="`+kind+`"}`)
		if got > most || got < 500 {
			t.Errorf("of %d keys, %g entries of the kind %s are in memory, want 500 to %d", keys, got, kind, most)
		}
	}
}
