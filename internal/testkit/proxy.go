package testkit

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Link is what a [Proxy] does with a connection.
type Link int

const (
	Open Link = iota // bytes pass
	Held             // they do not, and nobody is told: as behind a firewall that drops packets
	Cut              // it is closed, and so is each new one at once
)

// Proxy stands between a process and Postgres, for tests of what happens when the two are separated.
type Proxy struct {
	URL string // what the process gets as the address of its database

	server string
	mu     sync.Mutex
	change *sync.Cond
	links  map[bool]Link // by whether a connection listens
	all    map[*proxied]bool
	holds  int // how many pieces are held back at this moment
	ended  bool
}

// proxied is one connection through the proxy.
type proxied struct {
	client, server net.Conn
	listens        bool
	closed         bool
}

func (c *proxied) close() {
	c.closed = true
	c.client.Close()
	if c.server != nil {
		c.server.Close()
	}
}

// NewProxy makes one in front of the Postgres at address, which ends with the test.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{server: u.Host, links: map[bool]Link{}, all: map[*proxied]bool{}}
	if u.Port() == "" {
		p.server = net.JoinHostPort(u.Hostname(), "5432")
	}
	p.change = sync.NewCond(&p.mu)
	query := u.Query()
	query.Set("sslmode", "disable") // the proxy reads how a connection begins
	u.Host, u.RawQuery = listener.Addr().String(), query.Encode()
	p.URL = u.String()

	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		p.ended = true
		for c := range p.all {
			c.close()
		}
		p.change.Broadcast()
		p.mu.Unlock()
		serving.Wait()
	})
	return p
}

// Listening sets what becomes of the connections that listen for notices: those of today and those to come.
func (p *Proxy) Listening(l Link) { p.set(true, l) }

// Others sets it for all others.
func (p *Proxy) Others(l Link) { p.set(false, l) }

// All sets it for every connection.
func (p *Proxy) All(l Link) {
	p.Listening(l)
	p.Others(l)
}

func (p *Proxy) set(listens bool, l Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[listens] = l
	for c := range p.all {
		if c.listens == listens && l == Cut {
			c.close()
		}
	}
	p.change.Broadcast()
}

// WaitHeld returns when something is held back.
func (p *Proxy) WaitHeld() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.holds == 0 && !p.ended {
		p.change.Wait()
	}
}

// open waits while the connection is held, and reports whether bytes may pass then.
func (p *Proxy) open(c *proxied) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.links[c.listens] == Held && !c.closed && !p.ended {
		p.holds++
		p.change.Broadcast()
		p.change.Wait()
		p.holds--
	}
	return p.links[c.listens] == Open && !c.closed && !p.ended
}

func (p *Proxy) serve(client net.Conn) {
	c := &proxied{client: client}
	p.mu.Lock()
	if p.ended {
		c.close()
	}
	p.all[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		c.close()
		delete(p.all, c)
		p.mu.Unlock()
	}()

	// A connection begins with its length and its settings, by which it is known.
	var length [4]byte
	if _, err := io.ReadFull(client, length[:]); err != nil {
		return
	}
	settings := make([]byte, max(4, min(binary.BigEndian.Uint32(length[:]), 64<<10))-4)
	if _, err := io.ReadFull(client, settings); err != nil {
		return
	}
	p.mu.Lock()
	c.listens = bytes.Contains(settings, []byte(" listener\x00"))
	p.mu.Unlock()
	if !p.open(c) {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.mu.Lock()
	c.server = server
	if c.closed || p.ended {
		c.close()
	}
	p.mu.Unlock()
	if _, err := server.Write(append(length[:], settings...)); err != nil {
		return
	}
	answering := make(chan struct{})
	go func() {
		defer close(answering)
		p.pass(c, client, server)
	}()
	p.pass(c, server, client)
	<-answering
}

// pass copies bytes as long as the connection is open, then closes it.
func (p *Proxy) pass(c *proxied, to io.Writer, from io.Reader) {
	defer func() {
		p.mu.Lock()
		c.close()
		p.mu.Unlock()
	}()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !p.open(c) {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
