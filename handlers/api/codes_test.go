package api_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/models/requestlog"
)

// withoutCheck are the codes that no check of a key answers with.
var withoutCheck = []requestlog.Code{
	requestlog.CodeValid, requestlog.CodeProjectUnknown, requestlog.CodeTokenMissing, requestlog.CodeTokenInvalid,
	requestlog.CodeTokenScope, requestlog.CodeBadRequest, requestlog.CodeTooLarge, requestlog.CodeUnavailable,
}

// A new code must be where people and programs look for it.
func TestEveryCodeIsExplainedAndDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range requestlog.Codes() {
		if !strings.Contains(string(readme), "`"+string(code)+"`") {
			t.Errorf("README.md does not name %s", code)
		}
		explained := gate.Explain(&gate.Verdict{Code: code}) != nil
		if want := code == requestlog.CodeValid || !slices.Contains(withoutCheck, code); explained != want {
			t.Errorf("explain of %s has checks: %v, want %v", code, explained, want)
		}
	}
}

func TestTheDocumentNamesTheCodesThatARowCanHave(t *testing.T) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas struct {
				LogCode struct{ Enum []requestlog.Code }
			}
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if got := document.Components.Schemas.LogCode.Enum; !slices.Equal(got, requestlog.LoggedCodes) {
		t.Errorf("LogCode is %v, want %v", got, requestlog.LoggedCodes)
	}
}
