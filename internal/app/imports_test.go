package app_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claviger/claviger"

// mayImport is who may import whom of ours: docs/design.md has the same table. The root imports internal/app alone,
// which may import everything. A folder of views may import other folders of views. A package that is not listed here
// may not exist.
var mayImport = map[string][]string{
	"":             {"internal/app"},
	"internal/app": nil, // everything

	"handlers":     {"handlers/api", "web", "views", "models", "gate", "models/requestlog", "static"},
	"handlers/api": {"web", "models", "gate", "models/requestlog"},
	"web":          {"views", "static", "models", "models/requestlog"},
	"views":        {"static", "views"},
	"static":       {},

	"gate":          {"models", "models/requestlog", "gate/recorder"},
	"gate/recorder": {"models/requestlog"},

	"models":                     {"models/requestlog", "internal/sqldb"},
	"models/requestlog":          {},
	"models/requestlog/sqlite":   {"models/requestlog", "internal/sqldb"},
	"models/requestlog/postgres": {"models/requestlog", "internal/sqldb"},

	"internal/config": {"models"},
	"internal/mail":   {"models", "views"},
	"internal/sqldb":  {},
	"client":          {},
	"client/echo":     {"client"},

	// These import what they measure or fill.
	"internal/demo": {"models", "models/requestlog"},
	"internal/testkit": {
		"internal/app", "models", "models/requestlog", "models/requestlog/sqlite", "models/requestlog/postgres",
		"gate", "web", "handlers",
	},
	"bench":       {"internal/app", "internal/config", "models", "models/requestlog"},
	"e2e":         {"internal/testkit", "models", "models/requestlog"},
	"e2e/process": {"internal/testkit", "models", "models/requestlog"},
}

// onlyIn names libraries that must not spread.
var onlyIn = map[string][]string{
	"gorm.io/":                    {"models"},
	"github.com/gorilla/sessions": {"web"},
	"github.com/a-h/templ":        {"views", "web", "handlers"},
	"github.com/labstack/echo": {
		"handlers", "handlers/api", "web", "client/echo", "internal/app", "internal/testkit",
	},
}

// notIn names what a package must do without, although others that it imports use it.
var notIn = map[string][]string{"gate": {"net/http"}, "gate/recorder": {"net/http"}}

const (
	// mostFiles is how many files a package may have, apart from tests and generated ones. A package with more has
	// parts that a newcomer would look for elsewhere.
	mostFiles = 45
	generated = "_templ.go"
)

// packageOf is what go list tells of a package.
type packageOf struct {
	path           string // below the module; empty for the root
	imports, files []string
}

func listPackages(t *testing.T) (list []packageOf) {
	t.Helper()
	const format = `{{.Dir}};{{.ImportPath}};{{join .Imports " "}};{{join .GoFiles " "}} {{join .IgnoredGoFiles " "}}`
	out, err := exec.Command("go", "list", "-f", format, module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		parts := strings.Split(line, ";")
		// go test repeats an old result unless it sees the test itself look at what has changed.
		if _, err := os.ReadDir(parts[0]); err != nil {
			t.Fatal(err)
		}
		list = append(list, packageOf{
			path:    strings.TrimPrefix(strings.TrimPrefix(parts[1], module), "/"),
			imports: strings.Fields(parts[2]), files: strings.Fields(parts[3]),
		})
	}
	return list
}

func TestPackagesImportOnlyWhatTheStructureAllows(t *testing.T) {
	for _, p := range listPackages(t) {
		area := areaOf(p.path)
		allowed, known := mayImport[area]
		if !known {
			t.Errorf("%s has no place in the structure: add it to mayImport and to docs/design.md", p.path)
			continue
		}
		for _, imported := range p.imports {
			if ours, isOurs := strings.CutPrefix(imported, module+"/"); isOurs {
				if allowed != nil && !slices.Contains(allowed, areaOf(ours)) {
					t.Errorf("%s imports %s", p.path, ours)
				}
				continue
			}
			for library, places := range onlyIn {
				if strings.HasPrefix(imported, library) && !slices.Contains(places, area) {
					t.Errorf("%s imports %s", p.path, imported)
				}
			}
			if slices.Contains(notIn[area], imported) {
				t.Errorf("%s imports %s", p.path, imported)
			}
		}
	}
}

func TestNoPackageHasTooManyFiles(t *testing.T) {
	for _, p := range listPackages(t) {
		n := 0
		for _, file := range p.files {
			if !strings.HasSuffix(file, generated) && !strings.HasSuffix(file, "_test.go") {
				n++
			}
		}
		if n > mostFiles {
			t.Errorf("%s has %d files, want at most %d: split it", p.path, n, mostFiles)
		}
	}
}

// areaOf is the part of the structure that a package belongs to: "views/ui" to "views", every other to itself.
func areaOf(pkg string) string {
	if strings.HasPrefix(pkg, "views/") {
		return "views"
	}
	return pkg
}
