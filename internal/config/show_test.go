package config_test

import (
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/config"
)

func TestShow(t *testing.T) {
	path := write(t, "agent:\n  name: x\n\n  tags: [a, b]\n")
	out := sample{}
	out.Agent.Limit.MaxBytes = 7
	list, err := config.Show(path, []string{"SENTINEL_AGENT_LIMIT_STRICT=true", "SENTINEL_AGENT_NAME=y", "HOME=/"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list {
		got[s.Key] = s.Value + " from " + strings.TrimPrefix(s.Origin, path)
	}
	for key, want := range map[string]string{
		"agent.name":            `"y" from environment SENTINEL_AGENT_NAME`,
		"agent.tags":            `["a", "b"] from :4`,
		"agent.limit.strict":    "true from environment SENTINEL_AGENT_LIMIT_STRICT",
		"agent.limit.max_bytes": "7 from default",
	} {
		if got[key] != want {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	if _, err := config.Show(write(t, "agent: {nam: x}\n"), nil, &out); err == nil {
		t.Error("an unknown key is shown")
	}
}

// P20: what is shown signs nobody in.
func TestP20ShowHidesSecrets(t *testing.T) {
	for _, text := range []string{
		"postgres://ann:hunter2@db:5432/x", "nats://a:1,nats://hunter2@b:2", "nats://ann:hunter2@b,nats://bob:p@ss-hunter2@c",
		"host=db user=ann password=hunter2 dbname=x", "host=db password = 'hunter2 with space'", "host=db SSLPASSWORD=hunter2",
		"postgres://ann:p%40hunter2@db/x?sslpassword=hunter2",
	} {
		var out sample
		list, err := config.Show("", []string{"SENTINEL_AGENT_NAME=" + text}, &out)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if strings.Contains(s.Value, "hunter2") {
				t.Errorf("%q is shown as %s", text, s.Value)
			}
		}
	}
}
