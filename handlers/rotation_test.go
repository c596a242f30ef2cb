package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func rotate(t *testing.T, b *testkit.Browser, path, version, grace string) (testkit.Page, string) {
	t.Helper()
	page := b.Post(path+"/rotate", url.Values{"version": {version}, "grace": {grace}})
	return page, secretPattern.FindString(page.Find("#secret-value").Text())
}

func TestAKeyIsRotatedWithoutAnOutage(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, old := app.Key(project, models.KeyInput{Name: "server_prod"})
		path := testkit.KeyPath(project, key)
		app.Validate("shop", old)
		app.Clock.Advance(time.Second)

		if form := b.Get(path + "/rotate"); form.Find("input[name=grace]").Length() != len(models.Graces) {
			t.Errorf("the form offers %d graces", form.Find("input[name=grace]").Length())
		}
		page, fresh := rotate(t, b, path, "1", "1h")
		if page.Status != http.StatusCreated || fresh == "" || fresh == old {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		reply := app.Validate("shop", old)
		sunset := app.Clock.Now().Add(time.Hour).Format(http.TimeFormat)
		if reply.Code() != "valid" ||
			reply.Header.Get("X-API-Key-Version") != "1" ||
			reply.Header.Get("Sunset") != sunset {
			t.Errorf("the old secret: %v, version %q, Sunset %q", reply.Body, reply.Header.Get("X-API-Key-Version"),
				reply.Header.Get("Sunset"))
		}
		reply = app.Validate("shop", fresh)
		if reply.Code() != "valid" || reply.Header.Get("X-API-Key-Version") != "2" || reply.Header.Get("Sunset") != "" {
			t.Errorf("the new secret: %v, %v", reply.Body, reply.Header)
		}
		app.Flush()

		show := b.Get(path)
		text := show.Find("table").First().Text()
		if secretPattern.MatchString(show.HTML) ||
			!strings.Contains(text, "Retiring") ||
			!strings.Contains(text, "ada@example.com") {
			t.Errorf("the timeline says %s", strings.Join(strings.Fields(text), " "))
		}
		var requests []string
		for _, cell := range show.Find("td[data-label=Requests]").EachIter() {
			requests = append(requests, strings.TrimSpace(cell.Text()))
		}
		if fmt.Sprint(requests) != "[1 1]" { // since the rotation: not the one before it
			t.Errorf("requests by version: %v", requests)
		}

		if page := b.Post(path+"/versions/1/end", url.Values{"in": {"24h"}}); page.Status != 200 {
			t.Errorf("more time: %d", page.Status)
		}
		app.Clock.Advance(2 * time.Hour)
		if code := app.Validate("shop", old).Code(); code != "valid" {
			t.Errorf("with more time the old secret is %s", code)
		}
		if page := b.Post(path+"/versions/1/end", url.Values{"in": {"now"}}); page.Status != 200 {
			t.Errorf("end now: %d", page.Status)
		}
		if code := app.Validate("shop", old).Code(); code != "key_revoked" {
			t.Errorf("after its end the old secret is %s", code)
		}
		for version, status := range map[string]int{"1": 409, "2": 409, "3": 404, "x": 404} {
			if page := b.Post(path+"/versions/"+version+"/end", url.Values{"in": {"now"}}); page.Status != status {
				t.Errorf("ending version %s gives %d, want %d", version, page.Status, status)
			}
		}
	})
}

func TestARotationOfAnOutdatedVersionIsRefused(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		key, _ := app.Key(project, models.KeyInput{Name: "one"})
		path := testkit.KeyPath(project, key)
		_, fresh := rotate(t, b, path, "1", "now")
		page, _ := rotate(t, b, path, "1", "now") // from a form that was opened before
		if page.Status != 409 ||
			secretPattern.MatchString(page.HTML) ||
			!strings.Contains(page.Text(), "somebody else") {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", fresh).Code(); code != "valid" {
			t.Errorf("the first one's secret is %s", code)
		}
		if page, _ = rotate(t, b, path, "2", "for ever"); page.Status != 422 {
			t.Errorf("an unknown grace gives %d", page.Status)
		}
	})
}

func TestRevokingAsksForTheNameAndIsFinal(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, defaultKey, _ := app.Project(user, "shop")
		key, secret := app.Key(project, models.KeyInput{Name: "leaked"})
		path := testkit.KeyPath(project, key)
		page := b.Post(path+"/revoke", url.Values{"confirm": {"leakd"}})
		if value, _ := page.Find("#f-confirm").Attr("value"); page.Status != 422 ||
			page.FieldError("confirm") == "" ||
			value != "leakd" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", secret).Code(); code != "valid" {
			t.Errorf("revoked without the name: %s", code)
		}
		if page = b.Post(path+"/revoke", url.Values{"confirm": {"leaked"}}); page.Status != 200 {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		if code := app.Validate("shop", secret).Code(); code != "key_revoked" {
			t.Errorf("the next request is %s", code)
		}
		for _, act := range []string{"activate", "deactivate", "rotate", "revoke"} {
			form := url.Values{"confirm": {"leaked"}, "version": {"1"}, "grace": {"now"}}
			if page := b.Post(path+"/"+act, form); page.Status != 409 {
				t.Errorf("%s a revoked key gives %d", act, page.Status)
			}
		}
		if page := b.Get(path + "/edit"); page.Status != 409 {
			t.Errorf("the edit form of a revoked key: %d", page.Status)
		}
		page = b.Post(testkit.KeyPath(project, defaultKey)+"/revoke", url.Values{"confirm": {defaultKey.Name}})
		if page.Status != 409 {
			t.Errorf("the default key: %d", page.Status)
		}
	})
}

func TestAReplacementStartsWithTheSettingsAndAFreeName(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		daily := int64(5000)
		key, _ := app.Key(project, models.KeyInput{
			Name: "mobile", Description: "The app.", Type: models.TypeTest, Category: "staging",
			Restrictions: models.Restrictions{PlatformIOS: true, IOSBundleID: "com.example.app"},
			Quotas:       models.Quotas{Daily: &daily},
		})
		app.Key(project, models.KeyInput{Name: "mobile_2"})
		page := b.Get("/projects/shop/keys/new?replaces=" + fmt.Sprint(key.ID))
		for field, want := range map[string]string{
			"name":          "mobile_3",
			"quota_daily":   "5000",
			"quota_total":   "",
			"ios_bundle_id": "com.example.app",
		} {
			if got, _ := page.Find("#f-" + field).Attr("value"); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		if got, _ := page.Find("#f-category option[selected]").Attr("value"); got != "staging" {
			t.Errorf("category %q", got)
		}
		if page.Find("input[name=platform_ios][checked]").Length() != 1 ||
			page.Find("input[name=platform_android][checked]").Length() != 0 {
			t.Error("the replacement has other platforms")
		}
		if got, _ := page.Find("input[name=type][checked]").Attr("value"); got != "test" {
			t.Errorf("type %q", got)
		}
		other, _ := app.SignUp("bob@example.com")
		app.Project(other, "his")
		if page := b.Get("/projects/shop/keys/new?replaces=999"); page.Status != 404 {
			t.Errorf("a key that is not there: %d", page.Status)
		}
	})
}

func TestTheKeyFormSavesAndClearsEveryField(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, b := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		form := url.Values{
			"name": {"mobile"}, "type": {"production"}, "category": {"production"}, "platform_ios": {"true"},
			"platform_android": {"true"},
			"ios_bundle_id":    {"com.example.app"},
			"android_package":  {"com.example.app"},
			"self_rotation":    {"true"},
			"quota_daily":      {"ten"},
			"quota_weekly":     {"0"},
			"quota_monthly":    {"3000"},
			"quota_total":      {""},
		}
		page := b.Post("/projects/shop/keys", form)
		if page.Status != 422 ||
			page.FieldError("quota_daily") == "" ||
			page.FieldError("quota_weekly") == "" ||
			page.FieldError("self_rotation") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		form.Set("quota_daily", "10")
		page = b.Post("/projects/shop/keys", form)
		if page.Status != 422 || page.FieldError("quota_weekly") == "" || page.FieldError("self_rotation") == "" {
			t.Errorf("%d %s", page.Status, page.Text())
		}
		for field, want := range map[string]string{
			"quota_daily":     "10",
			"quota_weekly":    "0",
			"android_package": "com.example.app",
		} {
			if got, _ := page.Find("#f-" + field).Attr("value"); got != want {
				t.Errorf("%s came back as %q", field, got)
			}
		}
		form.Set("quota_weekly", "")
		form.Del("self_rotation")
		if page = b.Post("/projects/shop/keys", form); page.Status != 201 {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		secret := secretPattern.FindString(page.Find("#secret-value").Text())
		list, err := app.Store.Keys(t.Context(), project.ID, models.KeyFilter{Search: "mobile", Limit: 1})
		if err != nil || len(list.Keys) != 1 {
			t.Fatal(list, err)
		}
		key := list.Keys[0]
		if *key.Daily != 10 ||
			key.Weekly != nil ||
			*key.Monthly != 3000 ||
			key.Total != nil ||
			!key.PlatformIOS ||
			!key.PlatformAndroid ||

			key.IOSBundleID != "com.example.app" || key.AndroidPackage != "com.example.app" {
			t.Errorf("%+v %+v", key.Quotas, key.Restrictions)
		}
		for _, c := range []struct {
			headers []string
			code    string
		}{
			{nil, "platform_not_allowed"},
			{[]string{"X-Platform", "ios", "X-Bundle-ID", "com.example.app"}, "valid"},
			{[]string{"X-Platform", "Android", "X-Bundle-ID", "com.other"}, "bundle_not_allowed"},
		} {
			if reply := app.Validate("shop", secret, c.headers...); reply.Code() != c.code {
				t.Errorf("%v: %v", c.headers, reply.Body)
			}
		}
		// Clearing the fields applies to the next request.
		page = b.Post(testkit.KeyPath(project, &key.Key), url.Values{"name": {"mobile"}, "category": {"production"}})
		if page.Status != 200 {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		if reply := app.Validate("shop", secret); reply.Code() != "valid" {
			t.Errorf("%v", reply.Body)
		}
		if text := b.Get(testkit.KeyPath(project, &key.Key)).Text(); !strings.Contains(text, "QuotasNone") {
			t.Errorf("the page still shows quotas: %s", text)
		}
	})
}
