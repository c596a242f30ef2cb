//go:build linux

// Command bench measures Claviger: go run ./bench. README.md beside this file says what each figure means.
//
// It builds the server as it is released, fills fresh databases, starts servers on them, drives load from a process of its
// own, and prints a table in which each figure stands beside its baseline of the same run. Linux only: it reads /proc.
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

// generateCommand makes this program the load generator: it is how it starts itself.
const generateCommand = "generate"

// options are what the command line says.
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
	pages       int           // how often a page is asked for on each side
	settle      time.Duration // how long memory may take to settle
	sessions    bool
	short       bool
}

// measurement adds its lines to the report.
type measurement struct {
	name, what string
	run        func(context.Context, *bench) error
}

// measurements are what can be measured, in the order of the table. The log page comes before the loads that add rows to
// the same long log: after them, each key's newest requests are among the last ones of all, and easy to find.
var measurements = []measurement{
	{"validate", "validate, requests/s ÷ plain route", validateBatch},
	{"latency", "p99 of validate ÷ p99 of plain route, both at half of the plain route's maximum", latency},
	{"garbage", "a key with a wrong checksum, requests/s ÷ plain route", garbage},
	{"sync", "the first with CLAVIGER_LOG_DURABILITY=sync", validateSync},
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

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("run", "", "names of measurements, separated by commas; all if empty")
	f.BoolVar(&o.short, "short", false, "about a minute, with small figures: shows that it works, and little else")
	f.StringVar(&o.postgres, "postgres", "", "postgres:// URL of a database in which schemas may be made; SQLite if empty")
	f.IntVar(&o.rounds, "rounds", 5, "how often baseline and subject alternate")
	f.DurationVar(&o.length, "length", 5*time.Second, "length of one load")
	f.IntVar(&o.connections, "connections", 64, "connections of the load generator")
	f.IntVar(&o.manyKeys, "keys", 1_000_000, "how many are many keys")
	f.IntVar(&o.manyRows, "rows", 20_000_000, "how many rows a long log has")
	f.BoolVar(&o.sessions, "sessions", true, "requests name a session, so that the limit for each session counts as well")
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

// progress tells what goes on, beside the table.
func progress(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

// skip is why a measurement was not made.
type skip string

func (s skip) Error() string { return string(s) }
