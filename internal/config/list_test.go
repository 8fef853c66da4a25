package config_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
)

type target struct {
	Name   string            `yaml:"name"`
	Every  time.Duration     `yaml:"every"`
	Labels map[string]string `yaml:"labels"`
	Args   []string          `yaml:"args"`
	Limit  limit             `yaml:"limit"`
}

type open struct {
	First  string `yaml:"first"`
	Things `yaml:",inline"`
}

// Things is embedded: its keys stand beside those of the struct around it.
type Things struct {
	Targets []target `yaml:"targets"`
}

func TestLoadOfListsAndEmbeddedKeys(t *testing.T) {
	var got open
	path := write(t, "first: x\ntargets:\n  - name: a\n    every: 5s\n    labels: {b: c}\n    args: [d, 'e f']\n    limit: {max_bytes: 3}\n  - {name: g}\n")
	if err := config.Load(path, nil, &got); err != nil {
		t.Fatal(err)
	}
	want := open{First: "x", Things: Things{[]target{
		{Name: "a", Every: 5 * time.Second, Labels: map[string]string{"b": "c"}, Args: []string{"d", "e f"}, Limit: limit{MaxBytes: 3}},
		{Name: "g"},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	var b bytes.Buffer
	if err := config.Dump(&b, want); err != nil {
		t.Fatal(err)
	}
	var again open
	if err := config.Load(write(t, b.String()), nil, &again); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if diff := config.Diff(again.Targets[0], want.Targets[0]); diff != nil || len(again.Targets) != 2 {
		t.Errorf("%q changed by\n%s", diff, b.String())
	}
	var env open
	if err := config.Load("", []string{"SENTINEL_TARGETS=[{name: h, every: 1m}]"}, &env); err != nil || env.Targets[0].Every != time.Minute {
		t.Errorf("from the environment: %+v, %v", env, err)
	}
	if diff := config.Diff(got, env); !reflect.DeepEqual(diff, []string{"first", "targets"}) {
		t.Errorf("differ in %q", diff)
	}
	for _, empty := range []string{"targets:\n", "targets: []\n"} {
		if err := config.Load(write(t, empty), nil, &env); err != nil || env.Targets != nil {
			t.Errorf("%q: %+v, %v", empty, env, err)
		}
	}
}

func TestLoadNamesTheItemOfAList(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"targets:\n  - name: a\n  - nam: b\n", `:3: targets[1].nam: unknown key; did you mean "name"?`},
		{"targets:\n  - every: 10\n", `:2: targets[0].every: want a duration`},
		{"targets: {name: a}\n", `:1: targets: want a list, whose items begin with "- name:"`},
		{"targets: a\n", `:1: targets: want a list`},
		{"targets: [a]\n", `:1: targets[0]: want keys below it, such as "name"`},
	} {
		if err := config.Load(write(t, tt.text), nil, new(open)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error is %v, want %q", tt.text, err, tt.want)
		}
	}
}
