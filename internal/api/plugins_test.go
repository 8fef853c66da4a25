package api_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// readPlugin takes a text NAME or NAME VERSION for a bundle; what a real one is is tested
// where it is read.
func readPlugin(raw []byte) (api.Bundle, error) {
	name, version, _ := strings.Cut(string(raw), " ")
	if name == "bad" {
		return api.Bundle{}, sentinel.Errorf(sentinel.Invalid, "this is no bundle")
	}
	if version == "" {
		version = "1.0.0"
	}
	return api.Bundle{Name: name, Version: strings.Fields(version)[0], Digest: string(raw), Signer: "ed25519:x"}, nil
}

func (f *fixture) push(t *testing.T, bundle string, status int) {
	t.Helper()
	w := f.ask(t, "admin", "POST", "/api/v1/plugins", `{"content":"`+base64.StdEncoding.EncodeToString([]byte(bundle))+`"}`)
	if w.Code != status {
		t.Fatalf("%q: %d %s", bundle, w.Code, w.Body)
	}
}

func TestPluginsAreRolledOut(t *testing.T) {
	f := newFixture(t)
	agents := []sentinel.AgentID{f.store(t, "web-1").Name, f.store(t, "web-2").Name, f.store(t, "web-3").Name}
	f.push(t, "bad", 422)
	f.push(t, "room 1.0.0", 200)
	f.push(t, "room 1.0.0", 200)       // again
	f.push(t, "room 1.0.0 other", 409) // another content
	rollout := func(body string, status int) {
		t.Helper()
		if w := f.ask(t, "admin", "PUT", "/api/v1/plugins/room/rollout", body); w.Code != status {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	rollout(`{"version":"9.0.0"}`, 404)
	rollout(`{"version":"1.0.0","stages":[50,20]}`, 422)
	rollout(`{"version":"1.0.0","stages":[0]}`, 422)
	rollout(`{"version":"1.0.0","stages":[100]}`, 204)
	wanted := func() map[sentinel.AgentID][]postgres.WantedPlugin {
		t.Helper()
		got, err := f.db.WantedPlugins(t.Context(), agents)
		must(t, err)
		return got
	}
	for _, a := range agents {
		if got := wanted()[a]; len(got) != 1 || got[0].Version != "1.0.0" || got[0].Size != len("room 1.0.0") || got[0].Attempt == 0 {
			t.Errorf("%s is to run %+v", a, got)
		}
	}
	// The next version reaches nobody before its turn, and the others keep the one before.
	f.push(t, "room 1.1.0", 200)
	rollout(`{"version":"1.1.0","stages":[1]}`, 204)
	for _, a := range agents {
		if got := wanted()[a]; len(got) != 1 {
			t.Errorf("%s is to run %+v", a, got)
		}
	}
	list, err := f.db.Rollouts(t.Context())
	must(t, err)
	if len(list) != 1 || list[0].Previous != "1.0.0" || list[0].Agents != 3 || len(list[0].Stages) != 2 {
		t.Fatalf("there is %+v", list)
	}
	// One that fails halts it; pushed again it begins anew.
	must(t, f.db.ReportPlugins(t.Context(), agents[0], []postgres.PluginState{{Name: "room", Version: "1.1.0", Digest: "room 1.1.0", State: "refused", Error: "it is too \x00 hot"}}))
	must(t, f.db.AdvanceRollouts(t.Context()))
	list, err = f.db.Rollouts(t.Context())
	must(t, err)
	if !strings.Contains(list[0].Halted, "1 of 1 agents do not run it") || !strings.Contains(list[0].Halted, "it is too   hot") || list[0].Stage != 1 {
		t.Errorf("it goes on: %+v", list[0])
	}
	if w := f.ask(t, "viewer", "GET", "/api/v1/plugin-states?plugin=room", ""); !strings.Contains(w.Body.String(), `"state":"refused"`) {
		t.Errorf("%s", w.Body)
	}
	rollout(`{"version":"1.1.0","stages":[1],"hold_seconds":3600}`, 204)
	if list, err = f.db.Rollouts(t.Context()); err != nil || list[0].Halted != "" || list[0].Failed != 0 || list[0].Previous != "1.0.0" {
		t.Errorf("%+v, %v", list, err)
	}
	// Where all run it the next stage begins, and not before the stage has lasted.
	must(t, f.db.AdvanceRollouts(t.Context()))
	if list, err = f.db.Rollouts(t.Context()); err != nil || list[0].Stage != 1 {
		t.Errorf("it did not last: %+v, %v", list, err)
	}
	must(t, f.db.PutRollout(t.Context(), fleet.Console("test"), postgres.Rollout{Name: "room", Version: "1.1.0", Stages: []int32{1, 100}}))
	must(t, f.db.AdvanceRollouts(t.Context()))
	if list, err = f.db.Rollouts(t.Context()); err != nil || list[0].Stage != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, a := range agents {
		if got := wanted()[a]; len(got) != 1 || got[0].Version != "1.1.0" {
			t.Errorf("%s is to run %+v", a, got)
		}
		must(t, f.db.ReportPlugins(t.Context(), a, []postgres.PluginState{{Name: "room", Version: "1.1.0", Digest: "room 1.1.0", State: "running"}, {Name: "own", Version: "1.0.0", State: "running", Unsigned: true}}))
	}
	if list, err = f.db.Rollouts(t.Context()); err != nil || list[0].Running != 3 || list[0].Failed != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if w := f.ask(t, "admin", "DELETE", "/api/v1/plugins/room", ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := wanted(); len(got) != 0 {
		t.Errorf("agents are still to run %+v", got)
	}
	wantProblem(t, f.ask(t, "admin", "DELETE", "/api/v1/plugins/room", ""), 404, "")
}
