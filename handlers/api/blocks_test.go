package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestTwentyBadKeysBlockTheAddress(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		app.Setup("other")
		stranger := testkit.Validator{App: app}
		if code := stranger.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Fatal(code)
		}
		if codes := stranger.AskBad(20); codes["key_invalid"] != 20 {
			t.Fatalf("%v", codes)
		}
		app.Clock.Advance(30 * time.Second)
		for _, key := range []string{result.Key.Plain(), "", "nonsense"} {
			reply := stranger.Ask(key)
			if reply.Status != 403 || reply.Code() != "ip_blocked" || reply.Body["error"] != "IP temporarily blocked" ||
				reply.Body["valid"] != false {
				t.Errorf("%d %v", reply.Status, reply.Body)
			}
			if got := reply.Header.Get("Retry-After"); got != "870" {
				t.Errorf("Retry-After %q, want 870", got)
			}
			if reply.Header.Get("X-Claviger-Key-Id") != "" {
				t.Error("the reply tells whose key it is")
			}
		}
		if code := app.Validate("other", "nonsense").Code(); code != "key_invalid" {
			t.Errorf("in another project it is %s", code)
		}
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), result.Project.ID, models.LogFilter{Limit: 10})
		if err != nil || len(page.Entries) != 2 || page.Entries[0].Code != requestlog.CodeIPBlocked ||
			page.Entries[0].Status != 403 || page.Entries[0].KeyID != page.Entries[1].KeyID {
			t.Errorf("of the known key the log has %v (%v), want that it was valid and then blocked", page.Entries, err)
		}
		if n := app.Gate.Stats().Verdicts[requestlog.CodeIPBlocked]; n != 3 {
			t.Errorf("%d are counted", n)
		}
		app.Clock.Advance(14*time.Minute + 30*time.Second)
		if code := stranger.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("after the block: %s", code)
		}
	})
}

func TestABlockedAddressCostsNoStatement(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		app.Setup("shop")
		stranger := testkit.Validator{App: app}
		stranger.AskBad(20)
		app.Flush()
		before := app.Queries.Load()
		for i := range 20 {
			stranger.Ask(testkit.UnknownSecret(t, 100+i))
		}
		if n := app.Queries.Load() - before; n != 0 {
			t.Errorf("20 requests of a blocked address cost %d statements", n)
		}
	})
}

// The log has a row for each request with a known key, even if the key changed after it was cached.
func TestABlockedRequestWithAKeyThatChangedIsInTheLog(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		key, secret := app.Key(result.Project, models.KeyInput{Name: "one"})
		stranger := testkit.Validator{App: app}
		stranger.Ask(secret)
		stranger.AskBad(20)
		app.ChangeState(key, models.ActionDeactivate)
		for range 5 {
			if code := stranger.Ask(secret).Code(); code != "ip_blocked" {
				t.Fatal(code)
			}
		}
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), result.Project.ID,
			models.LogFilter{KeyID: key.ID, Code: requestlog.CodeIPBlocked, Limit: 10})
		if err != nil || len(page.Entries) != 5 {
			t.Errorf("%d rows of 5, %v", len(page.Entries), err)
		}
	})
}

// A blocked address must not be able to test keys with the other calls that take a key.
func TestABlockedAddressIsBlockedInSelfRotationAndUsageToo(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		_, secret := app.Key(result.Project, models.KeyInput{Name: "one", SelfRotation: true})
		rotate := func(key string) testkit.Reply {
			return app.Call("POST", "/v1/projects/shop/keys/rotate", "", "X-API-Key", key)
		}
		usage := func(key string) testkit.Reply { return app.Call("GET", "/v1/usage", "", "X-API-Key", key) }
		for i := range 20 { // bad keys there count for the project
			if reply := rotate(testkit.UnknownSecret(t, i)); reply.Code() != "key_invalid" {
				t.Fatal(reply)
			}
		}
		for name, reply := range map[string]testkit.Reply{"rotate": rotate(secret), "rotate, a bad key": rotate("bad"),
			"usage": usage(secret), "validate": app.Validate("shop", secret)} {
			if reply.Status != 403 || reply.Code() != "ip_blocked" || reply.Header.Get("Retry-After") != "900" {
				t.Errorf("%s: %d %v %v", name, reply.Status, reply.Body, reply.Header)
			}
		}
		app.Flush()
		if page, err := app.Store.UnknownKeys(t.Context(), result.Project.ID, "", 10); err != nil ||
			len(page.Addresses) != 1 || page.Addresses[0].Requests != 20 {
			t.Errorf("counted are %+v, %v", page, err)
		}
		app.Clock.Advance(time.Hour)
		for i := range 20 { // and where no project is named, for that alone
			if reply := usage(testkit.UnknownSecret(t, i)); reply.Code() != "key_invalid" {
				t.Fatal(reply)
			}
		}
		if reply := usage(secret); reply.Status != 403 || reply.Code() != "ip_blocked" ||
			reply.Header.Get("Retry-After") != "900" {
			t.Errorf("%d %v %v", reply.Status, reply.Body, reply.Header)
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("in the project it is %s", code)
		}
	})
}

func TestInvalidServiceTokensCountAsBadKeys(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		for i := range 20 {
			fake := "Bearer " + testkit.UnknownToken(t, i)
			if reply := app.Validate("shop", result.Key.Plain(),
				"Authorization", fake); reply.Code() != "token_invalid" {
				t.Fatal(reply)
			}
		}
		if code := app.Validate("shop", result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("%s", code)
		}
		// The project's own server is not blocked for other requests from its address.
		body := `{"key":"` + result.Key.Plain() + `","ip":"198.51.100.9"}`
		if code := app.Call("POST", "/v1/projects/shop/validate", body,
			testkit.Bearer(result.ServiceToken)...).Code(); code != "valid" {
			t.Errorf("%s", code)
		}
	})
}

// Known keys do not count as bad keys, whatever their state. A missing key does not count either.
func TestKnownAndMissingKeysDoNotBlock(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, good := app.Project(user, "shop")
		stranger, soon := testkit.Validator{App: app}, app.Clock.Now().Add(time.Minute)
		var secrets []string
		for i := range 8 {
			inactive, a := app.Key(project, models.KeyInput{Name: fmt.Sprintf("inactive_%d", i)})
			revoked, b := app.Key(project, models.KeyInput{Name: fmt.Sprintf("revoked_%d", i)})
			_, c := app.Key(project, models.KeyInput{Name: fmt.Sprintf("expired_%d", i), ExpiresAt: &soon})
			app.ChangeState(inactive, models.ActionDeactivate)
			app.ChangeState(revoked, models.ActionRevoke)
			secrets = append(secrets, a, b, c)
		}
		app.Clock.Advance(time.Minute)
		for _, secret := range secrets {
			if code := stranger.Ask(secret).Code(); !strings.HasPrefix(code, "key_") || code == "key_invalid" {
				t.Fatal(code)
			}
		}
		for range 30 {
			stranger.Ask("")
			stranger.Ask("the same nonsense")
		}
		if code := stranger.Ask(good).Code(); code != "valid" {
			t.Errorf("%s", code)
		}
	})
}

// Keys of another project count as bad keys, even if they are valid there.
func TestKeysOfAnotherProjectAreBadKeys(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		app.Project(user, "shop")
		other, _, _ := app.Project(user, "other")
		stranger := testkit.Validator{App: app}
		for i := range 20 {
			_, secret := app.Key(other, models.KeyInput{Name: fmt.Sprintf("key_%d", i)})
			stranger.Ask(secret)
		}
		if code := stranger.Ask("x").Code(); code != "ip_blocked" {
			t.Errorf("%s", code)
		}
	})
}

// The project's own server makes the requests of all its consumers: they are blocked one by one, and it is not.
func TestAServerWithATokenIsNeverBlockedAndItsConsumersAre(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		token := testkit.Bearer(result.ServiceToken)
		silent := testkit.Validator{App: app, Headers: token}
		if codes := silent.AskBad(60); codes["key_invalid"] != 60 {
			t.Errorf("a server that names no consumer: %v", codes)
		}
		eve := testkit.Validator{App: app, IP: "2001:db8::1", Headers: token}
		eve.AskBad(20)
		neighbour := testkit.Validator{App: app, IP: "2001:db8::2", Headers: token}
		if code := neighbour.Ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("another address of the /64 is %s", code)
		}
		forwarded := testkit.Validator{App: app,
			Headers: append([]string{"X-Forwarded-For", "198.51.100.1, 2001:db8::3"}, token...)}
		if code := forwarded.Ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("the consumer named in a header is %s", code)
		}
		for name, c := range map[string]testkit.Validator{
			"another consumer": {App: app, IP: "203.0.113.9", Headers: token}, "the server": silent,
			"its own address without token": {App: app},
		} {
			if code := c.Ask(result.Key.Plain()).Code(); code != "valid" {
				t.Errorf("%s is %s", name, code)
			}
		}
	})
}

func TestNobodyGetsAnothersAddressBlocked(t *testing.T) {
	const victim = "203.0.113.9"
	forged := []string{"X-Forwarded-For", victim, "X-Real-IP", victim, "Forwarded", "for=" + victim}
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		eve := testkit.Validator{App: app, IP: victim, Headers: forged}
		eve.AskBad(20)
		if code := eve.Ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("who names another address gets away: %s", code)
		}
		bob := testkit.Validator{App: app, IP: victim, Headers: testkit.Bearer(result.ServiceToken)}
		if code := bob.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
		// With an invalid token, or one of another project, the claims are ignored.
		other := app.Setup("other")
		eve.Headers = append(forged, testkit.Bearer(other.ServiceToken)...)
		if codes := eve.AskBad(25); codes["token_invalid"] != 25 {
			t.Errorf("%v", codes)
		}
		if code := bob.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
	})
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		// Through a trusted proxy, which adds the address that it saw to what the client sent.
		eve := testkit.Validator{App: app, IP: victim, Headers: []string{"X-Forwarded-For", victim + ", 198.51.100.1"}}
		eve.AskBad(20)
		if code := eve.Ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("who names another address gets away: %s", code)
		}
		bob := testkit.Validator{App: app, Headers: []string{"X-Forwarded-For", victim}}
		if code := bob.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
	}, testkit.TrustLoopback)
}

func TestATrustedProxyIsNeverBlockedAndTheClientsItNamesAre(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		proxy := testkit.Validator{App: app}
		if codes := proxy.AskBad(60); codes["key_invalid"] != 60 {
			t.Errorf("a proxy that names nobody: %v", codes)
		}
		for _, behind := range []testkit.Validator{{App: app, Headers: []string{"X-Forwarded-For", "127.0.0.9"}},
			{App: app, IP: "127.0.0.9"}} {
			if codes := behind.AskBad(60); codes["key_invalid"] != 60 {
				t.Errorf("a proxy behind a proxy, %+v: %v", behind, codes)
			}
		}
		for _, eve := range []testkit.Validator{
			{App: app, Headers: []string{"X-Forwarded-For", "198.51.100.1"}}, {App: app, IP: "198.51.100.2"},
		} {
			eve.AskBad(20)
			if code := eve.Ask(result.Key.Plain()).Code(); code != "ip_blocked" {
				t.Errorf("%+v is %s", eve, code)
			}
		}
		if code := proxy.Ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the proxy is %s", code)
		}
	}, testkit.TrustLoopback)
}

func TestTwentyAtOnceBlockOnce(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() { testkit.Validator{App: app}.Ask(testkit.UnknownSecret(t, i)) })
		}
		group.Wait()
		app.Flush()
		page, err := app.Store.AddressBlocks(t.Context(), result.Project.ID, models.AddressBlockFilter{Limit: 10})
		if err != nil || len(page.Blocks) != 1 || page.Blocks[0].Strikes != 1 || page.Blocks[0].Address != "127.0.0.1" {
			t.Errorf("%+v %v", page, err)
		}
		rows, _, err := app.Store.AuditRows(t.Context(), result.Project.ID, models.AuditFilter{Action: "address_block",
			Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].ActorKind != models.ActorSystem ||
			rows[0].ObjectName != "127.0.0.1" {
			t.Errorf("%+v %v", rows, err)
		}
	})
}
