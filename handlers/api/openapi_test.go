package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// document has the parts of the OpenAPI document that the tests read.
type document struct {
	Paths map[string]map[string]operation `json:"paths"`
}

type operation struct {
	Security    []map[string][]string `json:"security"`
	RequestBody json.RawMessage       `json:"requestBody"`
	Responses   map[string]any        `json:"responses"`
}

// scope returns the scope that the operation needs, or [api.NoToken] if it needs no service token.
func (o operation) scope() models.Scope {
	if len(o.Security) == 1 {
		if scopes := o.Security[0]["serviceToken"]; len(scopes) == 1 {
			return models.Scope(scopes[0])
		}
	}
	return api.NoToken
}

func readDocument(t *testing.T) (document, []byte) {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d, text
}

var pathParameter = regexp.MustCompile(`:(\w+)`)

const validatePath = "/v1/projects/{project}/validate" // any method; not in the route table

func TestTheDocumentIsOpenAPI31(t *testing.T) {
	_, text := readDocument(t)
	v := newValidator(t, text)
	if ok, problems := v.ValidateDocument(); !ok {
		for _, p := range problems {
			t.Errorf("%s: %s %v", p.Message, p.Reason, p.SchemaValidationErrors)
		}
	}
}

func newValidator(t *testing.T, text []byte) validator.Validator {
	t.Helper()
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	v, problems := validator.NewValidator(document)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func TestTheDocumentAndTheRoutesNameTheSame(t *testing.T) {
	app := testkit.NewApp(t, t.TempDir()+"/claviger.db")
	d, text := readDocument(t)
	routes := map[string]models.Scope{}
	for _, route := range app.Handlers.API.Routes() {
		routes[route.Method+" "+pathParameter.ReplaceAllString(route.Path, "{$1}")] = route.Scope
	}
	for path, operations := range d.Paths {
		for method, o := range operations {
			name := strings.ToUpper(method) + " " + path
			scope, there := routes[name]
			switch {
			case path == validatePath:
			case !there:
				t.Errorf("%s is in the document and no route", name)
			case scope != o.scope():
				t.Errorf("%s needs the scope %s, the document says %s", name, scope, o.scope())
			}
			delete(routes, name)
		}
	}
	for name := range routes {
		t.Errorf("%s is a route and not in the document", name)
	}
	reply, err := http.Get(app.URL + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if served, err := io.ReadAll(reply.Body); err != nil || !bytes.Equal(served, text) {
		t.Errorf("what is served is not the document: %v", err)
	}
}
