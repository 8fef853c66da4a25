package pipeline_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/pipeline"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// nothing is trimmed.
type nothing struct{}

func (nothing) Trim(context.Context) error { return nil }

// What somebody has chosen goes before the worker's file, which is told to the database.
func TestHousekeeperKeepsWhatWasChosen(t *testing.T) {
	const day = 24 * time.Hour
	url := postgrestest.URL(t)
	db := postgrestest.Open(t, url)
	name := sentinel.NewAgentID()
	a, err := db.CreateAgent(t.Context(), postgres.NewAgent{Name: name}, postgres.NewKey{KeyID: "k", Secret: []byte("sealed"), MasterKeyID: "m", State: postgres.KeyActive})
	if err != nil {
		t.Fatal(err)
	}
	layout := sentinel.Layout{sentinel.NewSeries("x", sentinel.Gauge, "")}
	definition := wire.EncodeLayout(layout)
	id, err := db.EnsureLayout(t.Context(), a.ID, wire.HashLayout(definition), definition, layout)
	if err != nil {
		t.Fatal(err)
	}
	b := postgres.Batch{Agent: a.ID, AgentName: name, Epoch: 1, First: 1, Count: 3, LayoutID: id, Received: time.Now()}
	for _, age := range []time.Duration{10 * day, 5 * day, time.Minute} {
		b.Cycles = append(b.Cycles, sentinel.Cycle{Time: time.Now().Add(-age), Values: []float64{1}})
	}
	if _, err := db.Commit(t.Context(), []postgres.Batch{b}, nil); err != nil {
		t.Fatal(err)
	}
	keep := 7 * day
	if err := db.ChooseRetention(t.Context(), postgres.Entry{Actor: postgres.Actor{Kind: "user", Name: "ann"}, Action: "retention.change"}, &keep, nil, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	keeper := pipeline.Housekeeper{DB: db, Broker: nothing{}, Retention: pipeline.DefaultRetention(), Log: slog.New(slog.DiscardHandler)}
	go func() { done <- keeper.Run(ctx) }()
	for {
		cycles, err := postgrestest.Cycles(t.Context(), url, name)
		if err != nil {
			t.Fatal(err)
		}
		if len(cycles) == 2 { // ten days are too old, five are not
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%d cycles are left", len(cycles))
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s, err := db.Retention(t.Context())
	if err != nil || s.Raw.Configured == nil || *s.Raw.Configured != 30*day || *s.Raw.Chosen != keep || s.ChangedBy != "ann" {
		t.Errorf("retention %+v, %v", s, err)
	}
}
