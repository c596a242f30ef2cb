package testkit

import (
	"database/sql"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/models"
)

// Exec changes rows behind the program's back, for states that no page leads to yet. The query has ? for each argument.
func (a *App) Exec(query string, args ...any) {
	a.T.Helper()
	if err := a.TryExec(query, args...); err != nil {
		a.T.Fatal(err)
	}
}

// TryExec is [App.Exec] for what the database may refuse.
func (a *App) TryExec(query string, args ...any) error {
	a.T.Helper()
	if models.IsPostgresURL(a.DatabaseURL) {
		for i := range args {
			query = strings.Replace(query, "?", fmt.Sprintf("$%d", i+1), 1)
		}
	} else {
		for i := range args {
			if at, ok := args[i].(time.Time); ok {
				args[i] = at.UnixMilli()
			}
		}
	}
	db := a.open()
	defer db.Close()
	_, err := db.Exec(query, args...)
	return err
}

// Row reads the one value that a query gives, for what no method of the store tells.
func (a *App) Row(into any, query string) {
	a.T.Helper()
	db := a.open()
	defer db.Close()
	if err := db.QueryRow(query).Scan(into); err != nil {
		a.T.Fatal(err)
	}
}

// open connects to the database beside the service.
func (a *App) open() *sql.DB {
	a.T.Helper()
	driver, url := "sqlite", "file:"+a.DatabaseURL+"?_pragma=busy_timeout(5000)" // the service may be writing
	if models.IsPostgresURL(a.DatabaseURL) {
		driver, url = "pgx", a.DatabaseURL
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		a.T.Fatal(err)
	}
	return db
}

// UnknownSecret is well formed, and of no key. Each number gives another one.
func UnknownSecret(t testing.TB, number int) string {
	return unknown(t, models.SecretProduction, number)
}

// UnknownToken is well formed, and no service token's secret.
func UnknownToken(t testing.TB, number int) string { return unknown(t, models.SecretService, number) }

func unknown(t testing.TB, kind models.SecretKind, number int) string {
	t.Helper()
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := fmt.Sprintf("clv_%s_%043d", kind, number)
	n, sum := crc32.ChecksumIEEE([]byte(body)), []byte("000000")
	for i := 5; n > 0; i-- {
		sum[i] = digits[n%62]
		n /= 62
	}
	secret := body + string(sum)
	if _, ok := models.ParseSecret(secret); !ok {
		t.Fatalf("%s is not well formed", secret)
	}
	return secret
}
