package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claviger/claviger"

// mayImport is who may import whom of ours: docs/design.md, "The house". main may import everything. A folder of views may
// import other folders of views. What is not listed here may not be there.
var mayImport = map[string][]string{
	"handlers":         {"web", "views", "models", "gate", "static"},
	"web":              {"views", "static", "models"},
	"views":            {"static", "views"},
	"gate":             {"models"},
	"models":           {"models"},
	"static":           {},
	"internal/config":  {"models"},
	"internal/demo":    {"models"},
	"internal/testkit": {"models", "gate", "web", "handlers"},
	"e2e":              {},
	"bench":            {"models", "internal/config"},
}

// onlyIn names libraries that must not spread.
var onlyIn = map[string][]string{
	"gorm.io/":                    {"models"},
	"github.com/labstack/echo":    {"handlers", "web", "internal/testkit", ""},
	"github.com/gorilla/sessions": {"web"},
	"github.com/a-h/templ":        {"views", "web", "handlers"},
}

func TestPackagesImportOnlyWhatTheHouseAllows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(words[0], module), "/")
		area := areaOf(pkg)
		allowed, known := mayImport[area]
		if !known && pkg != "" {
			t.Errorf("%s has no place in the house: add it to mayImport and to docs/design.md", pkg)
			continue
		}
		for _, imported := range words[1:] {
			if ours, isOurs := strings.CutPrefix(imported, module+"/"); isOurs {
				if pkg != "" && !slices.Contains(allowed, areaOf(ours)) {
					t.Errorf("%s imports %s", pkg, ours)
				}
				continue
			}
			for library, places := range onlyIn {
				if strings.HasPrefix(imported, library) && !slices.Contains(places, area) {
					t.Errorf("%s imports %s", pkg, imported)
				}
			}
		}
	}
}

// areaOf is the part of the house that a package belongs to: "views/ui" to "views".
func areaOf(pkg string) string {
	if strings.HasPrefix(pkg, "internal/") {
		return pkg
	}
	area, _, _ := strings.Cut(pkg, "/")
	return area
}
