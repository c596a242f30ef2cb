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

// output is what a process has written so far.
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

// process is the program running.
type process struct {
	t              *testing.T
	URL            string
	Stdout, Stderr output
	command        *exec.Cmd
	ended          chan struct{}
}

// start runs the program; the test's end kills it.
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

// run is start and wait, for commands that end by themselves.
func (i instance) run(args ...string) (p *process, code int) {
	i.t.Helper()
	p = i.start(args...)
	return p, p.wait()
}

// serve starts the server and returns when it answers.
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
			p.t.Fatalf("the process ended (%s) before it wrote %q", p.command.ProcessState, text)
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

// wait returns the exit code; -1 where a signal ended the process.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the process has not ended after %s", patience)
	}
	return p.command.ProcessState.ExitCode()
}

// stop asks the process to end, as a service manager does, and fails the test where it does not end well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("after SIGTERM the exit code is %d, not 0", code)
	}
}

// eventually asks again and again until holds, or the patience ends.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s in vain", patience, what)
		}
	}
}
