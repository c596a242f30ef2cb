//go:build linux

// Command bench measures Claviger: go run ./bench. README.md in this folder says what each figure means.
//
// It builds the server as it is released, fills new databases, starts servers on them, generates load from a separate
// process, and prints a table of figures, each with its baseline from the same run. It reads /proc, so it needs Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// generateCommand is the argument that makes this program the load generator.
const generateCommand = "generate"

// options are the options of the command line.
type options struct {
	only        []string
	postgres    string
	rounds      int
	length      time.Duration // of one load
	connections int
	keys        int // of an ordinary database
	fewKeys     int
	manyKeys    int
	manyRows    int
	fewRows     int
	pages       int           // requests for a page on each side
	settle      time.Duration // the most time to wait for memory to settle
	sessions    bool
	short       bool
}

// measurement is one measurement. run adds its lines to the report.
type measurement struct {
	name, what string
	run        func(context.Context, *bench) error
}

// measurements are all measurements, in the order of the table. The log page comes before the loads that add rows to
// the same long log: after them, each key's newest requests are among the newest of all, and easy to find.
var measurements = []measurement{
	{"validate", "validate, requests/s ÷ plain route", validateBatch},
	{"latency", "p99 of validate ÷ p99 of plain route, both at half of the plain route's maximum", latency},
	{"garbage", "a key with a wrong checksum, requests/s ÷ plain route", garbage},
	{"sync", "as validate, with CLAVIGER_LOG_DURABILITY=sync", validateSync},
	{"keys", "validate, requests/s with many keys ÷ with few", manyKeys},
	{"logs", "log page with a key filter, long log ÷ short one", logPage},
	{"rows", "validate, requests/s with a long log ÷ with an empty one", manyRows},
	{"pages", "keys page, many keys ÷ few", keysPage},
	{"memory", "resident memory with many keys in use", memory},
	{"allocations", "allocations of gate.Check, by Go benchmark", allocations},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == generateCommand {
		if err := generate(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the flags.
func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("run", "", "names of measurements, separated by commas; all if empty")
	f.BoolVar(&o.short, "short", false, "run for about a minute, with few keys and rows: shows only that it works")
	f.StringVar(&o.postgres, "postgres", "",
		"postgres:// URL of a database in which schemas can be made; SQLite if empty")
	f.IntVar(&o.rounds, "rounds", 5, "number of rounds, in each of which baseline and subject run once")
	f.DurationVar(&o.length, "length", 5*time.Second, "length of one load")
	f.IntVar(&o.connections, "connections", 64, "connections of the load generator")
	f.IntVar(&o.manyKeys, "keys", 1_000_000, "number of keys of a database with many keys")
	f.IntVar(&o.manyRows, "rows", 20_000_000, "number of rows of a long log")
	f.BoolVar(&o.sessions, "sessions", true,
		"send a session with each request, so that the limit per session counts as well")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "go run ./bench [flags]")
		f.PrintDefaults()
		fmt.Fprintln(f.Output(), "Measurements:")
		for _, m := range measurements {
			fmt.Fprintf(f.Output(), "  %-12s %s\n", m.name, m.what)
		}
	}
	o.keys, o.fewKeys, o.fewRows, o.pages, o.settle = 10_000, 1_000, 20_000, 300, 5*time.Minute
	if err := f.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.short {
		for name, value := range map[string]string{"rounds": "2", "length": "1s", "keys": "20000", "rows": "100000"} {
			if !given[name] {
				if err := f.Set(name, value); err != nil {
					return o, err
				}
			}
		}
		o.fewRows, o.pages, o.settle = 10_000, 40, 5*time.Second
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == name }) {
			return o, fmt.Errorf("there is no measurement %q; -h lists them", name)
		}
	}
	return o, nil
}

// run makes the measurements and prints the report.
func run(ctx context.Context, o options) (err error) {
	folder, err := os.MkdirTemp("", "claviger-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{options: o, folder: folder, datasets: map[string]*dataset{}}
	defer func() { err = errors.Join(err, b.close()) }()
	progress("building the server")
	if b.binary, err = buildServer(ctx, folder); err != nil {
		return err
	}
	begin := time.Now()
	for _, m := range measurements {
		if len(o.only) > 0 && !slices.Contains(o.only, m.name) {
			continue
		}
		progress("%s: %s", m.name, m.what)
		err := m.run(ctx, b)
		err = errors.Join(err, b.stopServers())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var skipped skip
		switch {
		case errors.As(err, &skipped):
			b.report.skipped(m.what, string(skipped))
		case err != nil:
			b.report.failed(m.what, err)
		}
	}
	b.checkRecords(ctx)
	b.report.print(os.Stdout, b, time.Since(begin))
	if b.report.failures > 0 {
		return fmt.Errorf("%d measurement(s) failed", b.report.failures)
	}
	return nil
}

// progress prints what is going on to standard error; the table goes to standard output.
func progress(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

// skip is the reason why a measurement was not made.
type skip string

func (s skip) Error() string { return string(s) }
