package app_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabWidth   = 4
)

// stillLong lists the packages that have lines of more than maxColumns. It must only shrink.
var stillLong = []string{
	"bench",
	"e2e",
	"gate",
	"handlers",
	"handlers/api",
	"internal/config",
	"internal/demo",
	"internal/sqldb",
	"internal/testkit",
	"models",
	"models/requestlog",
	"models/requestlog/sqlite",
	"static",
	"views/layout",
	"views/ui",
	"web",
}

// columns returns the width of a line. Every tab counts tabWidth columns.
func columns(line string) int {
	return utf8.RuneCountInString(line) + strings.Count(line, "\t")*(tabWidth-1)
}

// longLines returns the lines of more than maxColumns in a package, tests included, as "file:line". Generated files
// may have such lines.
func longLines(t *testing.T, pkg string) (list []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pkg), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, generated) {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(source), "\n") {
			if columns(line) > maxColumns {
				list = append(list, fmt.Sprintf("%s:%d", path.Join(pkg, filepath.Base(file)), i+1))
			}
		}
	}
	return list
}

func TestNoLineOfGoHasMoreThan120Columns(t *testing.T) {
	var packages []string
	for _, p := range listPackages(t) {
		packages = append(packages, p.path)
		long, excepted := longLines(t, p.path), slices.Contains(stillLong, p.path)
		if len(long) > 0 && !excepted {
			t.Errorf("%s has lines of more than %d columns: %s", p.path, maxColumns, strings.Join(long, " "))
		}
		if len(long) == 0 && excepted {
			t.Errorf("%s has no line of more than %d columns: remove it from stillLong", p.path, maxColumns)
		}
	}
	for _, p := range stillLong {
		if !slices.Contains(packages, p) {
			t.Errorf("stillLong lists %s, which is not a package", p)
		}
	}
}
