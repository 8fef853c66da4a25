// Package postgrestest gives tests a real, migrated database of their own: on a
// private PostgreSQL that all tests of a binary share, or on the server that
// SENTINEL_TEST_DATABASE_URL names (its role needs CREATEDB; with TimescaleDB
// preloaded there, the tests run on hypertables).
package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const envURL = "SENTINEL_TEST_DATABASE_URL"

// shared is the one server of this test binary, started when first asked for.
// It ends with the process; its folder is removed by Main, or by the next test
// binary that starts one.
var shared struct {
	once     sync.Once
	server   *localpg.Server
	url      string // of the server's maintenance database
	template string // a migrated database to copy, empty on a foreign server
	err      error
}

// Main runs the tests and then stops the shared server and removes its folder.
// Use it where a package wants to leave nothing behind:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}

// New returns an open DB on a fresh, migrated database that is dropped when the
// test ends.
func New(t testing.TB) *postgres.DB {
	t.Helper()
	return Open(t, URL(t))
}

// Open opens a DB that is closed when the test ends.
func Open(t testing.TB, url string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// URL returns the address of a fresh, migrated database that is dropped when the
// test ends. Where no PostgreSQL can be had the test fails with the explanation:
// a skipped test of the store would be a promise without proof.
func URL(t testing.TB) string {
	t.Helper()
	server(t)
	return create(t, shared.template)
}

// EmptyURL returns the address of a fresh database without any table.
func EmptyURL(t testing.TB) string {
	t.Helper()
	server(t)
	return create(t, "template0") // a template, so nothing is migrated
}

func server(t testing.TB) {
	t.Helper()
	shared.once.Do(start)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
}

func start() {
	// Not the test's context: the server outlives the test that asks first.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if shared.url = os.Getenv(envURL); shared.url != "" {
		return
	}
	if shared.server, shared.err = localpg.Start(ctx, localpg.Config{Ephemeral: true}); shared.err != nil {
		return
	}
	shared.url = shared.server.URL()
	shared.template = "sentinel_template"
	shared.err = makeTemplate(ctx)
}

func makeTemplate(ctx context.Context) error {
	if err := exec(ctx, shared.url, `CREATE DATABASE `+shared.template); err != nil {
		return err
	}
	return migrate(ctx, at(shared.url, shared.template))
}

func migrate(ctx context.Context, url string) error {
	db, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx)
}

// create makes a database from a template, or an empty one that it migrates.
func create(t testing.TB, template string) string {
	t.Helper()
	ctx := t.Context()
	name := "sentinel_test_" + sentinel.RandomName(8)
	sql := `CREATE DATABASE ` + name
	if template != "" {
		sql += ` TEMPLATE ` + template
	}
	if err := exec(ctx, shared.url, sql); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := exec(context.WithoutCancel(ctx), shared.url, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	url := at(shared.url, name)
	if template == "" {
		if err := migrate(ctx, url); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// at returns the URL of another database of the same server.
func at(raw, database string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw // Open says what is wrong with it
	}
	u.Path = "/" + database
	return u.String()
}

// Exec runs a statement as the database's owner, for what no method of DB does.
func Exec(t testing.TB, url, sql string) {
	t.Helper()
	if err := exec(t.Context(), url, sql); err != nil {
		t.Fatal(err)
	}
}

func exec(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}
