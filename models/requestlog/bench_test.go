package requestlog_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/app"
	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

// benchProject makes a SQLite database with a project of that many keys, whose ids are 1, 2, 3 and so on.
func benchProject(b *testing.B, keys int) (*models.Store, string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "claviger.db")
	clock := testkit.NewClock()
	clock.Follow()
	store := testkit.Store(b, file, clock, nil)
	user, err := store.SignUp(b.Context(), models.SignupOpen, "ada@example.com", testkit.Password, "")
	if err != nil {
		b.Fatal(err)
	}
	_, _, _, err = store.CreateProject(b.Context(), user.Actor(""), models.ProjectInput{Name: "Bench", Slug: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec("WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "+
		"INSERT INTO keys (id, project_id, name, type, category_id, state, version, created_at, updated_at) "+
		"SELECT i, 1, 'key_' || i, 'production', (SELECT MIN(id) FROM categories), 'active', 1, 0, 0 FROM n", keys)
	if err != nil {
		b.Fatal(err)
	}
	return store, file
}

// traffic makes batches as the gate does at about 120,000 requests a second.
type traffic struct {
	ids    *requestlog.IDs
	random *rand.Rand
	keys   int64
}

func (w *traffic) batch(n int) []requestlog.Row {
	rows := make([]requestlog.Row, n)
	for i := range rows {
		rows[i] = requestlog.Row{
			ID: w.ids.Next(), ProjectID: 1, KeyID: 1 + w.random.Int64N(w.keys), Version: 1,
			Category: "production", Method: "GET",
			Path: "/v1/projects/bench/validate", Status: 200, DurationUs: 20 + w.random.Int64N(200),
			IP: fmt.Sprintf("10.0.%d.%d", w.random.IntN(2), w.random.IntN(250)), Credits: 1, Code: requestlog.CodeValid,
		}
	}
	for i := 50; i < n; i += 50 { // requests end in another order than they begin
		j := i - w.random.IntN(50)
		rows[i], rows[j] = rows[j], rows[i]
	}
	return rows
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Rows a second, and the processor's time for each, with all that follows from writing: runs and their merging.
func BenchmarkWriteRequestLogs(b *testing.B) {
	for _, keys := range []int{1_000, 10_000, 1_000_000} {
		for _, size := range []int{24, 64, 3000} {
			b.Run(fmt.Sprintf("%d_keys/batches_of_%d", keys, size), func(b *testing.B) {
				store, _ := benchProject(b, keys)
				w := &traffic{random: rand.New(rand.NewPCG(1, 1)), keys: int64(keys)}
				w.ids, _ = store.Log().NewIDs(b.Context())
				batches := make([][]requestlog.Row, b.N)
				rows, slowest := 0, time.Duration(0)
				var cpu time.Duration
				b.ResetTimer()
				for i := range batches {
					b.StopTimer()
					batch := w.batch(size)
					b.StartTimer()
					before, started := cpuTime(b), time.Now()
					if err := store.Log().Write(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					slowest = max(slowest, time.Since(started))
					rows += size
					if i%400 == 399 || i == len(batches)-1 {
						for more := true; more; {
							var err error
							if more, err = store.Tidy(b.Context()); err != nil {
								b.Fatal(err)
							}
						}
					}
					cpu += cpuTime(b) - before
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(rows), "cpu-ns/row")
				b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
			})
		}
	}
}

// The first page of the log, of one key and of all, what a key has used, and writing: beside few rows and beside many.
func BenchmarkRequestLogsBesideMany(b *testing.B) {
	for _, keys := range []int{100, 10_000} {
		for _, rows := range []int{20_000, 20_000_000} {
			b.Run(fmt.Sprintf("%d_keys/%d_rows", keys, rows), func(b *testing.B) {
				store, file := benchProject(b, keys)
				w := &traffic{random: rand.New(rand.NewPCG(1, 1)), keys: int64(keys)}
				w.ids, _ = store.Log().NewIDs(b.Context())
				for written := 0; written < rows; written += 4000 {
					if err := store.Log().Write(b.Context(), w.batch(4000)); err != nil {
						b.Fatal(err)
					}
				}
				for more := true; more; {
					var err error
					if more, err = store.Tidy(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				if info, err := os.Stat(file); err == nil {
					b.Logf("%d MB", info.Size()>>20)
				}
				anyKey := func() int64 { return 1 + w.random.Int64N(w.keys) }
				for name, read := range map[string]func() error{
					"page_of_key": func() error {
						_, err := store.RequestLogs(b.Context(), 1, models.LogFilter{KeyID: anyKey(), Limit: 50})
						return err
					},
					"page": func() error {
						_, err := store.RequestLogs(b.Context(), 1, models.LogFilter{Limit: 50})
						return err
					},
					"page_of_code_that_never_was": func() error {
						_, err := store.RequestLogs(
							b.Context(), 1, models.LogFilter{Code: requestlog.CodeKeyRevoked, Limit: 50},
						)
						return err
					},
					"usage_of_key": func() error {
						_, err := store.Log().KeyUsage(b.Context(), anyKey())
						return err
					},
				} {
					b.Run(name, func(b *testing.B) {
						for b.Loop() {
							if err := read(); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
				b.Run("write_batch_of_3000", func(b *testing.B) {
					batches := make([][]requestlog.Row, b.N)
					for i := range batches {
						batches[i] = w.batch(3000)
					}
					before := cpuTime(b)
					b.ResetTimer()
					for _, batch := range batches {
						if err := store.Log().Write(b.Context(), batch); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(3000*b.N), "cpu-ns/row")
				})
				b.Run("start_after_kill", func(b *testing.B) {
					for b.Loop() {
						again, err := app.ConnectStore(
							b.Context(),
							app.StoreOptions{URL: file, Options: models.Options{Pepper: testkit.Pepper(b)}},
						)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := again.Log().KeyUsage(b.Context(), 1); err != nil {
							b.Fatal(err)
						}
						again.Close()
					}
				})
			})
		}
	}
}
