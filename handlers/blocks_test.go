package handlers_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/gate"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// caller asks about keys in the project shop, in one way.
type caller struct {
	app     *testkit.App
	ip      string // in the body; empty for none
	headers []string
}

func (c caller) ask(key string) testkit.Reply {
	c.app.T.Helper()
	body, err := json.Marshal(map[string]string{"key": key, "ip": c.ip})
	if err != nil {
		c.app.T.Fatal(err)
	}
	return c.app.Call("POST", "/v1/projects/shop/validate", string(body), c.headers...)
}

// bad asks about n keys that do not exist and are all different, and gives how many times each code came back.
func (c caller) bad(n int) map[string]int {
	c.app.T.Helper()
	codes := map[string]int{}
	for i := range n {
		key := testkit.UnknownSecret(c.app.T, i)
		if i%2 == 0 {
			key = "malformed-" + strconv.Itoa(i)
		}
		codes[c.ask(key).Code()]++
	}
	return codes
}

func bearer(secret models.Secret) []string {
	return []string{"Authorization", "Bearer " + secret.Plain()}
}

func TestTwentyBadKeysBlockTheAddress(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		setup(t, app, "other")
		stranger := caller{app: app}
		if code := stranger.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Fatal(code)
		}
		if codes := stranger.bad(20); codes["key_invalid"] != 20 {
			t.Fatalf("%v", codes)
		}
		app.Clock.Advance(30 * time.Second)
		for _, key := range []string{result.Key.Plain(), "", "nonsense"} {
			reply := stranger.ask(key)
			if reply.Status != 403 || reply.Code() != "ip_blocked" || reply.Body["error"] != "IP temporarily blocked" || reply.Body["valid"] != false {
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
		if err != nil || len(page.Entries) != 2 || page.Entries[0].Code != requestlog.CodeIPBlocked || page.Entries[0].Status != 403 || page.Entries[0].KeyID != page.Entries[1].KeyID {
			t.Errorf("of the known key the log has %v (%v), want that it was valid and then blocked", page.Entries, err)
		}
		if n := app.Gate.Stats().Verdicts[requestlog.CodeIPBlocked]; n != 3 {
			t.Errorf("%d are counted", n)
		}
		app.Clock.Advance(14*time.Minute + 30*time.Second)
		if code := stranger.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("after the block: %s", code)
		}
	})
}

func TestABlockedAddressCostsNoStatement(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		setup(t, app, "shop")
		stranger := caller{app: app}
		stranger.bad(20)
		app.Flush()
		before := app.Queries.Load()
		for i := range 20 {
			stranger.ask(testkit.UnknownSecret(t, 100+i))
		}
		if n := app.Queries.Load() - before; n != 0 {
			t.Errorf("20 requests of a blocked address cost %d statements", n)
		}
	})
}

// The log has a row of each request with a known key, also where the key changed since memory learned of it.
func TestABlockedRequestWithAKeyThatChangedIsInTheLog(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		key, secret := app.Key(result.Project, models.KeyInput{Name: "one"})
		stranger := caller{app: app}
		stranger.ask(secret)
		stranger.bad(20)
		changeState(t, app, key, models.ActionDeactivate)
		for range 5 {
			if code := stranger.ask(secret).Code(); code != "ip_blocked" {
				t.Fatal(code)
			}
		}
		app.Flush()
		page, err := app.Store.RequestLogs(t.Context(), result.Project.ID, models.LogFilter{KeyID: key.ID, Code: requestlog.CodeIPBlocked, Limit: 10})
		if err != nil || len(page.Entries) != 5 {
			t.Errorf("%d rows of 5, %v", len(page.Entries), err)
		}
	})
}

// What a blocked address may not learn from validate, it may not learn elsewhere.
func TestABlockedAddressLearnsOfNoKeyWhereKeysActThemselves(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
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
		for name, reply := range map[string]testkit.Reply{"rotate": rotate(secret), "rotate, a bad key": rotate("bad"), "usage": usage(secret), "validate": app.Validate("shop", secret)} {
			if reply.Status != 403 || reply.Code() != "ip_blocked" || reply.Header.Get("Retry-After") != "900" {
				t.Errorf("%s: %d %v %v", name, reply.Status, reply.Body, reply.Header)
			}
		}
		app.Flush()
		if page, err := app.Store.UnknownKeys(t.Context(), result.Project.ID, "", 10); err != nil || len(page.Addresses) != 1 || page.Addresses[0].Requests != 20 {
			t.Errorf("counted are %+v, %v", page, err)
		}
		app.Clock.Advance(time.Hour)
		for i := range 20 { // and where no project is named, for that alone
			if reply := usage(testkit.UnknownSecret(t, i)); reply.Code() != "key_invalid" {
				t.Fatal(reply)
			}
		}
		if reply := usage(secret); reply.Status != 403 || reply.Code() != "ip_blocked" || reply.Header.Get("Retry-After") != "900" {
			t.Errorf("%d %v %v", reply.Status, reply.Body, reply.Header)
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("in the project it is %s", code)
		}
	})
}

func TestServiceTokensThatAreNoneAreBadKeys(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		for i := range 20 {
			fake := "Bearer " + testkit.UnknownToken(t, i)
			if reply := app.Validate("shop", result.Key.Plain(), "Authorization", fake); reply.Code() != "token_invalid" {
				t.Fatal(reply)
			}
		}
		if code := app.Validate("shop", result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("%s", code)
		}
		// The project's own server is not kept out by what else comes from its address.
		body := `{"key":"` + result.Key.Plain() + `","ip":"198.51.100.9"}`
		if code := app.Call("POST", "/v1/projects/shop/validate", body, bearer(result.ServiceToken)...).Code(); code != "valid" {
			t.Errorf("%s", code)
		}
	})
}

// Known keys are no bad keys, whatever is wrong with them, and none at all is none.
func TestKnownKeysAndNoKeyBlockNobody(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, good := app.Project(user, "shop")
		stranger, soon := caller{app: app}, app.Clock.Now().Add(time.Minute)
		var secrets []string
		for i := range 8 {
			inactive, a := app.Key(project, models.KeyInput{Name: fmt.Sprintf("inactive_%d", i)})
			revoked, b := app.Key(project, models.KeyInput{Name: fmt.Sprintf("revoked_%d", i)})
			_, c := app.Key(project, models.KeyInput{Name: fmt.Sprintf("expired_%d", i), ExpiresAt: &soon})
			changeState(t, app, inactive, models.ActionDeactivate)
			changeState(t, app, revoked, models.ActionRevoke)
			secrets = append(secrets, a, b, c)
		}
		app.Clock.Advance(time.Minute)
		for _, secret := range secrets {
			if code := stranger.ask(secret).Code(); !strings.HasPrefix(code, "key_") || code == "key_invalid" {
				t.Fatal(code)
			}
		}
		for range 30 {
			stranger.ask("")
			stranger.ask("the same nonsense")
		}
		if code := stranger.ask(good).Code(); code != "valid" {
			t.Errorf("%s", code)
		}
	})
}

// Keys of another project are bad keys here, also where they would be good there.
func TestKeysOfAnotherProjectAreBadKeys(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		app.Project(user, "shop")
		other, _, _ := app.Project(user, "other")
		stranger := caller{app: app}
		for i := range 20 {
			_, secret := app.Key(other, models.KeyInput{Name: fmt.Sprintf("key_%d", i)})
			stranger.ask(secret)
		}
		if code := stranger.ask("x").Code(); code != "ip_blocked" {
			t.Errorf("%s", code)
		}
	})
}

// The project's own server speaks for all its consumers: it is not blocked for what they do, and they are one by one.
func TestAServerWithATokenIsNeverBlockedAndItsConsumersAre(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		token := bearer(result.ServiceToken)
		silent := caller{app: app, headers: token}
		if codes := silent.bad(60); codes["key_invalid"] != 60 {
			t.Errorf("a server that names no consumer: %v", codes)
		}
		eve := caller{app: app, ip: "2001:db8::1", headers: token}
		eve.bad(20)
		neighbour := caller{app: app, ip: "2001:db8::2", headers: token}
		if code := neighbour.ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("another address of the /64 is %s", code)
		}
		forwarded := caller{app: app, headers: append([]string{"X-Forwarded-For", "198.51.100.1, 2001:db8::3"}, token...)}
		if code := forwarded.ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("the consumer named in a header is %s", code)
		}
		for name, c := range map[string]caller{
			"another consumer": {app: app, ip: "203.0.113.9", headers: token}, "the server": silent, "its own address without token": {app: app},
		} {
			if code := c.ask(result.Key.Plain()).Code(); code != "valid" {
				t.Errorf("%s is %s", name, code)
			}
		}
	})
}

func TestNobodyGetsAnothersAddressBlocked(t *testing.T) {
	const victim = "203.0.113.9"
	forged := []string{"X-Forwarded-For", victim, "X-Real-IP", victim, "Forwarded", "for=" + victim}
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		eve := caller{app: app, ip: victim, headers: forged}
		eve.bad(20)
		if code := eve.ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("who names another address gets away: %s", code)
		}
		bob := caller{app: app, ip: victim, headers: bearer(result.ServiceToken)}
		if code := bob.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
		// A token that is none, or of another project, makes nothing believed.
		other := setup(t, app, "other")
		eve.headers = append(forged, bearer(other.ServiceToken)...)
		if codes := eve.bad(25); codes["token_invalid"] != 25 {
			t.Errorf("%v", codes)
		}
		if code := bob.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
	})
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		// Through a trusted proxy, which adds the address that it saw to what the client sent.
		eve := caller{app: app, ip: victim, headers: []string{"X-Forwarded-For", victim + ", 198.51.100.1"}}
		eve.bad(20)
		if code := eve.ask(result.Key.Plain()).Code(); code != "ip_blocked" {
			t.Errorf("who names another address gets away: %s", code)
		}
		bob := caller{app: app, headers: []string{"X-Forwarded-For", victim}}
		if code := bob.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the victim is %s", code)
		}
	}, testkit.TrustLoopback)
}

func TestATrustedProxyIsNeverBlockedAndTheClientsItNamesAre(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		proxy := caller{app: app}
		if codes := proxy.bad(60); codes["key_invalid"] != 60 {
			t.Errorf("a proxy that names nobody: %v", codes)
		}
		for _, behind := range []caller{{app: app, headers: []string{"X-Forwarded-For", "127.0.0.9"}}, {app: app, ip: "127.0.0.9"}} {
			if codes := behind.bad(60); codes["key_invalid"] != 60 {
				t.Errorf("a proxy behind a proxy, %+v: %v", behind, codes)
			}
		}
		for _, eve := range []caller{
			{app: app, headers: []string{"X-Forwarded-For", "198.51.100.1"}}, {app: app, ip: "198.51.100.2"},
		} {
			eve.bad(20)
			if code := eve.ask(result.Key.Plain()).Code(); code != "ip_blocked" {
				t.Errorf("%+v is %s", eve, code)
			}
		}
		if code := proxy.ask(result.Key.Plain()).Code(); code != "valid" {
			t.Errorf("the proxy is %s", code)
		}
	}, testkit.TrustLoopback)
}

func TestTwentyAtOnceBlockOnce(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() { caller{app: app}.ask(testkit.UnknownSecret(t, i)) })
		}
		group.Wait()
		app.Flush()
		page, err := app.Store.AddressBlocks(t.Context(), result.Project.ID, models.AddressBlockFilter{Limit: 10})
		if err != nil || len(page.Blocks) != 1 || page.Blocks[0].Strikes != 1 || page.Blocks[0].Address != "127.0.0.1" {
			t.Errorf("%+v %v", page, err)
		}
		rows, _, err := app.Store.Actions(t.Context(), result.Project.ID, models.ActionFilter{Action: "address_block", Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].ActorKind != models.ActorSystem || rows[0].ObjectName != "127.0.0.1" {
			t.Errorf("%+v %v", rows, err)
		}
	})
}

// process is another one on the same database, which is told of changes as it would be over the wire.
func process(t *testing.T, app *testkit.App) (*gate.Gate, func(key string) requestlog.Code) {
	t.Helper()
	g, err := gate.New(app.Store, app.Store.Log(), testkit.Pepper(t),
		gate.Options{Now: app.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(t.Context()) })
	project, err := g.Project(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return g, func(key string) requestlog.Code {
		v, err := g.Check(t.Context(), &gate.Request{ID: app.Handlers.IDs.Next(), Started: app.Clock.Now(), Project: project, Key: key, Peer: gate.Origin{IP: "127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		return v.Code
	}
}

func TestABlockSurvivesARestartAndIsKnownToOtherProcesses(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		result := setup(t, app, "shop")
		key := result.Key.Plain()
		running, ask := process(t, app)
		if code := ask(key); code != requestlog.CodeValid {
			t.Fatal(code)
		}
		caller{app: app}.bad(20)
		app.Flush()
		if err := running.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code := ask(key); code != requestlog.CodeIPBlocked {
			t.Errorf("in the other process: %s", code)
		}
		_, askLater := process(t, app)
		if code := askLater(key); code != requestlog.CodeIPBlocked {
			t.Errorf("after a restart: %s", code)
		}
		page, err := app.Store.AddressBlocks(t.Context(), result.Project.ID, models.AddressBlockFilter{Limit: 10})
		if err != nil || len(page.Blocks) != 1 {
			t.Fatalf("%+v %v", page, err)
		}
		if _, err := app.Store.LiftAddressBlock(t.Context(), result.Project.ID, page.Blocks[0].ID, tester); err != nil {
			t.Fatal(err)
		}
		for name, code := range map[string]requestlog.Code{"one": ask(key), "the other": askLater(key), "the first": requestlog.Code(app.Validate("shop", key).Code())} {
			if code != requestlog.CodeValid {
				t.Errorf("after the lift %s says %s", name, code)
			}
		}
		_, askLast := process(t, app)
		if code := askLast(key); code != requestlog.CodeValid {
			t.Errorf("the lift did not survive a restart: %s", code)
		}
		caller{app: app}.bad(20)
		app.Flush()
		if page, err = app.Store.AddressBlocks(t.Context(), result.Project.ID, models.AddressBlockFilter{Limit: 10}); err != nil || page.Blocks[0].Strikes != 2 {
			t.Errorf("the next block: %+v %v", page, err)
		}
	})
}

func TestThePageShowsBlocksAndAdminsLiftThem(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, key := app.Project(user, "shop")
		if page := b.Get("/projects/shop/blocks"); page.Status != 200 || !strings.Contains(page.Text(), "No address is blocked") {
			t.Errorf("the empty page says %s", page.Text())
		}
		if page := b.Get("/projects/shop"); page.Find(`nav a[href="/projects/shop/blocks"]`).Length() != 1 {
			t.Error("there is no tab")
		}
		caller{app: app}.bad(20)
		app.Flush()
		app.Clock.Advance(5 * time.Minute)
		page := b.Get("/projects/shop/blocks")
		for _, want := range []string{"127.0.0.1", "Blocked", "5 minutes ago", "in 10 minutes", "1"} {
			if text := row(page, "127.0.0.1"); !strings.Contains(text, want) {
				t.Errorf("the row lacks %q: %s", want, text)
			}
		}
		form := page.Find("tbody form")
		path, _ := form.Attr("action")
		if text := form.Text(); !strings.Contains(text, "Lift the block of 127.0.0.1?") || !strings.Contains(text, "for 30 minutes") {
			t.Errorf("the question is %s", text)
		}

		member, bob := app.SignUp("bob@example.com")
		app.Exec("INSERT INTO members (project_id, user_id, role, created_at) VALUES (?, ?, 'viewer', ?)", project.ID, member.ID, app.Clock.Now())
		for _, role := range []models.Role{models.RoleViewer, models.RoleDeveloper} {
			app.Exec("UPDATE members SET role = ? WHERE user_id = ?", string(role), member.ID)
			page := bob.Get("/projects/shop/blocks")
			if page.Status != 200 || row(page, "127.0.0.1") == "" || page.Find("tbody form").Length() != 0 {
				t.Errorf("a %s sees %s", role, page.Text())
			}
			if page := bob.Post(path, nil); page.Status != 403 {
				t.Errorf("a %s lifts it: %d", role, page.Status)
			}
		}
		if code := app.Validate("shop", key).Code(); code != "ip_blocked" {
			t.Fatal(code)
		}
		app.Exec("UPDATE members SET role = 'admin' WHERE user_id = ?", member.ID)
		if page := bob.Post(path, nil); page.Path != "/projects/shop/blocks" || !strings.Contains(page.Text(), "127.0.0.1 is lifted") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", key).Code(); code != "valid" {
			t.Errorf("after the lift: %s", code)
		}
		page = b.Get("/projects/shop/blocks")
		if text := row(page, "127.0.0.1"); !strings.Contains(text, "Lifted") || page.Find("tbody form").Length() != 0 {
			t.Errorf("%s", text)
		}
		if page := b.Post(path, nil); page.Status != 409 {
			t.Errorf("lifting again gives %d", page.Status)
		}
		log := b.Get("/projects/shop/actions?action=address_block").Text()
		for _, want := range []string{"claviger system created address block 127.0.0.1", "bob@example.com lifted address block 127.0.0.1"} {
			if !strings.Contains(log, want) {
				t.Errorf("the action log lacks %q: %s", want, log)
			}
		}
	})
}

func TestBlocksAreFoundByTheAddressOfACustomer(t *testing.T) {
	eachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		for i := range 60 {
			address := fmt.Sprintf("203.0.113.%d", i)
			if i == 0 {
				address = "2001:db8::/64"
			}
			if _, err := app.Store.BlockAddress(t.Context(), models.AddressBlock{ProjectID: project.ID, Address: address, Strikes: 1, BlockedAt: app.Clock.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		for search, want := range map[string]int{
			"2001:db8::42": 1, "2001:DB8:0:0:1::": 1, "2001:db8:1::1": 0, "::ffff:203.0.113.7": 1, "64:ff9b::203.0.113.7": 1, "203.0.113.5": 11, "nothing": 0, "%": 0, "\x00": 50, "": 50,
		} {
			page := b.Get("/projects/shop/blocks?" + "q=" + strings.NewReplacer("%", "%25", "\x00", "%00").Replace(search))
			if n := page.Find("tbody tr").Length(); page.Status != 200 || n != want {
				t.Errorf("%q finds %d, want %d (%d)", search, n, want, page.Status)
			}
		}
		older, _ := b.Get("/projects/shop/blocks").Find(`a[rel="next"]`).Attr("href")
		if page := b.Get(older); page.Find("tbody tr").Length() != 10 || row(page, "2001:db8::/64") == "" {
			t.Errorf("the second page: %s", page.Text())
		}
	})
}
