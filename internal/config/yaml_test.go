package config_test

import (
	"testing"

	"github.com/sentinelgo/sentinel/internal/config"
)

func TestYAML(t *testing.T) {
	got, err := config.YAML([]byte(`{"b":"1","a":[1.5,null,true,"true","a: b","x\ny"],"t":"2026-01-02T03:04:05Z","e":{},"l":[]}`))
	want := "b: \"1\"\na:\n    - 1.5\n    - null\n    - true\n    - \"true\"\n    - 'a: b'\n    - |-\n      x\n      y\nt: \"2026-01-02T03:04:05Z\"\ne: {}\nl: []\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
