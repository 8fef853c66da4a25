package postgres_test

import (
	"os"
	"testing"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestSmoke(t *testing.T) {
	db := postgrestest.New(t)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(db.Engine(t.Context()))
}
