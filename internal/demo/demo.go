// Package demo fills a database with projects and a month of plausible traffic, for trying out the program.
package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// Email and Password are the credentials of the demo account. They need not be secret: the database is deleted at the
// end.
const (
	Email    = "demo@example.com"
	Password = "demo demo demo"
)

const days = 30

// Clock is the store's clock while [Fill] runs. Fill moves it from request to request.
type Clock struct{ at time.Time }

// Now returns the clock's time.
func (c *Clock) Now() time.Time { return c.at }

// NewClock returns a clock that starts a day before the month of traffic.
func NewClock() *Clock { return &Clock{at: time.Now().Add(-(days + 1) * 24 * time.Hour)} }

// Key is a key that has traffic.
type Key struct {
	Project string // slug
	Secret  string
	profile *profile
	key     *models.Key
}

// profile describes a key and its traffic.
type profile struct {
	name, description, category string
	keyType                     models.KeyType
	perMinute                   float64          // average requests per minute at the busiest time of the day
	paths                       []string         // method and path of its requests
	finalAction                 models.KeyAction // done to the key at the end; empty for none
	expired                     bool
}

var projects = []struct {
	in   models.ProjectInput
	keys []profile
}{
	{
		models.ProjectInput{Name: "Storefront", Slug: "storefront", KeyPrefix: "shop"},
		[]profile{
			{
				name: "server_prod", description: "Checkout servers in Frankfurt.",
				category: "production", keyType: models.TypeProduction, perMinute: 4.8,
				paths: []string{"POST /v2/orders", "GET /v2/products", "GET /v2/products", "GET /v2/stock"},
			},
			{
				name: "server_staging", description: "The same servers before a release.",
				category: "staging", keyType: models.TypeTest, perMinute: 0.48,
				paths: []string{"POST /v2/orders", "GET /v2/products"},
			},
			{
				name: "partner_acme", description: "Acme reads our stock every few minutes.",
				category: "partner", keyType: models.TypeProduction, perMinute: 1.2,
				paths: []string{"GET /v2/stock"},
			},
			{
				name: "old_mobile_app", description: "App versions before 3.0.",
				category: "production", keyType: models.TypeProduction, perMinute: 0.4,
				paths: []string{"GET /v1/products"}, finalAction: models.ActionDeactivate,
			},
		},
	},
	{
		models.ProjectInput{Name: "Billing", Slug: "billing", KeyPrefix: "bill"},
		[]profile{
			{
				name: "invoices_prod", description: "Writes invoices at night and on demand.",
				category: "production", keyType: models.TypeProduction, perMinute: 1.6,
				paths: []string{"POST /invoices", "GET /invoices"},
			},
			{
				name: "http_batch", description: "Scripts of the finance team.",
				category: "production", keyType: models.TypeProduction, perMinute: 0.32,
				paths: []string{"GET /reports/monthly", "GET /reports/open"},
			},
			{
				name: "trial_2026", description: "A trial that has ended.",
				category: "sandbox", keyType: models.TypeTest, perMinute: 0.12,
				paths: []string{"GET /invoices"}, expired: true,
			},
		},
	},
	{
		models.ProjectInput{Name: "Weather data", Slug: "weather", KeyPrefix: "sky"},
		[]profile{
			{
				name: "public_site", description: "The forecast on our own pages.",
				category: "production", keyType: models.TypeProduction, perMinute: 2,
				paths: []string{"GET /forecast/berlin", "GET /forecast/oslo", "GET /radar"},
			},
			{
				name: "ci", description: "Nightly tests.",
				category: "development", keyType: models.TypeTest, perMinute: 0.2,
				paths: []string{"GET /forecast/test"},
			},
		},
	},
}

// Fill makes the account, the projects, their keys and the traffic. clock must be the store's clock. It returns the
// keys that have traffic.
func Fill(ctx context.Context, store *models.Store, clock *Clock) ([]Key, error) {
	user, err := store.SignUp(ctx, models.SignupOpen, Email, Password, "")
	if err != nil {
		return nil, err
	}
	end := time.Now()
	var keys []Key
	for p := range projects {
		project, _, _, err := store.CreateProject(ctx, user.Actor(""), projects[p].in)
		if err != nil {
			return nil, err
		}
		for k := range projects[p].keys {
			profile := &projects[p].keys[k]
			in := models.KeyInput{
				Name:        profile.name,
				Description: profile.description,
				Type:        profile.keyType,
				Category:    profile.category,
			}
			if profile.expired {
				at := end.Add(-3 * 24 * time.Hour)
				in.ExpiresAt = &at
			}
			key, secret, err := store.CreateKey(ctx, project.ID, user.Actor(""), in)
			if err != nil {
				return nil, err
			}
			keys = append(keys, Key{Project: project.Slug, Secret: secret.Plain(), profile: profile, key: key})
		}
	}
	if err := traffic(ctx, store, clock, keys, end); err != nil {
		return nil, err
	}
	if err := blocks(ctx, store, keys[0].key.ProjectID, end); err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.profile.finalAction == "" {
			continue
		}
		_, err := store.ChangeKeyState(ctx, k.key.ProjectID, k.key.ID, user.Actor(""), k.profile.finalAction)
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// blocks makes two address blocks: one that has ended, and one in force that is the third of its address.
func blocks(ctx context.Context, store *models.Store, projectID int64, end time.Time) error {
	for _, b := range []models.AddressBlock{
		{Address: "198.51.100.23", Strikes: 1, BlockedAt: end.Add(-3 * time.Hour)},
		{Address: "2001:db8:4f1:22::/64", Strikes: 3, BlockedAt: end.Add(-12 * time.Minute)},
	} {
		b.ProjectID, b.BlockedAt = projectID, b.BlockedAt.UTC().Truncate(time.Millisecond)
		if _, err := store.BlockAddress(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// batch is how many rows are written at once.
const batch = 5000

// traffic writes the requests of the month to the request log.
func traffic(ctx context.Context, store *models.Store, clock *Clock, keys []Key, end time.Time) error {
	ids, err := store.Log().NewIDs(ctx)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2)) // a fixed seed, so that the traffic is the same each time
	var rows []requestlog.Row
	for at := end.Add(-days * 24 * time.Hour); at.Before(end); at = at.Add(time.Minute) {
		for _, k := range keys {
			for range poisson(random, k.profile.perMinute*load(at)) {
				clock.at = at.Add(time.Duration(random.IntN(int(time.Minute))))
				if clock.at.After(end) {
					clock.at = end
				}
				rows = append(rows, request(random, ids.Next(), &k))
			}
		}
		if len(rows) >= batch {
			if err := store.Log().Write(ctx, rows); err != nil {
				return err
			}
			rows = nil
		}
	}
	clock.at = end
	return store.Log().Write(ctx, rows)
}

// request returns a random row of the key.
func request(random *rand.Rand, id requestlog.ID, k *Key) requestlog.Row {
	var method, path string
	fmt.Sscanf(k.profile.paths[random.IntN(len(k.profile.paths))], "%s %s", &method, &path)
	code := requestlog.CodeValid
	switch {
	case k.profile.expired && id.Time().After(*k.key.ExpiresAt):
		code = requestlog.CodeKeyExpired
	case random.IntN(200) == 0:
		code = requestlog.CodeKeyInactive // as if the key had been inactive for a moment
	}
	credits := int64(0)
	if code == requestlog.CodeValid {
		credits = 1
	}
	return requestlog.Row{
		ID:         id,
		ProjectID:  k.key.ProjectID,
		KeyID:      k.key.ID,
		Version:    1,
		Type:       string(k.key.Type),
		Category:   k.profile.category,
		Method:     method,
		Path:       path,
		Status:     code.Status(),
		DurationUs: 30 + int64(random.ExpFloat64()*40),
		IP:         fmt.Sprintf("198.51.100.%d", 1+random.IntN(12)),
		Credits:    credits,
		Code:       code,
	}
}

// load returns the traffic at a time as a share of that in the busiest minute. It is lower at night and on weekends.
func load(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	share := .25 + .75*math.Max(0, math.Sin((hour-6)/24*2*math.Pi))
	if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
		share *= .5
	}
	return share
}

// poisson returns a random number from the Poisson distribution with that mean (Knuth's method, for small means).
func poisson(random *rand.Rand, mean float64) int {
	limit, product := math.Exp(-mean), random.Float64()
	n := 0
	for ; product > limit; n++ {
		product *= random.Float64()
	}
	return n
}

// Keep makes validate requests with random keys until ctx ends, so that the live pages show something.
func Keep(ctx context.Context, baseURL string, keys []Key) {
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		pause := time.Duration(200+rand.IntN(2000)) * time.Millisecond
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		k := keys[rand.IntN(len(keys))]
		url := baseURL + "/v1/projects/" + k.Project + "/validate"
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		request.Header.Set("X-API-Key", k.Secret)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
		}
	}
}
