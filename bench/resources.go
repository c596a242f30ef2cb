//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// requestsOnRecord is the number of requests of each key in the log, over the last day, when memory is measured.
const requestsOnRecord = 20

// memory measures the server's memory after one request with each key. The earlier requests are written through the
// log, so that they are stored as after a day of use.
func memory(ctx context.Context, b *bench) error {
	s, err := b.start(ctx, plan{
		name: "memory", keys: b.manyKeys, rows: requestsOnRecord * b.manyKeys, span: day, inTurn: true,
	})
	if err != nil {
		return err
	}
	before, err := s.memory("VmRSS")
	if err != nil {
		return err
	}
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	at, took, err := b.settled(ctx, s)
	if err != nil {
		return err
	}
	most, err := s.memory("VmHWM")
	if err != nil {
		return err
	}
	goal := goal{bound: 600, atMost: true, unit: "MB"}
	if b.manyKeys < 1_000_000 {
		goal.bound = 0 // the goal is for a million keys
	}
	b.report.add(line{
		what:     fmt.Sprintf("resident memory, %s keys in use", count(b.manyKeys)),
		baseline: megabytes(before),
		subject:  megabytes(at),
		value:    float64(at) / 1e6,
		goal:     goal,
		notes: []string{
			fmt.Sprintf("the baseline is the same server after its start, with %d requests of each key in the log",
				requestsOnRecord),
			fmt.Sprintf("settled after %s; the maximum was %s", round(took), megabytes(most)),
		},
	})
	return nil
}

// settled waits until garbage has been collected and returned to the system, and returns the resident memory in bytes
// and how long that took. It waits for two collections, which an idle Go program makes every two minutes, and for ten
// seconds without a change. It ends after b.settle in any case.
func (b *bench) settled(ctx context.Context, s *server) (size int64, took time.Duration, err error) {
	const step, steady = time.Second, 10
	begin := time.Now()
	first, err := s.metric(ctx, gcCycles, "")
	if err != nil {
		return 0, 0, err
	}
	for same := 0; time.Since(begin) < b.settle; {
		select {
		case <-time.After(step):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		now, err := s.memory("VmRSS")
		if err != nil {
			return 0, 0, err
		}
		if same++; now < size*99/100 || now > size*101/100 {
			same = 0
		}
		size = now
		cycles, err := s.metric(ctx, gcCycles, "")
		if err != nil {
			return 0, 0, err
		}
		if same >= steady && cycles >= first+2 {
			break
		}
	}
	return size, time.Since(begin), nil
}

// allocations runs the gate's own benchmark.
func allocations(ctx context.Context, b *bench) error {
	const benchmark = "BenchmarkCheck"
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+benchmark+"$", "-benchmem",
		"github.com/claviger/claviger/gate")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	found := false
	for text := range strings.Lines(string(out)) {
		fields := strings.Fields(text)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], benchmark) || fields[len(fields)-1] != "allocs/op" {
			continue
		}
		n, err := strconv.ParseFloat(fields[len(fields)-2], 64)
		if err != nil {
			return err
		}
		found = true
		b.report.add(line{
			what:    "allocations, " + fields[0],
			subject: fmt.Sprintf("%.0f", n),
			value:   n,
			goal:    atMost(2),
			notes:   []string{strings.Join(fields[1:], " ")},
		})
	}
	if !found {
		return skip("gate has no " + benchmark + " that reports allocations")
	}
	return nil
}
