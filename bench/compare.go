//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// bench is the state of one run of the program.
type bench struct {
	options
	folder, binary string
	datasets       map[string]*dataset
	running        []*server
	report         report
	seed           uint64
}

// start starts a server on the database of the plan. It fills the database on first use.
func (b *bench) start(ctx context.Context, p plan, settings ...string) (*server, error) {
	d := b.datasets[p.name]
	if d == nil {
		progress("  filling %s: %s keys, %s rows", p.name, count(p.keys), count(p.rows))
		var err error
		if d, err = newDataset(ctx, b.folder, b.postgres, p); err != nil {
			return nil, err
		}
		b.datasets[p.name] = d
		progress("  filled in %s", round(d.seeding))
	}
	s, err := startServer(ctx, b.binary, d, settings...)
	if err != nil {
		return nil, err
	}
	progress("  the server on %s was ready after %s", p.name, round(s.started))
	if b.report.serverProcs == 0 {
		if procs, err := s.metric(ctx, goProcs, ""); err == nil {
			b.report.serverProcs = int(procs)
		}
	}
	b.running = append(b.running, s)
	return s, nil
}

// stopServers ends all servers. It returns an error if one has dropped a row.
func (b *bench) stopServers() error {
	var problems []error
	for _, s := range b.running {
		lost, err := s.metric(context.Background(), rowsTotal, dropped)
		if err == nil && lost > 0 {
			err = fmt.Errorf("the server on %s dropped %.0f rows", s.data.name, lost)
		}
		problems = append(problems, err, s.stop())
	}
	b.running = nil
	return errors.Join(problems...)
}

// checkRecords adds to the report, for each database, whether every answered request is in its log.
func (b *bench) checkRecords(ctx context.Context) {
	for _, d := range b.datasets {
		if d.answered.Load() == 0 {
			continue
		}
		text, err := d.check(ctx)
		if err != nil {
			b.report.failed("every answered request is in the log, once", err)
			continue
		}
		b.report.records = append(b.report.records, text)
	}
	slices.Sort(b.report.records)
}

// close ends the servers and removes the databases.
func (b *bench) close() error {
	problems := []error{b.stopServers()}
	for _, d := range b.datasets {
		problems = append(problems, d.remove())
	}
	return errors.Join(problems...)
}

// side is one of the two loads of a comparison.
type side struct {
	name     string
	server   *server
	spec     loadSpec
	recorded bool // each request has a row in the log
}

// plain requests /healthz, the same binary's simplest JSON route.
func (b *bench) plain(s *server) side {
	return side{name: "plain", server: s, spec: loadSpec{
		Addr: s.addr, Head: "GET /healthz HTTP/1.1\r\nHost: " + s.addr + "\r\n", Tail: "\r\n", Status: 200,
	}}
}

// validate validates keys of the server's database, chosen at random.
func (b *bench) validate(s *server) side {
	tail := "\r\n"
	if b.sessions {
		tail += "X-Session-ID: " + sessionMark + "\r\n"
	}
	return side{name: "validate", server: s, recorded: true, spec: loadSpec{
		Addr:        s.addr,
		Head:        "GET /v1/projects/" + slug + "/validate HTTP/1.1\r\nHost: " + s.addr + "\r\nX-API-Key: ",
		Tail:        tail + "\r\n",
		SecretsFile: s.data.secretsFile,
		Secrets:     s.data.keys,
		Status:      200,
	}}
}

// sample is the result of one load, with its CPU time.
type sample struct {
	*loadResult
	serverCPU, generatorCPU time.Duration // per answer
	behind                  float64       // rows that were not written when the load ended
	drained                 time.Duration // how long writing them took
}

// drive runs one load. It returns when the server has written the log, which counts as part of the load's CPU time.
func (b *bench) drive(ctx context.Context, l side) (sample, error) {
	l.spec.Connections = b.connections
	if !l.spec.Once {
		l.spec.Duration, l.spec.Warm = b.length, b.length/10
	}
	b.seed++
	l.spec.Seed = b.seed
	before, err := l.server.cpu()
	if err != nil {
		return sample{}, err
	}
	result, err := runLoad(ctx, l.spec)
	if err != nil {
		return sample{}, err
	}
	got := sample{loadResult: result}
	if l.recorded {
		l.server.data.answered.Add(result.Answered)
		if got.behind, got.drained, err = l.server.drain(ctx); err != nil {
			return sample{}, err
		}
	}
	after, err := l.server.cpu()
	if err != nil {
		return sample{}, err
	}
	if result.Unexpected > 0 {
		return sample{}, fmt.Errorf("%d of %d answers of %s have another status than %d, such as %q",
			result.Unexpected, result.Answered, l.name, l.spec.Status, result.Example)
	}
	if result.Counted == 0 {
		return sample{}, fmt.Errorf("%s: no answer within %s", l.name, result.Elapsed)
	}
	got.serverCPU = (after - before) / time.Duration(result.Answered)
	got.generatorCPU = result.CPU / time.Duration(result.Answered)
	return got, nil
}

// compared holds the samples of two loads that alternated.
type compared struct {
	names             [2]string
	baseline, subject []sample
}

// compare runs baseline and subject alternately. The one that goes first also alternates.
func (b *bench) compare(ctx context.Context, baseline, subject side) (c compared, err error) {
	c.names = [2]string{baseline.name, subject.name}
	for i := range b.rounds {
		turns := []struct {
			side
			samples *[]sample
		}{{baseline, &c.baseline}, {subject, &c.subject}}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		var results []string
		for _, t := range turns {
			got, err := b.drive(ctx, t.side)
			if err != nil {
				return c, err
			}
			*t.samples = append(*t.samples, got)
			results = append(results, fmt.Sprintf("%s %s/s, p99 %s",
				t.name, count(int(got.perSecond())), round(got.Latency.quantile(.99))))
		}
		progress("  round %d of %d: %s", i+1, b.rounds, strings.Join(results, "; "))
	}
	return c, nil
}

// ratios returns subject ÷ baseline of a value, for each round.
func (c compared) ratios(value func(sample) float64) []float64 {
	list := make([]float64, len(c.subject))
	for i := range list {
		list[i] = value(c.subject[i]) / value(c.baseline[i])
	}
	return list
}

// notes returns the lines below a comparison: CPU time per request, latencies, and how many rows were not written yet.
func (c compared) notes() []string {
	var list []string
	for i, samples := range [][]sample{c.baseline, c.subject} {
		medianOf := func(f func(sample) time.Duration) string {
			return round(time.Duration(median(samples, func(x sample) float64 { return float64(f(x)) })))
		}
		text := fmt.Sprintf("%s: server %s and generator %s of CPU time per request; p50 %s, p99 %s, p99.9 %s",
			c.names[i],
			medianOf(func(x sample) time.Duration { return x.serverCPU }),
			medianOf(func(x sample) time.Duration { return x.generatorCPU }),
			medianOf(func(x sample) time.Duration { return x.Latency.quantile(.5) }),
			medianOf(func(x sample) time.Duration { return x.Latency.quantile(.99) }),
			medianOf(func(x sample) time.Duration { return x.Latency.quantile(.999) }))
		behind := slices.MaxFunc(samples, func(a, b sample) int { return int(a.behind - b.behind) })
		if behind.behind > 0 {
			text += fmt.Sprintf("; at most %s rows behind at the end, written %s later",
				count(int(behind.behind)), round(behind.drained))
		}
		list = append(list, text)
	}
	return list
}

// throughput adds the requests per second of both sides to the report.
func (b *bench) throughput(what string, c compared, goal goal) {
	rate := func(s sample) float64 { return s.perSecond() }
	perSecond := func(list []sample) string { return count(int(median(list, rate))) + "/s" }
	b.report.add(line{
		what:     what,
		baseline: perSecond(c.baseline),
		subject:  perSecond(c.subject),
		ratios:   c.ratios(rate),
		goal:     goal,
		notes:    c.notes(),
	})
}

// median returns the median of a value of list; for an even length the mean of the middle two.
func median[T any](list []T, value func(T) float64) float64 {
	values := make([]float64, len(list))
	for i, x := range list {
		values[i] = value(x)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
