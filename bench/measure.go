//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Databases of one name are shared by the measurements that use them.
func (b *bench) ordinary() plan { return plan{name: "ordinary", keys: b.keys} }
func (b *bench) longLog() plan {
	return plan{name: "long-log", keys: b.keys, rows: b.manyRows, span: 30 * day}
}

// warm sends one request with each key, so that all keys are in memory.
func (b *bench) warm(ctx context.Context, s *server) error {
	all := b.validate(s)
	all.spec.Once = true
	_, err := b.drive(ctx, all)
	return err
}

// started starts a server on the plan's database and sends one request with each of its keys.
func (b *bench) started(ctx context.Context, p plan, settings ...string) (*server, error) {
	s, err := b.start(ctx, p, settings...)
	if err == nil {
		err = b.warm(ctx, s)
	}
	return s, err
}

// againstPlain compares the throughput of subject with that of the plain route.
func (b *bench) againstPlain(ctx context.Context, what string, s *server, subject side, goal goal) error {
	c, err := b.compare(ctx, b.plain(s), subject)
	if err == nil {
		b.throughput(what, c, goal)
	}
	return err
}

// compareServers compares the throughput of validate on two servers. While one is under load, the other is idle.
func (b *bench) compareServers(ctx context.Context, what string, baseline, subject *server) error {
	sides := []side{b.validate(baseline), b.validate(subject)}
	for i := range sides {
		sides[i].name = sides[i].server.data.name
	}
	c, err := b.compare(ctx, sides[0], sides[1])
	if err == nil {
		b.throughput(what, c, atLeast(.90))
	}
	return err
}

func validateBatch(ctx context.Context, b *bench) error {
	s, err := b.started(ctx, b.ordinary())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("validate ÷ plain route, batch, %s keys", count(b.keys))
	return b.againstPlain(ctx, what, s, b.validate(s), atLeast(.80))
}

func validateSync(ctx context.Context, b *bench) error {
	s, err := b.start(ctx, b.ordinary(), "CLAVIGER_LOG_DURABILITY=sync")
	if err != nil && strings.Contains(err.Error(), "CLAVIGER_LOG_DURABILITY") {
		return skip(strings.Join(strings.Fields(err.Error()), " "))
	}
	if err == nil {
		err = b.warm(ctx, s)
	}
	if err != nil {
		return err
	}
	what := fmt.Sprintf("validate ÷ plain route, sync, %s keys", count(b.keys))
	return b.againstPlain(ctx, what, s, b.validate(s), atLeast(.60))
}

// latency compares latencies at a rate that both sides can sustain; at full speed they would only show the queue.
func latency(ctx context.Context, b *bench) error {
	s, err := b.started(ctx, b.ordinary())
	if err != nil {
		return err
	}
	plain, validate := b.plain(s), b.validate(s)
	var most []sample
	for range 3 {
		got, err := b.drive(ctx, plain)
		if err != nil {
			return err
		}
		most = append(most, got)
	}
	plain.spec.Rate = median(most, func(s sample) float64 { return s.perSecond() }) / 2
	validate.spec.Rate = plain.spec.Rate
	c, err := b.compare(ctx, plain, validate)
	if err != nil {
		return err
	}
	p99 := func(s sample) float64 { return float64(s.Latency.quantile(.99)) }
	late := func(list []sample) string {
		return round(time.Duration(median(list, func(s sample) float64 { return float64(s.Late.quantile(.99)) })))
	}
	b.report.add(line{
		what:     fmt.Sprintf("p99 of validate ÷ p99 of plain route, both at %s/s", count(int(plain.spec.Rate))),
		baseline: round(time.Duration(median(c.baseline, p99))),
		subject:  round(time.Duration(median(c.subject, p99))),
		ratios:   c.ratios(p99),
		goal:     atMost(1.5),
		notes: append(c.notes(), fmt.Sprintf(
			"latencies count from when a request was due; p99 of how late requests were sent: plain %s, validate %s",
			late(c.baseline), late(c.subject))),
	})
	return nil
}

// garbage sends a key with a wrong checksum. It is always the same key, because many different ones would block the
// address.
func garbage(ctx context.Context, b *bench) error {
	s, err := b.started(ctx, b.ordinary())
	if err != nil {
		return err
	}
	secrets, err := os.ReadFile(s.data.secretsFile)
	if err != nil {
		return err
	}
	key, _, _ := strings.Cut(string(secrets), "\n")
	last := byte('0')
	if key[len(key)-1] == last {
		last = '1'
	}
	bad := b.validate(s)
	bad.name, bad.recorded = "garbage", false
	bad.spec.Head += key[:len(key)-1] + string(last)
	bad.spec.SecretsFile, bad.spec.Status = "", 401
	return b.againstPlain(ctx, "garbage (wrong checksum) ÷ plain route", s, bad, atLeast(.95))
}

func manyKeys(ctx context.Context, b *bench) error {
	few, err := b.started(ctx, plan{name: "few-keys", keys: b.fewKeys})
	if err != nil {
		return err
	}
	many, err := b.started(ctx, plan{name: "many-keys", keys: b.manyKeys})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("validate, %s keys ÷ %s keys", count(b.manyKeys), count(b.fewKeys))
	return b.compareServers(ctx, what, few, many)
}

func manyRows(ctx context.Context, b *bench) error {
	empty, err := b.started(ctx, plan{name: "empty-log", keys: b.keys})
	if err != nil {
		return err
	}
	long, err := b.started(ctx, b.longLog())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("validate, %s log rows ÷ empty log", count(b.manyRows))
	return b.compareServers(ctx, what, empty, long)
}
