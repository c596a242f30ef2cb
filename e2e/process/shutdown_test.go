package process_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

func TestSIGTERMUnderLoadLosesNoRowOfAnAnsweredRequest(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")

		// More than one round: each stops at another moment, and after a restart no id may come again.
		const rounds, callers, enough = 3, 8, 2000
		var got answers
		for round := range rounds {
			p := i.serve()
			var calling sync.WaitGroup
			for range callers {
				calling.Go(func() { got.callUntilRefused(t, p.URL+"/v1/projects/first/validate", s.Key) })
			}
			eventually(t, "enough answers", func() bool { return got.count() >= (round+1)*enough || !p.running() })
			p.stop()
			calling.Wait()
		}

		rows, seen, missing := i.rowsByRequest(), map[string]bool{}, 0
		for _, id := range got.ids {
			if seen[id] {
				t.Errorf("two answers have the id %s", id)
			}
			seen[id] = true
			if rows[id] != 1 {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("of %d answered requests, %d have no row, or more than one", len(got.ids), missing)
		}
		if sum := number(t, i.openDatabase(),
			"SELECT COALESCE(SUM(requests), 0) FROM usage_minutes"); sum != int64(len(rows)) {
			t.Errorf("the usage counts say %d, but there are %d rows", sum, len(rows))
		}
	})
}

// answers collects the request ids of what was answered.
type answers struct {
	mu  sync.Mutex
	ids []string
}

func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// callUntilRefused asks on one connection that is kept alive, until the server is gone. An answer other than 200 fails
// the test: the server may go, but not turn away a good key before.
func (a *answers) callUntilRefused(t *testing.T, url, key string) {
	caller := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer caller.CloseIdleConnections()
	for {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("X-API-Key", key)
		response, err := caller.Do(request)
		if err != nil {
			return
		}
		var v verdict
		err = json.NewDecoder(response.Body).Decode(&v)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("a call was answered with %d %+v (%v)", response.StatusCode, v, err)
			return
		}
		a.mu.Lock()
		a.ids = append(a.ids, v.RequestID)
		a.mu.Unlock()
	}
}

// halfRequest is a validate call that the server works on and whose last byte, a brace, is still to come.
func (i instance) halfRequest(project, key string) net.Conn {
	i.t.Helper()
	conn, err := net.Dial("tcp", i.Addr)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/projects/%s/validate HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", project, i.Addr, key)
	// The server says this when the handler begins to read the body.
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	answer := make([]byte, len(goOn))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != goOn {
		i.t.Fatalf("the server does not want the body: %q (%v)", answer, err)
	}
	fmt.Fprint(conn, "{")
	return conn
}

// untilClosed returns when the address takes no connection any more.
func (i instance) untilClosed() {
	i.t.Helper()
	eventually(i.t, "the address to be closed", func() bool {
		conn, err := net.Dial("tcp", i.Addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestARequestThatHasBegunBeforeSIGTERMIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")
		p := i.serve()
		conn := i.halfRequest(s.Project, s.Key)
		p.signal(syscall.SIGTERM)
		i.untilClosed()

		fmt.Fprint(conn, "}")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var v verdict
		if err := json.NewDecoder(response.Body).Decode(&v); err != nil || v.Code != "valid" {
			t.Errorf("the answer is %d %+v (%v)", response.StatusCode, v, err)
		}
		if code := p.wait(); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		if n := i.rowsByRequest()[v.RequestID]; n != 1 {
			t.Errorf("the request has %d rows", n)
		}
	})
}

func TestASecondSIGTERMEndsTheProcessAtOnce(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	p := i.serve()
	s := i.setup("--email", "ada@example.com", "--project", "first")
	i.halfRequest(s.Project, s.Key) // keeps the server waiting
	p.signal(syscall.SIGTERM)
	i.untilClosed()
	if !p.running() {
		t.Fatal("the server did not wait for the request")
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != -1 {
		t.Errorf("the exit code is %d, not that of a signal", code)
	}
}
