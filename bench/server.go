//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startTime is how long a server may take to become ready. It may have to read much of the log.
	startTime = 10 * time.Minute
	stopTime  = time.Minute     // how long it may take to stop
	drainTime = 2 * time.Minute // how long it may take to write all rows after a load
)

// buildServer builds the binary as it is released, in folder, and returns its path.
func buildServer(ctx context.Context, folder string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	binary := filepath.Join(folder, "claviger")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the server: %w\n%s", err, out)
	}
	return binary, nil
}

// server is a running claviger.
type server struct {
	data          *dataset
	addr, metrics string // host:port
	cmd           *exec.Cmd
	ended         chan struct{} // closed when the process has ended
	log           tail
	started       time.Duration // how long it took to become ready
}

// startServer runs the binary on the dataset, and returns when the server is ready. settings are further environment
// variables.
func startServer(ctx context.Context, binary string, data *dataset, settings ...string) (*server, error) {
	s := &server{data: data, ended: make(chan struct{})}
	var err error
	if s.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if s.metrics, err = freeAddr(); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Env = append(data.environ(), "CLAVIGER_ADDR="+s.addr, "CLAVIGER_METRICS_ADDR="+s.metrics)
	s.cmd.Env = append(s.cmd.Env, settings...)
	s.cmd.Stderr = &s.log
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // stop checks the exit status
		close(s.ended)
	}()
	if err := s.untilReady(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.started = time.Since(begin)
	return s, nil
}

// untilReady returns when the server is ready, or an error if it ends or is not ready within startTime.
func (s *server) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if code, _, err := fetch(ctx, s.addr, "/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server did not start: %s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server with SIGTERM, as an operator would, so that it writes the rows that wait.
func (s *server) stop() error {
	select {
	case <-s.ended:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(stopTime):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server did not end within %s: %s", stopTime, s.log.String())
	}
	if !s.cmd.ProcessState.Success() {
		return fmt.Errorf("the server ended with %s: %s", s.cmd.ProcessState, s.log.String())
	}
	return nil
}

// freeAddr returns a local address on which nothing listens.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// fetch sends a GET request.
func fetch(ctx context.Context, addr, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// metric returns the sum of the samples of a metric of the server whose labels contain the text labels. It returns an
// error if there is none.
func (s *server) metric(ctx context.Context, name, labels string) (float64, error) {
	_, body, err := fetch(ctx, s.metrics, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		sample, value, _ := strings.Cut(lines.Text(), " ")
		sampleName, sampleLabels, _ := strings.Cut(sample, "{")
		if sampleName != name || !strings.Contains(sampleLabels, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("the server has no metric %s{%s}", name, labels)
	}
	return sum, nil
}

// Metrics that the measurements use.
const (
	waitingRows = "claviger_recorder_waiting_rows"
	rowsTotal   = "claviger_recorder_rows_total"
	dropped     = `outcome="dropped"`
	goProcs     = "go_sched_gomaxprocs_threads"
	gcCycles    = "go_gc_duration_seconds_count"
)

// drain waits until the server has written every row. behind is the number of rows that were not written at the call,
// and took is how long it waited.
func (s *server) drain(ctx context.Context) (behind float64, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	begin := time.Now()
	for first := true; ; first = false {
		waiting, err := s.metric(ctx, waitingRows, "")
		if err != nil {
			return 0, 0, err
		}
		if first {
			behind = waiting
		}
		if waiting == 0 {
			return behind, time.Since(begin), nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%.0f rows are still not written: %w", waiting, ctx.Err())
		}
	}
}

// clockTick is the unit of times in /proc: USER_HZ, which is 100 on Linux everywhere that Go runs.
const clockTick = 10 * time.Millisecond

// cpu returns the user and system time that the server has used so far.
func (s *server) cpu() (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(content), ") ") // the process name before it may contain spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("unknown form of /proc/…/stat: %q", content)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// memory reads one of the sizes in /proc/…/status, such as VmRSS, in bytes.
func (s *server) memory(name string) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/…/status has no %s", name)
}

// tail is a writer that keeps the last tailLength bytes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailLength = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailLength):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
