package pipeline

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Retention says how long each tier of samples is kept, unless somebody chooses otherwise
// through the REST interface.
type Retention struct {
	// Raw is for the samples as they came.
	Raw time.Duration `yaml:"raw"`
	// Minute and Hour are for the roll-ups of one minute and of one hour. Events
	// and incidents are kept for as long as those of one minute.
	Minute time.Duration `yaml:"minute"`
	Hour   time.Duration `yaml:"hour"`
}

// DefaultRetention keeps raw samples for 30 days, minutes for 90, hours for two
// years.
func DefaultRetention() Retention {
	const day = 24 * time.Hour
	return Retention{Raw: 30 * day, Minute: 90 * day, Hour: 730 * day}
}

// Validate says which key is wrong and what is allowed.
func (r Retention) Validate() error {
	switch {
	case r.Raw < 24*time.Hour:
		return sentinel.Errorf(sentinel.Invalid, "raw: %s is under 24h", r.Raw)
	case r.Minute < r.Raw:
		return sentinel.Errorf(sentinel.Invalid, "minute: %s is shorter than raw (%s)", r.Minute, r.Raw)
	case r.Hour < r.Minute:
		return sentinel.Errorf(sentinel.Invalid, "hour: %s is shorter than minute (%s)", r.Hour, r.Minute)
	}
	return nil
}

// Trimmer removes from the broker what every consumer is done with.
type Trimmer interface {
	Trim(ctx context.Context) error
}

// Housekeeper does what has to be done now and then: it rolls samples up, keeps
// partitions and retention, and trims the broker. Any number may run: they take
// turns by locks in the database.
type Housekeeper struct {
	DB        *postgres.DB
	Broker    Trimmer
	Retention Retention
	Log       *slog.Logger
}

// Run works until ctx ends, and then returns nil. A task that fails is logged and
// done again at its next turn.
func (h Housekeeper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, task := range []struct {
		name  string
		every time.Duration
		do    func(context.Context) error
	}{
		{"trim the broker", 10 * time.Second, h.Broker.Trim},
		{"roll samples up", 20 * time.Second, h.rollUp},
		{"maintain tables", time.Hour, h.maintain},
	} {
		group.Go(func() error {
			tick := time.NewTicker(task.every)
			defer tick.Stop()
			for {
				if err := task.do(ctx); err != nil && ctx.Err() == nil {
					h.Log.Warn("housekeeping failed, it is tried again", "task", task.name, "error", err)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		})
	}
	return group.Wait()
}

func (h Housekeeper) rollUp(ctx context.Context) error {
	for {
		stats, err := h.DB.Rollup(ctx, time.Now())
		if err != nil || stats.Done || stats.Busy {
			return err
		}
	}
}

func (h Housekeeper) maintain(ctx context.Context) error {
	state, err := h.DB.ConfigureRetention(ctx, postgres.Retention{Raw: h.Retention.Raw, Minute: h.Retention.Minute, Hour: h.Retention.Hour})
	if err != nil {
		return err
	}
	keep := state.Holds() // what somebody has chosen goes before the file
	if _, err := h.DB.Maintain(ctx, time.Now(), keep); err != nil {
		return err
	}
	if err := h.DB.DropEvents(ctx, time.Now().Add(-keep.Minute)); err != nil {
		return err
	}
	return h.DB.DropIncidents(ctx, time.Now().Add(-keep.Minute))
}
