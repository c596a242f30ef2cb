package testkit

import (
	"encoding/csv"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// Browser keeps cookies, follows redirects, and sends no JavaScript's headers.
type Browser struct {
	app    *App
	client *http.Client
}

// Browser gives a new one, not signed in.
func (a *App) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.T.Fatal(err)
	}
	return &Browser{app: a, client: &http.Client{Jar: jar}}
}

// Page is a page as a browser got it.
type Page struct {
	*goquery.Document
	Status int
	Header http.Header
	Path   string // after redirects, with the query
	HTML   string
}

// Get asks for a page. headers are name and value by turns.
func (b *Browser) Get(path string, headers ...string) Page {
	b.app.T.Helper()
	return b.do(http.MethodGet, path, nil, headers)
}

// Post sends a form.
func (b *Browser) Post(path string, form url.Values, headers ...string) Page {
	b.app.T.Helper()
	return b.do(http.MethodPost, path, form, headers)
}

func (b *Browser) do(method, path string, form url.Values, headers []string) Page {
	t := b.app.T
	t.Helper()
	request, err := http.NewRequest(method, b.app.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	// A browser shows the cells of a table apart. The text of the document must have them apart, too.
	spaced := strings.NewReplacer("</td>", "</td> ", "</th>", "</th> ").Replace(string(text))
	document, err := goquery.NewDocumentFromReader(strings.NewReader(spaced))
	if err != nil {
		t.Fatal(err)
	}
	return Page{
		Document: document, Status: response.StatusCode, Header: response.Header,
		Path: response.Request.URL.RequestURI(), HTML: string(text),
	}
}

// Text is what is seen of the page, in one line.
func (p Page) Text() string { return strings.Join(strings.Fields(p.Find("body").Text()), " ") }

// FieldError is the message at a field of a form.
func (p Page) FieldError(name string) string {
	return strings.TrimSpace(p.Find("#f-" + name + "-error").Text())
}

// Cookie of the browser by name, empty where there is none.
func (b *Browser) Cookie(name string) string {
	u, err := url.Parse(b.app.URL)
	if err != nil {
		b.app.T.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// CSV gives the rows of an export without the headings, each as a map by heading.
func (p Page) CSV(t testing.TB) []map[string]string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(p.HTML)).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%d %v: %s", p.Status, err, p.HTML)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, heading := range records[0] {
			row[heading] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}
