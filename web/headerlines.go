package web

import (
	"bytes"
	"context"
	"net"

	"github.com/labstack/echo/v4"
)

// net/http keeps the headers of a reply in a map, which it copies, sorts and cleans. For the dozen headers of a verdict
// that took more CPU time than everything the gate does. So a handler may write its header lines itself, and the
// connection inserts them into the head that net/http writes. docs/performance.md has the figures.

// AddHeaderLines adds lines to the head of the reply that the handler is about to write. Each line is a name, ": ", a
// value, and "\r\n". They are not checked: the caller must not pass characters that are not allowed in a header. If the
// server does not use [HeaderLinesListener] and [HeaderLinesContext], the lines go through net/http's map.
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

// HeaderLinesContext stores the connection in the context, for [AddHeaderLines]. It is for [http.Server.ConnContext].
func HeaderLinesContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, headerLinesKey{}, c)
}

// HeaderLinesListener wraps l so that its connections accept the lines of [AddHeaderLines].
func HeaderLinesListener(l net.Listener) net.Listener { return headerLinesListener{l} }

type headerLinesListener struct{ net.Listener }

func (l headerLinesListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headerLinesConn{Conn: c}, nil
}

// headerLinesConn is a connection of HTTP/1. One goroutine writes its replies one after the other, each with the whole
// head in the first write.
type headerLinesConn struct {
	net.Conn
	lines []byte // for the next reply
	reply []byte // buffer for the first write of a reply
}

// Write inserts the lines after the status line.
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
