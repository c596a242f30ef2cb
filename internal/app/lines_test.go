package app_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabWidth   = 4
)

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
	for _, p := range listPackages(t) {
		if long := longLines(t, p.path); len(long) > 0 {
			t.Errorf("%s has lines of more than %d columns: %s", p.path, maxColumns, strings.Join(long, " "))
		}
	}
}
