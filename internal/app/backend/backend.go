// Package backend holds what server and worker share: the database and the secrets that a
// configuration names.
package backend

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Database is what stands below the key database.
type Database struct {
	// URL is where the database is. It holds a password: prefer URLFile, or the
	// environment's DATABASE_URL.
	URL string `yaml:"url"`
	// URLFile is a file that holds the URL.
	URLFile string `yaml:"url_file"`
	// MaxConns bounds the connections of one process.
	MaxConns int `yaml:"max_conns"`
}

// DefaultDatabase reads the URL from the environment.
func DefaultDatabase() Database { return Database{MaxConns: 8} }

// Validate says which key is wrong and what is allowed.
func (d Database) Validate() error {
	if d.MaxConns < 2 || d.MaxConns > 1000 {
		return sentinel.Errorf(sentinel.Invalid, "max_conns: %d, want 2 to 1000", d.MaxConns)
	}
	return nil
}

func (d Database) url() (string, error) {
	switch {
	case d.URL != "":
		return d.URL, nil
	case d.URLFile != "":
		raw, err := os.ReadFile(d.URLFile)
		if err != nil {
			return "", sentinel.Errorf(sentinel.NotFound, "database.url_file: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	case os.Getenv("DATABASE_URL") != "":
		return os.Getenv("DATABASE_URL"), nil
	}
	return "", sentinel.Errorf(sentinel.Invalid, "database.url: is not set; set database.url_file, or DATABASE_URL=postgres://user:password@host:5432/name in the environment")
}

// Open connects and brings the tables up to date. It waits for a database that
// does not answer until ctx ends; one that answers and cannot be used is an error.
func (d Database) Open(ctx context.Context, log *slog.Logger) (*postgres.DB, error) {
	db, err := d.Prepare(ctx, log)
	if err != nil {
		return nil, err
	}
	if err := Migrate(ctx, db, log); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Prepare is for who can work while the database does not answer: it asks nothing of
// it. Migrate has to come before what needs the tables.
func (d Database) Prepare(ctx context.Context, log *slog.Logger) (*postgres.DB, error) {
	url, err := d.url()
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: int32(d.MaxConns), Log: log.With("part", "postgres")})
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return db, nil
}

// Migrate brings the tables up to date. It waits for a database that does not answer
// until ctx ends; one that answers and cannot be used is an error.
func Migrate(ctx context.Context, db *postgres.DB, log *slog.Logger) error {
	wait := backoff.Backoff{Base: 200 * time.Millisecond, Max: 5 * time.Second}
	for {
		err := db.Migrate(ctx)
		if err == nil {
			return nil
		}
		if sentinel.CodeOf(err) != sentinel.Unavailable {
			return fmt.Errorf("database: %w", err)
		}
		if wait.Tries() == 0 && ctx.Err() == nil {
			log.Warn("database does not answer, waiting", "error", err)
		}
		if wait.Wait(ctx) != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
}

// Security is what stands below the key security.
type Security struct {
	// MasterKeyFile seals the agents' secrets in the database; server and worker
	// need the same one. `sentinel-server master-key create` makes it. The content of
	// the environment's SENTINEL_MASTER_KEY, where it is set, stands in for the file.
	MasterKeyFile string `yaml:"master_key_file"`
}

// Vault opens the master keys. The error names where they were looked for.
func (s Security) Vault() (*sign.Vault, error) {
	if text := os.Getenv("SENTINEL_MASTER_KEY"); text != "" {
		v, err := sign.ParseVault(text)
		if err != nil {
			return nil, fmt.Errorf("SENTINEL_MASTER_KEY: %w", err)
		}
		return v, nil
	}
	v, err := sign.LoadVault(s.MasterKeyFile)
	if err != nil {
		return nil, fmt.Errorf("security.master_key_file: %w; `sentinel-server master-key create` makes one", err)
	}
	return v, nil
}

// DefaultSecurity returns the usual place.
func DefaultSecurity() Security { return Security{MasterKeyFile: "/etc/sentinel/master.key"} }

// Validate says which key is wrong and what is allowed.
func (s Security) Validate() error {
	if s.MasterKeyFile == "" {
		return sentinel.Errorf(sentinel.Invalid, "master_key_file: is empty")
	}
	return nil
}
