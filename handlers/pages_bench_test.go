package handlers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

// BenchmarkKeysPage measures the keys page with few and with many keys in the project: the first page, a filter, a
// search, and a search without a match, which has to look at all keys.
func BenchmarkKeysPage(b *testing.B) {
	for name, url := range map[string]func() string{
		"sqlite":   func() string { return b.TempDir() + "/claviger.db" },
		"postgres": func() string { return testkit.Postgres(b) },
	} {
		b.Run(name, func(b *testing.B) {
			app := testkit.NewApp(b, url())
			user, browser := app.SignUp("ada@example.com")
			made := 0
			for _, keys := range []int{100, 10_000} {
				project, _, _ := app.Project(user, fmt.Sprintf("shop-%d", keys))
				for made = 0; made < keys; made++ {
					app.Key(project, models.KeyInput{
						Name:     fmt.Sprintf("server_%d", made),
						Category: fmt.Sprintf("label %d", made%20),
					})
				}
				for page, query := range map[string]string{
					"first":    "",
					"filtered": "?category=label+7",
					"search":   "?q=server_77",
					"nothing":  "?q=none_of_them",
				} {
					b.Run(fmt.Sprintf("keys=%d/%s", keys, page), func(b *testing.B) {
						var took []time.Duration
						for b.Loop() {
							start := time.Now()
							if got := browser.Get("/projects/" + project.Slug + "/keys" + query); got.Status != 200 {
								b.Fatal(got.Status)
							}
							took = append(took, time.Since(start))
						}
						slices.Sort(took)
						b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
						b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
					})
				}
			}
		})
	}
}
