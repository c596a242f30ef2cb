package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models/requestlog"
)

func FuzzValidateBody(f *testing.F) {
	app := testkit.NewApp(f, f.TempDir()+"/fuzz.db")
	result, err := app.Store.Setup(f.Context(), "ada@example.com", testkit.Password, "shop")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"key":"` + result.Key.Plain() + `","credits":3,"ip":"::1","platform":"ios","bundle_id":"a.b"}`))
	f.Add([]byte(`{"key":null,"credits":1e400}`))
	f.Add([]byte(`{"key":{"key":[]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		app.T = t
		reply := app.Call("POST", "/v1/projects/shop/validate", string(body),
			"Authorization", "Bearer "+result.ServiceToken.Plain())
		if reply.Status >= 500 || reply.Code() == "" || reply.Body["request_id"] == "" {
			t.Errorf("%d %v", reply.Status, reply.Body)
		}
		if reply.Code() == "valid" && !strings.Contains(string(body), "key") {
			t.Error("admitted without a key")
		}
	})
}

// Whatever bytes the headers of a request have, the reply is a verdict in JSON with clean headers, and both databases
// accept the row.
func FuzzValidateHeaders(f *testing.F) {
	app := testkit.NewApp(f, f.TempDir()+"/fuzz.db", testkit.TrustLoopback)
	result, err := app.Store.Setup(f.Context(), "ada@example.com", testkit.Password, "shop")
	if err != nil {
		f.Fatal(err)
	}
	names := []string{
		"X-Api-Key", "Authorization", "X-Original-Method", "X-Original-Uri", "X-Forwarded-Method", "X-Forwarded-Uri",
		"X-Forwarded-For",
		"X-Session-Id", "X-Platform", "X-Bundle-Id", "X-Attestation", "Content-Type",
	}
	f.Add(byte(0), result.Key.Plain(), byte(3), "/orders?key=secret")
	f.Add(byte(1), "Bearer "+result.ServiceToken.Plain(), byte(6), "::1, 10.0.0.1")
	f.Add(byte(2), "G\x00ET\r\n", byte(3), strings.Repeat("/é\xff", 400))
	f.Add(byte(8), "IOS", byte(11), "application/json; charset=\xff")
	f.Add(byte(0), "0", byte(4), "/orders?")
	f.Fuzz(func(t *testing.T, first byte, one string, second byte, two string) {
		request := httptest.NewRequest(http.MethodPost, "/v1/projects/shop/validate", strings.NewReader("{}"))
		request.RemoteAddr = "127.0.0.1:1234" // a trusted proxy: what it claims is believed
		request.Header.Set("X-Api-Key", result.Key.Plain())
		request.Header[names[int(first)%len(names)]] = []string{one}
		request.Header[names[int(second)%len(names)]] = []string{two}
		recorder := httptest.NewRecorder()
		app.Server.Config.Handler.ServeHTTP(recorder, request)
		var body map[string]any
		if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil || recorder.Code >= 500 ||
			body["code"] == nil {
			t.Fatalf("%d %s", recorder.Code, recorder.Body)
		}
		for name, values := range recorder.Header() {
			for _, value := range values {
				if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%s is %q", name, value)
				}
			}
		}
		if body["code"] != "valid" {
			return
		}
		app.T = t
		app.Flush()
		id, _ := requestlog.ParseID(fmt.Sprint(body["request_id"]))
		row, err := app.Store.RequestLog(t.Context(), result.Project.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{row.Method, row.Path, row.IP} {
			if len(text) > requestlog.MaxPath || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n") {
				t.Errorf("the row holds %q", text)
			}
		}
		if strings.Contains(row.Path, "?") {
			t.Errorf("the row holds a query: %q", row.Path)
		}
	})
}
