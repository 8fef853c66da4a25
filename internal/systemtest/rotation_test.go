//go:build linux

package systemtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// enrolAll lets n more agents buy their identities with one token, while they collect.
func (s *system) enrolAll(n int) {
	t := s.t
	t.Helper()
	token, _, err := s.registry.CreateEnrolmentToken(t.Context(), fleet.Console("test"), postgres.EnrolmentToken{Name: "system", MaxUses: n}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.token = filepath.Join(s.dir, "enrolment-token")
	if err := os.WriteFile(s.token, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	first := len(s.agents)
	for i := first; i < first+n; i++ {
		if err := os.MkdirAll(s.agentDir(i), 0o700); err != nil {
			t.Fatal(err)
		}
		s.addAgent(i)
	}
	for i := first; i < first+n; i++ {
		waitFor(t, time.Minute, fmt.Sprintf("agent %d is not enrolled", i), func() bool { return s.credential(i).Agent != "" })
		s.agents = append(s.agents, s.credential(i).Agent)
	}
}

// credential returns what agent i has in its file now; empty where there is none.
func (s *system) credential(i int) sign.Credential {
	s.t.Helper()
	cred, err := sign.FileStore(filepath.Join(s.agentDir(i), "credential.json")).Load()
	if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
		s.t.Fatal(err)
	}
	return cred
}

func (s *system) row(i int) postgres.Agent {
	s.t.Helper()
	a, err := s.db.AgentByName(s.t.Context(), s.agents[i])
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// activeKey returns the id of the key that the service takes as agent i's.
func (s *system) activeKey(i int) string {
	s.t.Helper()
	keys, err := s.db.AgentKeys(s.t.Context(), s.row(i).ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range keys {
		if k.State == postgres.KeyActive {
			return k.KeyID
		}
	}
	return ""
}

func (s *system) rotate(i int) string {
	s.t.Helper()
	id, err := s.registry.Rotate(s.t.Context(), fleet.Console("test"), s.row(i).ID, s.agents[i])
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// counted adds up what the gateway counts of batches and sessions that it refused
// for their keys. It is asked before each kill, which forgets it.
func (s *system) counted(total *int) {
	for _, m := range regexp.MustCompile(`(?m)^sentinel_gateway_(?:batches_rejected_total\{reason="(?:bad_signature|borrowed)"\}|sessions_refused_total\{reason="(?:unauthenticated|key_proof)"\}) (\d+)`).
		FindAllStringSubmatch(s.get("server", "/metrics"), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			s.t.Fatal(err)
		}
		*total += n
	}
}

// TestP18RotationUnderKills replaces the keys of agents that enrolled with a token,
// over and over, and kills agent or server at each step of the exchange that can be
// seen from outside, and in between. No session and no batch is refused on the way,
// everything that was acknowledged is stored, and the keys have moved on. Then a key
// is revoked: within five seconds nothing signed with it is taken any more.
func TestP18RotationUnderKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	s := newSystem(t, 0)
	s.startAll()
	s.enrolAll(3)
	const victim = 0
	waitFor(t, time.Minute, "no cycle has arrived", func() bool { return len(s.stored(victim)) > 0 })

	refused := 0
	kill := func(name string) {
		if name == "server" {
			s.counted(&refused)
		}
		s.killAndRestart(name)
	}
	agent := fmt.Sprint("agent-", victim)
	kept := func(id string) bool { c := s.credential(victim); return c.Next.ID == id || c.Key.ID == id }
	steps := []struct {
		name string
		at   func(id string) bool
	}{
		{"when it is asked for", func(string) bool { return true }},
		{"when the agent has kept it", kept},
		{"when it is active", func(id string) bool { return s.activeKey(victim) == id }},
		{"when the agent uses it", func(id string) bool { return s.credential(victim).Key.ID == id }},
	}
	kills := map[string]int{}
	for _, step := range steps {
		for _, name := range []string{agent, "server"} {
			id := s.rotate(victim)
			soon(t, "the step is not reached: "+step.name, func() bool { return step.at(id) })
			kill(name)
			kills[name]++
			waitFor(t, time.Minute, fmt.Sprintf("the key is not in use, %s killed %s", name, step.name), func() bool {
				return s.credential(victim).Key.ID == id && s.credential(victim).Next.ID == "" && s.activeKey(victim) == id
			})
		}
	}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range 6 {
		var ids []string
		for i := range s.agents {
			ids = append(ids, s.rotate(i))
		}
		pause := time.NewTimer(time.Duration(rnd.IntN(2000)) * time.Millisecond)
		<-pause.C
		for _, name := range []string{fmt.Sprint("agent-", rnd.IntN(3)), "server"} {
			kill(name)
			kills[name]++
		}
		for i, id := range ids {
			waitFor(t, time.Minute, fmt.Sprintf("agent %d does not use its new key", i), func() bool { return s.credential(i).Key.ID == id })
		}
	}
	s.counted(&refused)
	if refused > 0 {
		t.Errorf("%d sessions or batches were refused for their keys", refused)
	}
	if letters, err := s.db.Letters(t.Context(), postgres.LetterFilter{}); err != nil || len(letters) > 0 {
		t.Errorf("%d dead letters, %v", len(letters), err)
	}

	// Revoked, it is of no use after five seconds, to the agent or to a thief.
	before := s.credential(victim)
	if err := s.db.RevokeKey(t.Context(), fleet.Console("test"), s.row(victim).ID, before.Key.ID); err != nil {
		t.Fatal(err)
	}
	<-time.NewTimer(5 * time.Second).C
	stored := len(s.stored(victim))
	journal := len(s.journal(victim))
	waitFor(t, time.Minute, "the agent collects nothing", func() bool { return len(s.journal(victim)) > journal+5 })
	if n := len(s.stored(victim)); n != stored {
		t.Errorf("%d cycles were stored after the key was revoked", n-stored)
	}
	for i := range s.agents {
		s.procs[fmt.Sprint("agent-", i)].kill()
		if i == victim {
			continue
		}
		acknowledged, stored := s.journal(i), s.stored(i)
		if err := compare(acknowledged[:len(acknowledged)-missingTail(acknowledged, stored)], stored, kills[fmt.Sprint("agent-", i)]+1); err != nil {
			t.Errorf("agent %d: %v", i, err)
		}
	}
	t.Logf("killed: %v", kills)
}

// soon asks without a pause, to be there when a step is taken.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
