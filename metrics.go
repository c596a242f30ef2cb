package main

import (
	"net/http"
	"sync/atomic"

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

// metricsHandler gives the metrics of this process in Prometheus form.
func metricsHandler(g *gate.Gate, durations prometheus.Collector, queries *atomic.Uint64) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		durations, gateMetrics{g},
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "claviger_database_statements_total", Help: "Statements sent to the database."},
			func() float64 { return float64(queries.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "claviger_build_info", Help: "Always 1; the label tells the version.", ConstLabels: prometheus.Labels{"version": version()},
		}, func() float64 { return 1 }),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// gateMetrics turns the gate's counts into metrics when they are asked for.
type gateMetrics struct{ gate *gate.Gate }

var (
	verdictsDesc = prometheus.NewDesc("claviger_verdicts_total", "Answers of validate by code.", []string{"code"}, nil)
	hitsDesc     = prometheus.NewDesc("claviger_directory_lookups_total", "Look-ups of keys by where they were answered.", []string{"from"}, nil)
	waitingDesc  = prometheus.NewDesc("claviger_recorder_waiting_rows", "Rows of the request log that are not written yet.", nil, nil)
	rowsDesc     = prometheus.NewDesc("claviger_recorder_rows_total", "Rows of the request log by what became of them.", []string{"outcome"}, nil)
	blockedDesc  = prometheus.NewDesc("claviger_blocked_addresses", "Addresses that are blocked in a project at this moment.", nil, nil)
	retriesDesc  = prometheus.NewDesc("claviger_recorder_retries_total", "Attempts to write rows that failed and were repeated.", nil, nil)
)

func (gateMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{verdictsDesc, hitsDesc, waitingDesc, rowsDesc, retriesDesc, blockedDesc} {
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
	counter(hitsDesc, stats.DirectoryHits, "memory")
	counter(hitsDesc, stats.DirectoryMisses, "database")
	out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(stats.Recorder.Waiting))
	out <- prometheus.MustNewConstMetric(blockedDesc, prometheus.GaugeValue, float64(stats.BlockedAddresses))
	counter(rowsDesc, stats.Recorder.Stored, "written")
	counter(rowsDesc, stats.Recorder.Dropped, "dropped")
	counter(retriesDesc, stats.Recorder.Retries)
}
