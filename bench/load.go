//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// loadSpec is what the load generator is told. It runs as a process of its own, so that server and generator share the
// machine as a server and its client would.
type loadSpec struct {
	Addr        string // IPv4:port
	Head, Tail  string // of a request; a secret goes between the two. In Tail, sessionMark stands for the connection's session
	SecretsFile string // a secret a line, all of one length; empty for requests without
	Secrets     int    // how many of its lines to use
	Connections int
	Warm        time.Duration // before what is counted
	Duration    time.Duration // of what is counted
	Once        bool          // ask once for each secret in place of the time above
	Rate        float64       // requests a second, evenly spaced whatever the answers do; 0 is as fast as answers come
	Status      int           // that every answer should have
	Seed        uint64
}

// sessionMark is replaced by a name of the connection's own: requests of one connection are one consumer's.
const sessionMark = "{session}"

// loadResult is what came of it.
type loadResult struct {
	Answered   uint64        // all answers, those of the warm-up included: what must be in the log
	Unexpected uint64        // answers with another status than the one expected
	Example    string        // one of those
	Counted    uint64        // answers within the counted time
	Elapsed    time.Duration // the counted time
	Latency    *histogram    // of counted answers; at a constant rate from the moment at which the request was due
	Late       *histogram    // at a constant rate: how long after it was due a request was sent
	CPU        time.Duration // user and system time of the generator
}

func (r *loadResult) perSecond() float64 { return float64(r.Counted) / r.Elapsed.Seconds() }

// generate is the load generator's process: a spec comes in, a result goes out.
func generate(in io.Reader, out io.Writer) error {
	var spec loadSpec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return err
	}
	c, err := newClient(spec)
	if err != nil {
		return err
	}
	before := cpuTime()
	if err := c.run(); err != nil {
		return err
	}
	c.result.CPU = cpuTime() - before
	c.result.Counted = c.result.Latency.Total
	c.result.Latency.trim()
	c.result.Late.trim()
	return json.NewEncoder(out).Encode(c.result)
}

// runLoad starts the generator with the spec and waits for its result.
func runLoad(ctx context.Context, spec loadSpec) (*loadResult, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var out, problem bytes.Buffer
	cmd := exec.CommandContext(ctx, self, generateCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the load generator: %w: %s", err, bytes.TrimSpace(problem.Bytes()))
	}
	var result loadResult
	return &result, json.Unmarshal(out.Bytes(), &result)
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
