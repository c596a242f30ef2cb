package app

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claviger/claviger/gate"
)

// newDurations measures how long validate takes, in seconds.
func newDurations() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "claviger_validate_duration_seconds", Help: "Time to answer a validate request.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
	})
}

// propagation measures the propagation latency of changes: the time from a change to its effect in this process, in
// seconds.
type propagation struct{ *prometheus.HistogramVec }

func newPropagation() propagation {
	return propagation{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "claviger_change_propagation_seconds",
		Help: "Time from a change to its effect in this process. origin is local for changes of this process " +
			"and remote for those of others, whose start is by the other process's clock.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, []string{"origin"})}
}

func (p propagation) observe(took time.Duration, remote bool) {
	origin := "local"
	if remote {
		origin = "remote"
	}
	p.WithLabelValues(origin).Observe(took.Seconds())
}

// metricsHandler serves the metrics of this process in Prometheus format: those in measured, and those of the gate.
func metricsHandler(g *gate.Gate, measured []prometheus.Collector, queries *atomic.Uint64) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(measured...)
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gateMetrics{g},
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "claviger_database_statements_total", Help: "Statements sent to the database.",
		}, func() float64 { return float64(queries.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "claviger_build_info", Help: "Always 1; the label is the version.",
			ConstLabels: prometheus.Labels{"version": version()},
		}, func() float64 { return 1 }),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// gateMetrics reads the gate's counts at each scrape.
type gateMetrics struct{ gate *gate.Gate }

var (
	verdictsDesc = describe("claviger_verdicts_total", "Validate requests by the code of the answer.", "code")
	lookupsDesc  = describe("claviger_key_cache_lookups_total",
		"Look-ups of keys by where the answer came from: memory or database.", "from")
	waitingDesc = describe("claviger_recorder_waiting_rows",
		"Rows of the request log that are not in the database yet, spooled ones included.")
	spooledDesc = describe("claviger_recorder_spooled_rows", "Rows in the spool that are not in the database yet.")
	spoolDesc   = describe("claviger_recorder_spooled_bytes", "Bytes in the spool that are not in the database yet.")
	lagDesc     = describe("claviger_recorder_lag_seconds",
		"Age of the oldest row that is not in the database yet.")
	rowsDesc = describe("claviger_recorder_rows_total",
		"Rows of the request log that were written to the database or dropped.", "outcome")
	connectedDesc = describe("claviger_change_feed_connected",
		"1 while changes of other processes arrive, or there are no other processes; "+
			"0 while they may be missed, so that keys are read again when they are used.")
	blockedDesc = describe("claviger_blocked_addresses",
		"Blocks of addresses that are in force now.")
	entriesDesc = describe("claviger_key_cache_entries",
		"Versions of keys, and meters that count the requests of keys, in memory.", "kind")
	retriesDesc = describe("claviger_recorder_retries_total",
		"Attempts to write rows that failed and are repeated.")
)

// describe makes the description of a metric of the gate.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (gateMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		verdictsDesc, lookupsDesc, waitingDesc, spooledDesc, spoolDesc, lagDesc, rowsDesc, connectedDesc, retriesDesc,
		blockedDesc, entriesDesc,
	} {
		out <- d
	}
}

func (m gateMetrics) Collect(out chan<- prometheus.Metric) {
	stats := m.gate.Stats()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for code, n := range stats.Verdicts {
		counter(verdictsDesc, n, string(code))
	}
	counter(lookupsDesc, stats.KeyCacheHits, "memory")
	counter(lookupsDesc, stats.KeyCacheMisses, "database")
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	connected := 0.0
	if stats.ChangeFeedConnected {
		connected = 1
	}
	gauge(connectedDesc, connected)
	gauge(waitingDesc, float64(stats.Recorder.Waiting))
	gauge(spooledDesc, float64(stats.Recorder.SpooledRows))
	gauge(spoolDesc, float64(stats.Recorder.SpoolBytes))
	gauge(lagDesc, stats.Recorder.Lag.Seconds())
	gauge(blockedDesc, float64(stats.BlockedAddresses))
	gauge(entriesDesc, float64(stats.KnownVersions), "version")
	gauge(entriesDesc, float64(stats.Meters), "meter")
	counter(rowsDesc, stats.Recorder.Stored, "written")
	counter(rowsDesc, stats.Recorder.Dropped, "dropped")
	counter(retriesDesc, stats.Recorder.Retries)
}
