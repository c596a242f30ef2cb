//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"time"
)

// browser requests pages as a signed-in member.
type browser struct {
	http.Client
	server *server
}

// signIn returns a browser that is signed in and has requested a first page.
func signIn(ctx context.Context, s *server) (*browser, error) {
	b := &browser{server: s}
	b.Jar, _ = cookiejar.New(nil) // it fails only with options
	response, err := b.PostForm("http://"+s.addr+"/signin", url.Values{"email": {email}, "password": {password}})
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("signing in returned status %d", response.StatusCode)
	}
	_, err = b.get(ctx, "") // so that no counted page is the first one
	return b, err
}

// get reads a page of the project completely, and returns how long that took.
func (b *browser) get(ctx context.Context, path string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.server.addr+"/projects/"+slug+path, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	response, err := b.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if response.StatusCode != http.StatusOK || response.Request.URL.Path != request.URL.Path {
		return 0, fmt.Errorf("%s returned status %d at %s", path, response.StatusCode, response.Request.URL.Path)
	}
	return took, nil
}

// comparePages requests pages from both servers alternately, in as many rounds as loads have. path returns the path
// of the i-th page.
func (b *bench) comparePages(
	ctx context.Context, what string, baseline, subject *server, goal goal, path func(i int) string,
) error {
	var sides [2]*browser
	var all [2]*histogram
	for i, s := range []*server{baseline, subject} {
		var err error
		if sides[i], err = signIn(ctx, s); err != nil {
			return err
		}
		all[i] = newHistogram()
	}
	const warm = rareKeys // pages before the counted ones
	var ratios []float64
	for range b.rounds {
		turn := [2]*histogram{newHistogram(), newHistogram()}
		for n := range warm + b.pages/b.rounds {
			for i := range sides {
				i ^= n % 2 // the one that goes first alternates, as with loads
				took, err := sides[i].get(ctx, path(n))
				if err != nil {
					return err
				}
				if n >= warm {
					turn[i].record(took)
					all[i].record(took)
				}
			}
		}
		ratios = append(ratios, float64(turn[1].quantile(.5))/float64(turn[0].quantile(.5)))
	}
	b.report.add(line{
		what:     what,
		baseline: round(all[0].quantile(.5)),
		subject:  round(all[1].quantile(.5)),
		ratios:   ratios,
		goal:     goal,
		notes: []string{fmt.Sprintf("medians of %d pages each; p99 %s and %s",
			all[0].Total, round(all[0].quantile(.99)), round(all[1].quantile(.99)))},
	})
	return nil
}

// logPage compares the first page of one key's requests, for keys with few rows in the long log and for busy ones.
// Then it compares the first page of filters that few rows match, or none.
func logPage(ctx context.Context, b *bench) error {
	short := b.longLog()
	short.name, short.rows = "short-log", b.fewRows
	few, err := b.start(ctx, short)
	if err != nil {
		return err
	}
	many, err := b.start(ctx, b.longLog())
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name         string
		first, count int
	}{{"a rare key", 0, rareKeys}, {"a busy key", rareKeys, busyKeys}} {
		what := fmt.Sprintf("log page of %s, %s rows ÷ %s rows", kind.name, count(b.manyRows), count(b.fewRows))
		err := b.comparePages(ctx, what, few, many, atMost(1.5), func(i int) string {
			return "/logs?key=" + keyName(kind.first+i%kind.count)
		})
		if err != nil {
			return err
		}
	}
	for _, filter := range []struct{ name, query string }{
		{"an address that no row has", "ip=192.0.2.1"},
		{"an endpoint that no row has", "endpoint=GET+/never"},
		{"an outcome that no row has", "code=quota_total"},
		{fmt.Sprintf("a status class of one row in %s", count(rareStatus)), "status=5xx"},
		{"one address of 5,000", "ip=" + addressOf(1)},
		{"a busy key and an address that no row has", "ip=192.0.2.1&key=" + keyName(rareKeys)},
	} {
		what := fmt.Sprintf("log page of %s, %s rows ÷ %s rows", filter.name, count(b.manyRows), count(b.fewRows))
		path := func(int) string { return "/logs?" + filter.query }
		if err := b.comparePages(ctx, what, few, many, goal{}, path); err != nil {
			return err
		}
	}
	return nil
}

// keysPage compares the first page of the list of keys.
func keysPage(ctx context.Context, b *bench) error {
	const fewKeys = 100
	few, err := b.start(ctx, plan{name: "hundred-keys", keys: fewKeys})
	if err != nil {
		return err
	}
	many, err := b.start(ctx, b.ordinary())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("keys page, %s keys ÷ %s keys", count(b.keys), count(fewKeys))
	return b.comparePages(ctx, what, few, many, goal{}, func(int) string { return "/keys" })
}
