package web

import "strings"

// DescribeUserAgent names browser and system as far as a person needs it to know a session again. It is a label, not a
// decision: whatever it does not know is shown as it was sent.
func DescribeUserAgent(ua string) string {
	browser := firstWord(ua, [][2]string{ // the more special ones first: most pretend to be others
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	})
	system := firstWord(ua, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser != "":
		return browser
	case ua == "":
		return "Unknown browser"
	}
	return ua
}

func firstWord(ua string, words [][2]string) string {
	for _, w := range words {
		if strings.Contains(ua, w[0]) {
			return w[1]
		}
	}
	return ""
}
