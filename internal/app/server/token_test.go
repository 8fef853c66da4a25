package server

import (
	"os"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestFirstUser(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Database.URL = postgrestest.URL(t)
	token, err := CreateSetupToken(t.Context(), cfg)
	if err != nil || !strings.HasPrefix(token, "sntu_") {
		t.Fatal(err)
	}
	if err := CreateUser(t.Context(), cfg, "ann", "admin", "short"); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Error(err)
	}
	if err := CreateUser(t.Context(), cfg, "ann", "admin", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	if err := CreateUser(t.Context(), cfg, "Ann", "viewer", "correct horse battery"); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Error(err)
	}
	// From then on nobody needs such a token.
	if _, err := CreateSetupToken(t.Context(), cfg); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Error(err)
	}
}
