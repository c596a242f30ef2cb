package e2e

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// world is a service with something on every page, and the people who look at it.
type world struct {
	app   *testkit.App // has an account already
	empty *testkit.App // waits for its first one

	owner, newcomer, maker string // sessions: of who has it all, of who has nothing yet, and of who makes new things

	project, waiting, workshop                  string // paths; without requests yet, and of the maker
	defaultKey, used, unused, inactive, revoked string // paths of keys
	admitted, rejected                          string // paths of requests
	usedName                                    string
	words                                       words
}

// words are what people typed into a world.
type words struct {
	project, key, description, category, email string
	ip, path                                   string
}

// ordinary is what most people type.
var ordinary = words{
	project: "Storefront", key: "server_prod", description: "Checkout servers in Frankfurt.", category: "partners",
	email: "ada.lovelace@example.com", ip: "203.0.113.7", path: "/v2/orders",
}

// extreme is the longest that is taken of everything, with as few places to break a line as can be.
var extreme = words{
	project:     strings.Repeat("Storefronts", 7) + "XYZ",
	key:         strings.Repeat("server_prod_eu_w", 4),
	description: strings.Repeat("Donaudampfschifffahrtsgesellschaft", 14) + strings.Repeat("x", 24),
	category:    strings.Repeat("partner", 5) + "Wxyzw",
	email:       strings.Repeat("ada", 20) + "@" + strings.Repeat("analytical-engines.", 9) + "example",
	ip:          "2001:db8:85a3:8d3:1319:8a2e:370:7348",
	path:        "/" + strings.Repeat("v2-orders-", 51) + "x",
}

func newWorld(t *testing.T, w words) *world {
	t.Helper()
	v := &world{
		words: w,
		app:   testkit.NewApp(t, sqliteURL(t), testkit.Dev, testkit.TrustLoopback, testkit.OpenSignup),
		empty: newApp(t, sqliteURL(t)),
	}
	// The last hour, minute by minute, and then on with the real time.
	v.app.Clock.Advance(time.Since(v.app.Clock.Now()) - time.Hour)
	user, browser := v.app.SignUp(w.email)
	_, newcomer := v.app.SignUp("grace@example.com")
	maker, workshop := v.app.SignUp("alan@example.com")

	shop, first, _ := v.create(user, models.ProjectInput{Name: w.project, Slug: models.Slugify(w.project)})
	waiting, _, _ := v.create(user, models.ProjectInput{Name: "Nothing yet"})
	if _, err := v.app.Store.ChangeProjectPlan(t.Context(), user.Actor("192.0.2.1"), waiting.ID, 1, nil); err != nil {
		t.Fatal(err)
	}
	v.create(user, models.ProjectInput{Name: "Billing", KeyPrefix: "billingprefx"})
	bench, _, _ := v.create(maker, models.ProjectInput{Name: "Workshop"})
	v.project, v.waiting, v.workshop = "/projects/"+shop.Slug, "/projects/"+waiting.Slug, "/projects/"+bench.Slug

	soon := v.app.Clock.Now().Add(30 * 24 * time.Hour)
	quota := int64(1_000_000_000_000) // the largest
	key, secret := v.app.Key(shop, models.KeyInput{
		Name: w.key, Description: w.description, Category: w.category, ExpiresAt: &soon,
		Quotas: models.Quotas{Total: &quota, Daily: &quota, Weekly: &quota, Monthly: &quota},
	})
	v.usedName = key.Name
	v.used, v.defaultKey = testkit.KeyPath(shop, key), testkit.KeyPath(shop, first)
	inactive, inactiveSecret := v.app.Key(shop,
		models.KeyInput{Name: "old_importer", Type: models.TypeTest, Category: "staging"})
	gone, _ := v.app.Key(shop, models.KeyInput{Name: "leaked_in_a_repo", Description: "Ended on the day it leaked."})
	briefly := v.app.Clock.Now().Add(time.Minute)
	v.app.Key(shop, models.KeyInput{Name: "trade_fair", Category: "development", ExpiresAt: &briefly})
	unused, _ := v.app.Key(shop,
		models.KeyInput{Name: "ci_smoke_tests", Type: models.TypeTest, Category: "development", SelfRotation: true})
	v.unused, v.inactive, v.revoked = testkit.KeyPath(shop, unused), testkit.KeyPath(shop,
		inactive), testkit.KeyPath(shop, gone)
	for id, action := range map[int64]models.KeyAction{inactive.ID: models.ActionDeactivate,
		gone.ID: models.ActionRevoke} {
		if _, err := v.app.Store.ChangeKeyState(t.Context(), shop.ID, id, testkit.Actor(user.ID), action); err != nil {
			t.Fatal(err)
		}
	}

	var reports []requestlog.Report
	for minute := range 59 {
		for request := range (minute*7)%5 + 1 {
			caller, path := secret, w.path
			if (minute+request)%9 == 4 {
				caller, path = inactiveSecret, "/v1/import"
			}
			reply := v.app.Validate(shop.Slug, caller, "X-Forwarded-For", w.ip, "X-Original-Method", "POST",
				"X-Original-URI", path, "X-Session-ID", fmt.Sprint(minute))
			id, _ := reply.Body["request_id"].(string)
			if reply.Status == 200 {
				v.admitted = v.project + "/logs/" + id
				reports = append(reports, reportOf(id, len(reports)))
			} else {
				v.rejected = v.project + "/logs/" + id
			}
		}
		v.app.Clock.Advance(time.Minute)
	}
	v.blocks(shop)
	for i := range 70 {
		v.app.Validate(shop.Slug, "nonsense", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i%60))
	}
	v.app.Validate(shop.Slug, "nonsense", "X-Forwarded-For", w.ip)
	v.app.Clock.Follow()
	v.app.Flush()
	if missing, err := v.app.Store.Log().Complete(t.Context(), shop.ID, reports); err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
	v.owner, v.newcomer, v.maker = v.signIn(browser, w.email), v.signIn(newcomer,
		"grace@example.com"), v.signIn(workshop, "alan@example.com")
	return v
}

// reportOf is what the app says of the request with that number.
func reportOf(id string, number int) requestlog.Report {
	r := requestlog.Report{Status: []int{200, 200, 201, 200, 404, 200, 500}[number%7],
		TTFBUs: sql.NullInt64{Int64: int64(9000 + number*1234), Valid: number%5 != 3}}
	r.ID, _ = requestlog.ParseID(id)
	return r
}

// blocks makes one of each state.
func (v *world) blocks(shop *models.Project) {
	v.app.T.Helper()
	now := v.app.Clock.Now()
	for _, b := range []struct {
		address string
		strikes int
		ago     time.Duration
		lift    bool
	}{
		{"198.51.100.23", 1, 50 * time.Minute, false}, {"203.0.113.40", 2, 20 * time.Minute, true}, {"203.0.113.77",
			7, 9 * time.Minute, false},
		{"2001:1db8:85a3:18d3::/64", 1, 2 * time.Minute, false},
	} {
		ctx, block := v.app.T.Context(), models.AddressBlock{ProjectID: shop.ID, Address: b.address,
			Strikes: b.strikes, BlockedAt: now.Add(-b.ago)}
		made, err := v.app.Store.BlockAddress(ctx, block)
		if err == nil && b.lift {
			_, err = v.app.Store.LiftAddressBlock(ctx, shop.ID, made.ID, testkit.Actor(1))
		}
		if err != nil {
			v.app.T.Fatal(err)
		}
	}
}

// signIn renews a session that the leap of the clock may have ended.
func (v *world) signIn(b *testkit.Browser, email string) string {
	b.Post("/signin", url.Values{"email": {email}, "password": {testkit.Password}})
	return b.Cookie(sessionCookie)
}

func (v *world) create(user *models.User, in models.ProjectInput) (*models.Project, *models.Key, string) {
	v.app.T.Helper()
	project, key, secret, err := v.app.Store.CreateProject(v.app.T.Context(), user.Actor("192.0.2.1"), in)
	if err != nil {
		v.app.T.Fatal(err)
	}
	return project, key, secret.Plain()
}
