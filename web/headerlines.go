package web

import (
	"bytes"
	"context"
	"net"

	"github.com/labstack/echo/v4"
)

// net/http keeps the headers of a reply in a map, which it lets grow, copies, sorts and cleans. For a verdict with
// its dozen of them that took more of the processor than everything the gate does. So a handler may write its headers
// itself, and the connection puts them into the head that net/http makes. docs/performance.md has the figures.

// AddHeaderLines adds lines to the head of the reply that the handler is about to write: each is a name, ": ", a
// value, and "\r\n". Nobody looks at them again: a value must hold nothing that a header must not. Where the
// connection cannot do that, because its server does not use [HeaderLinesListener] and [HeaderLinesContext], they go
// through net/http's map.
func AddHeaderLines(c echo.Context, lines []byte) {
	if conn, ok := c.Request().Context().Value(headerLinesKey{}).(*headerLinesConn); ok {
		conn.lines = append(conn.lines[:0], lines...)
		return
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(lines, crlf), crlf) {
		name, value, _ := bytes.Cut(line, []byte(": "))
		c.Response().Header().Add(string(name), string(value))
	}
}

var crlf = []byte("\r\n")

type headerLinesKey struct{}

// HeaderLinesContext is for [net/http.Server.ConnContext].
func HeaderLinesContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, headerLinesKey{}, c)
}

// HeaderLinesListener is l with connections that take the lines of [AddHeaderLines].
func HeaderLinesListener(l net.Listener) net.Listener { return headerLinesListener{l} }

type headerLinesListener struct{ net.Listener }

func (l headerLinesListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headerLinesConn{Conn: c}, nil
}

// headerLinesConn takes one reply after the other from the goroutine that answers its requests, each with its head
// first.
type headerLinesConn struct {
	net.Conn
	lines []byte // for the next reply
	reply []byte // room for its beginning
}

// Write puts the lines behind the status line.
func (c *headerLinesConn) Write(p []byte) (int, error) {
	if len(c.lines) == 0 {
		return c.Conn.Write(p)
	}
	statusEnd := bytes.IndexByte(p, '\n') + 1
	c.reply = append(c.reply[:0], p[:statusEnd]...)
	c.reply = append(c.reply, c.lines...)
	c.reply = append(c.reply, p[statusEnd:]...)
	c.lines = c.lines[:0]
	if _, err := c.Conn.Write(c.reply); err != nil {
		return 0, err
	}
	return len(p), nil
}
