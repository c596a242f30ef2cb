package models

import (
	"strings"
	"testing"

	"github.com/claviger/claviger/models/requestlog"
)

func TestPlatformsAndBundles(t *testing.T) {
	for _, c := range []struct {
		name string
		key  Restrictions
		use  ClientApp
		want requestlog.Code
	}{
		{"no restriction", Restrictions{}, ClientApp{}, requestlog.CodeValid},
		{"no restriction, anything said", Restrictions{}, ClientApp{"ios", "com.x.y"}, requestlog.CodeValid},
		{"iOS only", Restrictions{PlatformIOS: true}, ClientApp{Platform: "ios"}, requestlog.CodeValid},
		{
			"iOS only, Android asks",
			Restrictions{PlatformIOS: true},
			ClientApp{Platform: "android"},
			requestlog.CodePlatformNotAllowed,
		},
		{"iOS only, nothing said", Restrictions{PlatformIOS: true}, ClientApp{}, requestlog.CodePlatformNotAllowed},
		{
			"another platform",
			Restrictions{PlatformIOS: true, PlatformAndroid: true},
			ClientApp{Platform: "windows"},
			requestlog.CodePlatformNotAllowed,
		},
		{
			"both",
			Restrictions{PlatformIOS: true, PlatformAndroid: true},
			ClientApp{Platform: "android"},
			requestlog.CodeValid,
		},
		{
			"bundle fits",
			Restrictions{PlatformIOS: true, IOSBundleID: "a.b"},
			ClientApp{"ios", "a.b"},
			requestlog.CodeValid,
		},
		{
			"bundle differs",
			Restrictions{PlatformIOS: true, IOSBundleID: "a.b"},
			ClientApp{"ios", "a.c"},
			requestlog.CodeBundleNotAllowed,
		},
		{
			"bundle not said",
			Restrictions{PlatformIOS: true, IOSBundleID: "a.b"},
			ClientApp{"ios", ""},
			requestlog.CodeBundleNotAllowed,
		},
		{
			"the other platform's bundle does not count",
			Restrictions{PlatformIOS: true, PlatformAndroid: true, IOSBundleID: "a.b"},
			ClientApp{"android", "x.y"},
			requestlog.CodeValid,
		},
		{
			"bundle without platforms",
			Restrictions{IOSBundleID: "a.b", AndroidPackage: "c.d"},
			ClientApp{"", "c.d"},
			requestlog.CodeValid,
		},
		{
			"bundle without platforms differs",
			Restrictions{IOSBundleID: "a.b", AndroidPackage: "c.d"},
			ClientApp{"", "x.y"},
			requestlog.CodeBundleNotAllowed,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.key.DenialCode(c.use); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestRestrictionsAndQuotasAreChecked(t *testing.T) {
	quota := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name   string
		change func(*KeyInput)
		field  string
	}{
		{
			"self-rotation with a platform",
			func(in *KeyInput) { in.SelfRotation, in.PlatformAndroid = true, true },
			"self_rotation",
		},
		{"self-rotation without", func(in *KeyInput) { in.SelfRotation = true }, ""},
		{"bundle ID", func(in *KeyInput) { in.IOSBundleID = "com.example-1.app" }, ""},
		{"bundle ID of one word", func(in *KeyInput) { in.IOSBundleID = "app" }, "ios_bundle_id"},
		{"bundle ID with a space", func(in *KeyInput) { in.IOSBundleID = "com.exa mple" }, "ios_bundle_id"},
		{
			"bundle ID too long",
			func(in *KeyInput) { in.IOSBundleID = "com." + strings.Repeat("a", 152) },
			"ios_bundle_id",
		},
		{
			"bundle ID for a platform that is left out",
			func(in *KeyInput) { in.PlatformAndroid, in.IOSBundleID = true, "a.b" },
			"ios_bundle_id",
		},
		{"package", func(in *KeyInput) { in.AndroidPackage = "com.example.app_2" }, ""},
		{"package with a hyphen", func(in *KeyInput) { in.AndroidPackage = "com.exam-ple" }, "android_package"},
		{
			"package part that starts with a digit",
			func(in *KeyInput) { in.AndroidPackage = "com.2go" },
			"android_package",
		},
		{"quota of 1", func(in *KeyInput) { in.Daily = quota(1) }, ""},
		{"quota of 0", func(in *KeyInput) { in.Daily = quota(0) }, "quota_daily"},
		{"quota below 0", func(in *KeyInput) { in.Total = quota(-5) }, "quota_total"},
		{"quota beyond measure", func(in *KeyInput) { in.Weekly = quota(maxQuota + 1) }, "quota_weekly"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := KeyInput{Name: "a", Type: TypeTest, Category: "staging"}
			c.change(&in)
			err, _ := in.normalize(nil, noon).(*Error)
			switch {
			case err == nil && c.field != "":
				t.Errorf("no message at %s", c.field)
			case err != nil && (len(err.Fields) != 1 || err.Fields[c.field] == ""):
				t.Errorf("messages %v, want one at %q", err.Fields, c.field)
			}
		})
	}
}
