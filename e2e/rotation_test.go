package e2e

import (
	"net/http"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models/requestlog"
)

// A key is made with every field after a first try with mistakes, rotated with a grace, ended early, and revoked.
func TestAKeyIsRotatedWithAGraceAndRevoked(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, url string) {
		tab := newTab(t, testkit.NewApp(t, url))
		tab.App.Clock.Follow()
		user, session := tab.App.SignUp(ada)
		tab.App.Project(user, "shop")
		tab.SignIn(session.Cookie(sessionCookie))

		tab.Open("/projects/shop/keys/new")
		for label, text := range map[string]string{
			"Name": "mobile-app", "Description": "The app.", "24 hours": "many", "Total": "1000",
			"Android package name": "com.example.app",
		} {
			tab.Fill(label, text)
		}
		tab.Press("Create key")
		tab.Until("messages at the fields",
			`document.querySelector("#f-name-error") && document.querySelector("#f-quota_daily-error")`)
		for label, text := range map[string]string{"Name": "mobile-app", "24 hours": "many", "Total": "1000",
			"Android package name": "com.example.app"} {
			if got := tab.Value(label); got != text {
				t.Errorf("%s came back as %q", label, got)
			}
		}
		tab.Fill("Name", "mobile_app")
		tab.Fill("24 hours", "500")
		tab.Press("Create key")
		tab.See("mobile_app created")
		first := tab.Text("#secret-value")
		tab.Press("I have copied it")
		tab.See("0 of 500 in 24 hours")
		path := tab.Path()

		tab.Press("Rotate")
		tab.At(path + "/rotate")
		tab.Choose("In 24 hours")
		tab.Press("Rotate key")
		tab.See("mobile_app has version 2")
		second := tab.Text("#secret-value")
		tab.SeeNot(first)
		tab.Press("I have copied it")
		tab.At(path)
		tab.SeeNot(second)
		tab.See("Retiring")
		verdict := func(when, secret, code string) {
			t.Helper()
			if got := tab.App.Validate("shop", secret).Code(); got != code {
				t.Errorf("%s: %s, want %s", when, got, code)
			}
		}
		verdict("the old secret within its grace", first, string(requestlog.CodeValid))
		verdict("the new secret", second, string(requestlog.CodeValid))

		tab.Press("End now")
		tab.See("End version 1 of mobile_app?")
		tab.Press("End version")
		tab.See("Version 1 of mobile_app has ended")
		verdict("the old secret after its end", first, string(requestlog.CodeKeyRevoked))
		verdict("the new secret then", second, string(requestlog.CodeValid))

		tab.Press("Revoke")
		tab.At(path + "/revoke")
		tab.Fill("The key's name", "mobile_app")
		tab.Press("Revoke key")
		tab.See("mobile_app is revoked for good")
		verdict("the new secret after revoking", second, string(requestlog.CodeKeyRevoked))
		if reply := tab.App.Validate("shop", second); reply.Status != http.StatusUnauthorized {
			t.Errorf("%d", reply.Status)
		}
	})
}
