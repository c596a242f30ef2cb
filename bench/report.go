//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// goal is a bound for a ratio or a figure. The zero value means no goal.
type goal struct {
	bound  float64
	atMost bool
	unit   string // of an upper bound that is not a ratio
}

func atLeast(ratio float64) goal { return goal{bound: ratio} }
func atMost(ratio float64) goal  { return goal{bound: ratio, atMost: true} }

func (g goal) String() string {
	switch {
	case g.bound == 0:
		return ""
	case g.unit != "":
		return fmt.Sprintf("≤ %.0f %s", g.bound, g.unit)
	case g.atMost:
		return fmt.Sprintf("≤ %.2f", g.bound)
	}
	return fmt.Sprintf("≥ %.2f", g.bound)
}

func (g goal) verdict(value float64) string {
	switch {
	case g.bound == 0:
		return ""
	case g.atMost && value <= g.bound, !g.atMost && value >= g.bound:
		return "reached"
	}
	return "NOT REACHED"
}

// line is one line of the table.
type line struct {
	what              string
	baseline, subject string
	ratios            []float64 // of each round; the median is compared with the goal
	value             float64   // compared with the goal if there are no ratios
	goal              goal
	verdict           string // if empty, it follows from the goal
	notes             []string
}

// report holds the results.
type report struct {
	lines       []line
	records     []string // for each database, that its log is complete
	failures    int
	serverProcs int // GOMAXPROCS of the server
}

func (r *report) add(l line) {
	if l.verdict == "" {
		value := l.value
		if len(l.ratios) > 0 {
			value = l.ratio()
		}
		l.verdict = l.goal.verdict(value)
	}
	r.lines = append(r.lines, l)
	progress("  %s", strings.Join(l.cells(), " | "))
}

func (r *report) skipped(what, why string) {
	r.add(line{what: what, verdict: "skipped", notes: []string{why}})
	progress("  %s", why)
}

func (r *report) failed(what string, err error) {
	r.failures++
	r.add(line{what: what, verdict: "FAILED", notes: []string{err.Error()}})
	progress("  %v", err)
}

func (l *line) ratio() float64 { return median(l.ratios, func(x float64) float64 { return x }) }

func (l *line) cells() []string {
	ratio := ""
	if len(l.ratios) > 0 {
		ratio = fmt.Sprintf("%.2f", l.ratio())
		if len(l.ratios) > 1 {
			ratio += fmt.Sprintf(" (%.2f to %.2f)", slices.Min(l.ratios), slices.Max(l.ratios))
		}
	}
	return []string{l.what, l.baseline, l.subject, ratio, l.goal.String(), l.verdict}
}

// print writes the table in Markdown, with aligned columns.
func (r *report) print(out io.Writer, b *bench, took time.Duration) {
	fmt.Fprintf(out, "\nClaviger %s on %s, %s.\n",
		commit(), b.database(), time.Now().UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(out, "Machine: %d cores (%s), Linux %s, %s. Server: release build, GOMAXPROCS %d.\n",
		runtime.NumCPU(), processor(), firstLine("/proc/sys/kernel/osrelease"), runtime.Version(), r.serverProcs)
	fmt.Fprintf(out, "Load generator: a separate process on the same cores, one thread with raw sockets; "+
		"HTTP/1.1 keep-alive, %d connections.\n", b.connections)
	fmt.Fprintf(out, "Each comparison: %d rounds, %s for each side in each; the ratio is the median of the rounds. "+
		"The run took %s.\n\n", b.rounds, b.length, took.Round(time.Second))

	rows := [][]string{{"what", "baseline", "measured", "ratio (range)", "goal", ""}}
	for i := range r.lines {
		rows = append(rows, r.lines[i].cells())
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprint(out, "| ", cell, strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+1))
		}
		fmt.Fprintln(out, "|")
		if i == 0 {
			for _, width := range widths {
				fmt.Fprint(out, "|", strings.Repeat("-", width+2))
			}
			fmt.Fprintln(out, "|")
		}
	}
	for i := range r.lines {
		if len(r.lines[i].notes) > 0 {
			fmt.Fprintf(out, "\n%s\n- %s\n", r.lines[i].what, strings.Join(r.lines[i].notes, "\n- "))
		}
	}
	if len(r.records) > 0 {
		fmt.Fprintf(out, "\nEvery answered request is in the log once; no server dropped a row.\n- %s\n",
			strings.Join(r.records, "\n- "))
	}
	if b.postgres != "" {
		fmt.Fprintln(out, "\nThe goals are for SQLite. Postgres runs on the same cores here, "+
			"and its CPU time is not part of the server's.")
	}
	if b.short {
		fmt.Fprintln(out, "\nThis was a -short run: it shows only that the measurements work.")
	}
}

func (b *bench) database() string {
	if b.postgres != "" {
		return "Postgres"
	}
	return "SQLite"
}

// commit returns the commit that was built, and whether there are changes, if git knows it.
func commit() string {
	id, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "of an unknown commit"
	}
	text := strings.TrimSpace(string(id))
	if changed, err := exec.Command("git", "status", "--porcelain").Output(); err != nil || len(changed) > 0 {
		text += " with changes"
	}
	return text
}

// processor returns the model name of the first core.
func processor() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func firstLine(path string) string {
	content, _ := os.ReadFile(path)
	text, _, _ := strings.Cut(string(content), "\n")
	return cmp.Or(text, "unknown")
}

// count returns the number with commas between thousands.
func count[T int | int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// round returns the duration with about three digits.
func round(d time.Duration) string {
	unit := time.Nanosecond
	for d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit).String()
}

func megabytes(bytes int64) string { return count(bytes/1_000_000) + " MB" }
