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

// loadSpec describes a load. The load generator gets it on its standard input: it is a separate process, so that
// server and generator share the machine as a server and its client would.
type loadSpec struct {
	Addr        string // IPv4:port
	Head, Tail  string // of a request; a secret goes between them; in Tail, sessionMark is replaced
	SecretsFile string // one secret per line, all of the same length; empty for requests without
	Secrets     int    // number of its lines to use
	Connections int
	Warm        time.Duration // before the counted time
	Duration    time.Duration // the counted time
	Once        bool          // send one request for each secret, however long that takes
	Rate        float64       // requests per second, evenly spaced; 0: send as soon as answers come
	Status      int           // expected of every answer
	Seed        uint64
}

// sessionMark is replaced by the name of the connection's session. Each connection has its own.
const sessionMark = "{session}"

// loadResult is the result of a load.
type loadResult struct {
	Answered   uint64        // all answers, including those of the warm-up
	Unexpected uint64        // answers with another status than the expected one
	Example    string        // one of these
	Counted    uint64        // answers within the counted time
	Elapsed    time.Duration // the counted time
	Latency    *histogram    // of counted answers; at a constant rate, from when the request was due
	Late       *histogram    // at a constant rate: how long after it was due a request was sent
	CPU        time.Duration // user and system time of the generator
}

func (r *loadResult) perSecond() float64 { return float64(r.Counted) / r.Elapsed.Seconds() }

// generate is the load generator's main function: it reads a loadSpec from in, runs it and writes a loadResult to out.
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

// cpuTime returns the CPU time that this process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
