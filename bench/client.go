//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// shortSlice is the shortest time slice that Linux accepts for a thread.
	shortSlice = 100 * time.Microsecond
	// noAnswer is the time without an answer after which a load fails.
	noAnswer = 30 * time.Second
)

// client is the load generator: one thread that waits for all its connections at once, so that it uses little CPU
// time and sends requests on time. It allocates nothing while it runs.
type client struct {
	loadSpec
	conns   []*conn
	free    []*conn           // without a request under way
	poll    int               // descriptor of the epoll instance with all connections
	ready   []unix.EpollEvent // buffer for the events of one wait
	secrets []byte            // without line ends
	length  int               // of each secret
	next    int               // next secret, of a load with Once
	random  *rand.Rand
	start   time.Time
	result  loadResult
}

// conn is one connection with its request.
type conn struct {
	fd      int
	request []byte
	reply   [8 << 10]byte
	got     int           // bytes of the reply so far
	due     time.Duration // when the request was due, after the start
}

func newClient(spec loadSpec) (*client, error) {
	if spec.Connections < 1 {
		return nil, errors.New("the load generator needs at least one connection")
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &client{
		loadSpec: spec, poll: poll, ready: make([]unix.EpollEvent, spec.Connections),
		random: rand.New(rand.NewPCG(spec.Seed, 0)), result: loadResult{Latency: newHistogram(), Late: newHistogram()},
	}
	if spec.SecretsFile != "" {
		content, err := os.ReadFile(spec.SecretsFile)
		if err != nil {
			return nil, err
		}
		c.length = bytes.IndexByte(content, '\n')
		c.Secrets = min(c.Secrets, len(content)/(c.length+1))
		c.secrets = bytes.ReplaceAll(content, []byte{'\n'}, nil)
	}
	addr, err := netip.ParseAddrPort(spec.Addr)
	if err != nil {
		return nil, err
	}
	for i := range c.Connections {
		fd, err := dial(addr)
		if err != nil {
			return nil, err
		}
		request := append([]byte(c.Head), make([]byte, c.length)...)
		request = append(request, strings.ReplaceAll(c.Tail, sessionMark, fmt.Sprintf("%020d", i))...)
		c.conns = append(c.conns, &conn{fd: fd, request: request})
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)} // a wait returns Fd: here it is the index in conns
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func dial(addr netip.AddrPort) (fd int, err error) {
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
	return fd, errors.Join(
		err,
		syscall.SetNonblock(fd, true),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
	)
}

// run sends requests until the load is over, and returns when all answers have come. Without a rate, each connection
// sends the next request as soon as it has its answer. With a rate, requests are sent when they are due, or later if
// no connection is free, and their latency counts from when they were due. So a late answer also counts for the
// requests that it delays (it avoids "coordinated omission").
func (c *client) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// By default, Linux may extend a thread's sleep by 50 microseconds. If that cannot be changed, the measured
	// lateness shows it.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", syscall.Gettid()), []byte("1"), 0)

	// Since Linux 6.12 a thread with a short time slice is scheduled sooner, so that requests are sent when they are
	// due.
	if c.Rate > 0 {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_NORMAL, Runtime: uint64(shortSlice)}, 0)
	}
	c.free = append(c.free, c.conns...)
	c.start = time.Now()
	lastAnswer := c.start
	for sent := 0; ; {
		now := time.Since(c.start)
		due, more := c.due(sent, now)
		for more && due <= now && len(c.free) > 0 {
			if err := c.send(due); err != nil {
				return err
			}
			sent++
			now = time.Since(c.start)
			due, more = c.due(sent, now)
		}
		if !more && len(c.free) == len(c.conns) {
			break
		}
		pause := time.Second
		if more && len(c.free) > 0 {
			pause = due - now
		}
		got, err := c.receive(pause)
		if err != nil {
			return err
		}
		if got || len(c.free) == len(c.conns) {
			lastAnswer = time.Now()
		} else if time.Since(lastAnswer) > noAnswer {
			return fmt.Errorf("no answer came for %s", noAnswer)
		}
	}
	if c.result.Elapsed = c.Duration; c.Once {
		c.result.Elapsed = time.Since(c.start)
	}
	return nil
}

// due returns when the next request should be sent, after the start. more is false if the load is over.
func (c *client) due(sent int, now time.Duration) (at time.Duration, more bool) {
	switch {
	case c.Once:
		return now, c.next < c.Secrets
	case c.Rate > 0:
		at = time.Duration(float64(sent) * float64(time.Second) / c.Rate)
		return at, at < c.Warm+c.Duration
	}
	return now, now < c.Warm+c.Duration
}

// send sends the next request, which was due at due, on a free connection.
func (c *client) send(due time.Duration) error {
	conn := c.free[0] // the one that has been idle longest, so that all are used
	if c.length > 0 {
		i := c.next
		if c.Once {
			c.next++
		} else {
			i = c.random.IntN(c.Secrets)
		}
		copy(conn.request[len(c.Head):], c.secrets[i*c.length:(i+1)*c.length])
	}
	conn.due, conn.got = due, 0
	if c.Rate > 0 && due >= c.Warm {
		c.result.Late.record(time.Since(c.start) - due)
	}
	n, err := rawIO(unix.SYS_WRITE, conn.fd, conn.request)
	if err == nil && n < len(conn.request) {
		err = errors.New("a request was only written in part")
	}
	c.free = append(c.free[:0], c.free[1:]...)
	return err
}

// receive waits for answers for at most pause, and reads those that have come. some reports whether one is complete.
func (c *client) receive(pause time.Duration) (some bool, err error) {
	limit := unix.NsecToTimespec(int64(max(pause, time.Microsecond)))
	// epoll_wait takes milliseconds, which is too coarse for requests that are due every few microseconds.
	n, _, errno := unix.RawSyscall6(
		unix.SYS_EPOLL_PWAIT2,
		uintptr(c.poll),
		uintptr(unsafe.Pointer(&c.ready[0])),
		uintptr(len(c.ready)),
		uintptr(unsafe.Pointer(&limit)),
		0, 0,
	)
	if errno != 0 {
		if errno == unix.EINTR {
			return false, nil
		}
		return false, errno
	}
	for _, event := range c.ready[:n] {
		conn := c.conns[event.Fd]
		complete, err := c.read(conn)
		if err != nil {
			return some, err
		}
		if complete {
			some = true
			c.free = append(c.free, conn)
		}
	}
	return some, nil
}

// rawIO reads or writes without involving Go's scheduler, which would wake up every 20 microseconds to check on the
// thread. The generator has nothing else to run.
func rawIO(call uintptr, fd int, data []byte) (n int, err error) {
	done, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return 0, errno
	}
	return int(done), nil
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("Content-Length: ")
)

// read reads what has come of an answer, and counts the answer if it is complete.
func (c *client) read(conn *conn) (complete bool, err error) {
	if conn.got == len(conn.reply) {
		return false, fmt.Errorf("an answer is longer than %d bytes", len(conn.reply))
	}
	n, err := rawIO(unix.SYS_READ, conn.fd, conn.reply[conn.got:])
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, errors.New("the server closed a connection")
	}
	conn.got += n
	reply := conn.reply[:conn.got]
	end := bytes.Index(reply, headEnd)
	if end < 0 {
		return false, nil
	}
	at := bytes.Index(reply[:end], contentLength)
	if at < 0 {
		return false, fmt.Errorf("an answer has no Content-Length: %q", reply)
	}
	if at+len(contentLength) > end || len(reply) < end+len(headEnd)+number(reply[at+len(contentLength):]) {
		return false, nil
	}
	c.result.Answered++
	now := time.Since(c.start)
	counted := c.Once || now >= c.Warm && now < c.Warm+c.Duration
	if c.Rate > 0 { // requests that were due in that time count, however late their answers are
		counted = conn.due >= c.Warm
	}
	if counted {
		c.result.Latency.record(now - conn.due)
	}
	if len("HTTP/1.1 ") >= end || number(reply[len("HTTP/1.1 "):]) != c.Status {
		c.result.Unexpected++
		c.result.Example = string(reply)
	}
	return true, nil
}

// number returns the number at the beginning of text, 0 if there is none.
func number(text []byte) (n int) {
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			break
		}
		n = 10*n + int(digit-'0')
	}
	return n
}
