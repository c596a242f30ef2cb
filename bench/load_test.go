//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests check the tools of the measurements. Nothing here is measured.

func TestQuantilesAreExactToOneSixtyFourth(t *testing.T) {
	h, random := newHistogram(), rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.record(d)
	}
	h.trim()
	slices.Sort(all)
	for _, q := range []float64{0, .5, .99, .999, 1} {
		exact := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := h.quantile(q); got < exact || got > exact+exact/64+1 {
			t.Errorf("quantile %v is %v, want %v to 1/64 more", q, got, exact)
		}
	}
}

// answers starts a server whose answers come in parts, and counts them. Every fifth one has status 500.
func answers(t *testing.T, pause time.Duration) (addr string, count *atomic.Uint64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	count = new(atomic.Uint64)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					time.Sleep(pause)
					status := "200 OK"
					if count.Add(1)%5 == 0 {
						status = "500 Oops"
					}
					parts := "HTTP/1.1 " + status + "\r\nContent-|Length: 1|2\r\n\r|\n{\"a\":|\"bcd\"}\n"
					for part := range strings.SplitSeq(parts, "|") {
						if _, err := c.Write([]byte(part)); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), count
}

// generated runs the load generator in this process.
func generated(t *testing.T, spec loadSpec) loadResult {
	t.Helper()
	in, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := generate(bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	var result loadResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestEveryAnswerCountsOnceHoweverItArrives(t *testing.T) {
	addr, count := answers(t, 0)
	result := generated(t, loadSpec{
		Addr: addr, Head: "GET / HTTP/1.1\r\nHost: a\r\n", Tail: "\r\n", Status: 200,
		Connections: 3, Duration: 50 * time.Millisecond,
	})
	if result.Answered != count.Load() || result.Answered == 0 {
		t.Errorf("%d answers were counted, the server sent %d", result.Answered, count.Load())
	}
	if result.Unexpected != result.Answered/5 {
		t.Errorf("%d of %d answers have an unexpected status, want every fifth", result.Unexpected, result.Answered)
	}
}

func TestAtAConstantRateWaitingForAConnectionCounts(t *testing.T) {
	const pause, rate = 10 * time.Millisecond, 1000 // ten times what one connection can do
	addr, _ := answers(t, pause)
	result := generated(t, loadSpec{
		Addr: addr, Head: "GET / HTTP/1.1\r\nHost: a\r\n", Tail: "\r\n", Status: 200,
		Connections: 1, Duration: 20 * time.Millisecond, Rate: rate,
	})
	if result.Answered != 20 {
		t.Errorf("%d requests were sent, want all 20 that were due", result.Answered)
	}
	// The last one was due after 19 ms and answered after 200 ms at the soonest.
	if longest := result.Latency.quantile(1); longest < 180*time.Millisecond {
		t.Errorf("the longest latency is %v, want at least 180ms: it includes the wait for a connection", longest)
	}
}
