package process_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

func TestSIGTERMUnderLoadLosesNoRowOfAnAnsweredRequest(t *testing.T) {
	t.Parallel()
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		i := newInstance(t, url)
		s := i.setup("--email", "ada@example.com", "--project", "first")

		// Several rounds, because each stops at another point of a batch, and no id may occur again after a restart.
		const rounds, callers, enough = 3, 8, 2000
		load := load{whole: true}
		var answers []answer
		for round := range rounds {
			p := i.serve()
			load.start(t, callers, p.URL+"/v1/projects/first/validate", s.Key)
			eventually(t, "enough answers", func() bool { return load.count() >= (round+1)*enough || !p.running() })
			p.stop()
			answers = load.stop()
			// If the database is too slow for the time of a shutdown, the next start writes the rest.
			for strings.Contains(p.Stderr.String(), "rows are left in the spool") {
				p = i.serve()
				p.stop()
			}
		}

		seen := map[string]bool{}
		for _, a := range answers {
			if seen[a.id] {
				t.Errorf("two answers have the id %s", a.id)
			}
			seen[a.id] = true
		}
		i.wantEachOnce(s.ProjectID, answers)
	})
}

// halfRequest sends a validate request without the last byte of its body, a brace. It returns when the server reads the
// body.
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
		i.t.Fatalf("the server answered %q (%v), want %q", answer, err, goOn)
	}
	fmt.Fprint(conn, "{")
	return conn
}

// untilClosed waits until the server accepts no more connections.
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

func TestARequestThatBeganBeforeSIGTERMIsAnsweredAndLogged(t *testing.T) {
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
			t.Errorf("the answer is %d %+v (%v), want valid", response.StatusCode, v, err)
		}
		if code := p.wait(); code != 0 {
			t.Errorf("the exit code is %d, want 0", code)
		}
		if n := i.rowsByRequest()[v.RequestID]; n != 1 {
			t.Errorf("the request has %d rows, want 1", n)
		}
	})
}

func TestASecondSIGTERMEndsTheProcessAtOnce(t *testing.T) {
	t.Parallel()
	i := newInstance(t, "")
	p := i.serve()
	s := i.setup("--email", "ada@example.com", "--project", "first")
	i.halfRequest(s.Project, s.Key) // for whose end the server waits
	p.signal(syscall.SIGTERM)
	i.untilClosed()
	if !p.running() {
		t.Fatal("the server did not wait for the request")
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != -1 {
		t.Errorf("the exit code is %d, want that of a signal, -1", code)
	}
}
