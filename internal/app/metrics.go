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

// effects measures how long it takes from a change to its effect in this process, in seconds.
type effects struct{ *prometheus.HistogramVec }

func newEffects() effects {
	return effects{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "claviger_change_effect_seconds",
		Help: "Time from a change to its effect here, " +
			"by whether this process made it or another one, by whose clock it began.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, []string{"origin"})}
}

func (e effects) observe(took time.Duration, remote bool) {
	origin := "local"
	if remote {
		origin = "remote"
	}
	e.WithLabelValues(origin).Observe(took.Seconds())
}

// metricsHandler gives the metrics of this process in Prometheus form: those measured elsewhere, and those of the gate.
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
			Name: "claviger_build_info", Help: "Always 1; the label tells the version.",
			ConstLabels: prometheus.Labels{"version": version()},
		}, func() float64 { return 1 }),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// gateMetrics turns the gate's counts into metrics when they are asked for.
type gateMetrics struct{ gate *gate.Gate }

var (
	verdictsDesc = describe("claviger_verdicts_total", "Answers of validate by code.", "code")
	hitsDesc     = describe("claviger_directory_lookups_total",
		"Look-ups of keys by where they were answered.", "from")
	waitingDesc = describe("claviger_recorder_waiting_rows",
		"Rows of the request log that are not in the database yet, spooled ones included.")
	spooledDesc = describe("claviger_recorder_spooled_rows", "Rows that wait in the spool for the database.")
	spoolDesc   = describe("claviger_recorder_spooled_bytes", "Size of the rows that wait in the spool.")
	lagDesc     = describe("claviger_recorder_lag_seconds",
		"Age of the oldest row that is not in the database yet.")
	rowsDesc = describe("claviger_recorder_rows_total",
		"Rows of the request log by what became of them.", "outcome")
	hearsDesc = describe("claviger_changes_heard",
		"1 while changes of other processes are told here, or there are none; 0 while keys are read again instead.")
	blockedDesc = describe("claviger_blocked_addresses",
		"Addresses that are blocked in a project at this moment.")
	knownDesc = describe("claviger_directory_entries",
		"What the gate keeps in memory: versions of keys, and keys whose requests are counted.", "kind")
	retriesDesc = describe("claviger_recorder_retries_total",
		"Attempts to write rows that failed and were repeated.")
)

// describe makes the description of a metric of the gate.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (gateMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		verdictsDesc, hitsDesc, waitingDesc, spooledDesc, spoolDesc, lagDesc, rowsDesc, hearsDesc, retriesDesc,
		blockedDesc, knownDesc,
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
	counter(hitsDesc, stats.KeyCacheHits, "memory")
	counter(hitsDesc, stats.KeyCacheMisses, "database")
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	hears := 0.0
	if stats.ChangeFeedConnected {
		hears = 1
	}
	gauge(hearsDesc, hears)
	gauge(waitingDesc, float64(stats.Recorder.Waiting))
	gauge(spooledDesc, float64(stats.Recorder.SpooledRows))
	gauge(spoolDesc, float64(stats.Recorder.SpoolBytes))
	gauge(lagDesc, stats.Recorder.Lag.Seconds())
	gauge(blockedDesc, float64(stats.BlockedAddresses))
	gauge(knownDesc, float64(stats.KnownVersions), "version")
	gauge(knownDesc, float64(stats.Meters), "meter")
	counter(rowsDesc, stats.Recorder.Stored, "written")
	counter(rowsDesc, stats.Recorder.Dropped, "dropped")
	counter(retriesDesc, stats.Recorder.Retries)
}
