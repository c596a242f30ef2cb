package web

import "strings"

// DescribeUserAgent returns the names of browser and system, so that a person recognises a session. It is only a label.
// A User-Agent that it does not know is returned as it was sent.
func DescribeUserAgent(ua string) string {
	browser := firstMatch(ua, [][2]string{ // the more specific ones first: most browsers name others too
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	})
	system := firstMatch(ua, [][2]string{
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

// firstMatch returns the name of the first of the pairs {part, name} whose part is in ua.
func firstMatch(ua string, pairs [][2]string) string {
	for _, p := range pairs {
		if strings.Contains(ua, p[0]) {
			return p[1]
		}
	}
	return ""
}
