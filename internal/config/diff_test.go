package config_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
)

func TestDiff(t *testing.T) {
	var a, b sample
	a.Agent.On, b.Agent.On = map[string]bool{"cpu": true}, map[string]bool{"cpu": true}
	if got := config.Diff(a, b); len(got) != 0 {
		t.Errorf("the same: %q", got)
	}
	b.Agent.Interval, b.Agent.Limit.Ratio, b.Agent.On = time.Second, 2, nil
	if got, want := config.Diff(a, b), []string{"agent.interval", "agent.limit.ratio", "agent.on"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
