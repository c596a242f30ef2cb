package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a running process of the program.
type process struct {
	t              *testing.T
	URL            string
	Stdout, Stderr output
	command        *exec.Cmd
	ended          chan struct{} // closed when the process has ended
}

// start starts the program with arguments. It is killed when the test ends.
func (i instance) start(args ...string) *process {
	i.t.Helper()
	path, err := program()
	if err != nil {
		i.t.Fatal(err)
	}
	p := &process{t: i.t, URL: "http://" + i.Addr, command: exec.Command(path, args...), ended: make(chan struct{})}
	p.command.Env, p.command.Dir = i.environ, filepath.Dir(i.Data)
	p.command.Stdout, p.command.Stderr = &p.Stdout, &p.Stderr
	if err := p.command.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		p.command.Wait() // its error is read from the ProcessState
		close(p.ended)
	}()
	i.t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
		if i.t.Failed() {
			i.t.Logf("claviger %s wrote:\n%s%s", strings.Join(args, " "), p.Stdout.String(), p.Stderr.String())
		}
	})
	return p
}

// run starts the program and waits for its end, for commands that end by themselves.
func (i instance) run(args ...string) (p *process, code int) {
	i.t.Helper()
	p = i.start(args...)
	return p, p.wait()
}

// serve starts the server and returns when it is ready.
func (i instance) serve() *process {
	i.t.Helper()
	p := i.start()
	p.waitFor("is ready: open ")
	return p
}

// waitFor returns when the process has written text to its standard output.
func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%q", text), func() bool {
		if strings.Contains(p.Stdout.String(), text) {
			return true
		}
		if !p.running() {
			p.t.Fatalf("the process ended (%s), want %q on standard output before", p.command.ProcessState, text)
		}
		return false
	})
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// wait waits until the process has ended and returns its exit code, which is -1 if a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the process has not ended after %s", patience)
	}
	return p.command.ProcessState.ExitCode()
}

// stop ends the process as a service manager does, and fails the test if the exit code is not 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("after SIGTERM the exit code is %d, want 0", code)
	}
}

// eventually calls holds every few milliseconds until it returns true, and fails the test after patience.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}
