package app_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claviger/claviger"

// mayImport lists, for each package, our packages that it may import. docs/design.md has the same table. The root
// imports only internal/app, which may import everything. Packages of views may import each other. Packages that are
// not listed are not allowed.
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
	"internal/demo":         {"models", "models/requestlog"},
	"internal/testkit/soak": {}, // not in testkit, which imports what some of its users test from inside
	"internal/testkit": {
		"internal/app", "models", "models/requestlog", "models/requestlog/sqlite", "models/requestlog/postgres",
		"gate", "web", "handlers",
	},
	"bench":       {"internal/app", "internal/config", "models", "models/requestlog"},
	"e2e":         {"internal/testkit", "models", "models/requestlog"},
	"e2e/process": {"internal/testkit", "models", "models/requestlog"},
}

// onlyIn lists, for each library, the only packages that may import it.
var onlyIn = map[string][]string{
	"gorm.io/":                    {"models"},
	"github.com/gorilla/sessions": {"web"},
	"github.com/a-h/templ":        {"views", "web", "handlers"},
	"github.com/labstack/echo": {
		"handlers", "handlers/api", "web", "client/echo", "internal/app", "internal/testkit",
	},
}

// notIn lists packages of the standard library that a package must not import.
var notIn = map[string][]string{"gate": {"net/http"}, "gate/recorder": {"net/http"}}

const (
	// maxFiles is how many files a package may have, not counting tests and generated files. A package with more has
	// parts that a newcomer would look for elsewhere.
	maxFiles  = 45
	generated = "_templ.go"
)

// listedPackage is a package as go list prints it.
type listedPackage struct {
	path           string // below the module; empty for the root
	imports, files []string
}

func listPackages(t *testing.T) (list []listedPackage) {
	t.Helper()
	const format = `{{.Dir}};{{.ImportPath}};{{join .Imports " "}};{{join .GoFiles " "}} {{join .IgnoredGoFiles " "}}`
	out, err := exec.Command("go", "list", "-f", format, module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		parts := strings.Split(line, ";")
		// go test uses a cached result unless the test itself opened files that have changed.
		if _, err := os.ReadDir(parts[0]); err != nil {
			t.Fatal(err)
		}
		list = append(list, listedPackage{
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
			t.Errorf("%s is not in the package structure: add it to mayImport and to docs/design.md", p.path)
			continue
		}
		for _, imported := range p.imports {
			if ours, isOurs := strings.CutPrefix(imported, module+"/"); isOurs {
				if allowed != nil && !slices.Contains(allowed, areaOf(ours)) {
					t.Errorf("%s imports %s, want only %q of ours", p.path, ours, allowed)
				}
				continue
			}
			for library, places := range onlyIn {
				if strings.HasPrefix(imported, library) && !slices.Contains(places, area) {
					t.Errorf("%s imports %s, which only %q may", p.path, imported, places)
				}
			}
			if slices.Contains(notIn[area], imported) {
				t.Errorf("%s imports %s, which it must not", p.path, imported)
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
		if n > maxFiles {
			t.Errorf("%s has %d files, want at most %d: split it", p.path, n, maxFiles)
		}
	}
}

// areaOf returns the entry of mayImport that a package belongs to: "views" for "views/ui", itself for all others.
func areaOf(pkg string) string {
	if strings.HasPrefix(pkg, "views/") {
		return "views"
	}
	return pkg
}
