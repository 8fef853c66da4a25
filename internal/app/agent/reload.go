package agent

import (
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
)

// needsRestart reports whether a key is read once, when the agent starts: what
// stays open for all of its life depends on it.
func needsRestart(key string) bool {
	return slices.Contains([]string{"agent.state_dir", "agent.listen", "log.format"}, key)
}

// withoutRestart returns next with the values of now in the keys that need a
// restart.
func withoutRestart(next, now Config) Config {
	next.Agent.StateDir, next.Agent.Listen, next.Log.Format = now.Agent.StateDir, now.Agent.Listen, now.Log.Format
	next.Agent.Acknowledged, next.Agent.HandedCredential, next.Agent.PluginHost = now.Agent.Acknowledged, now.Agent.HandedCredential, now.Agent.PluginHost
	return next
}

// Reload implements control.Agent. It reads the configuration again and applies what
// has changed, or nothing at all: where anything in it is wrong, or cannot be used,
// the agent goes on as it was and says so until a reload is good. Files that the
// configuration names (credential, certificates) are read again too. No cycle is
// lost: a cycle under way is taken anew at once by the collectors that follow.
func (l *life) Reload() control.Reload {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	if l.o.Load == nil {
		return control.Reload{Error: "this agent has its configuration from the program that it is part of: restart that", Applied: []string{}, NeedsRestart: []string{}}
	}
	l.tell(service.Reloading())
	defer l.tell(service.Ready)
	r, err := l.reload()
	l.mu.Lock()
	l.last, l.trouble = time.Now(), err
	if err == nil {
		l.good, l.restart = l.last, r.NeedsRestart
	}
	l.mu.Unlock()
	if err != nil {
		l.reloads("failed").Inc()
		l.logger.Error("the configuration is not good; the agent goes on with the last one that was", "file", l.o.File, "error", err)
		return control.Reload{Error: err.Error(), Applied: []string{}, NeedsRestart: []string{}}
	}
	l.reloads("ok").Inc()
	l.saveLastGood()
	l.logger.Info("configuration reloaded", "file", l.o.File, "applied", r.Applied, "needs_restart", r.NeedsRestart)
	return r
}

func (l *life) reload() (r control.Reload, err error) {
	said, err := l.o.Load()
	if err != nil {
		return r, err
	}
	l.mu.Lock()
	base := withoutRestart(said, l.cfg)
	next, now := l.remote.over(base), l.cfg
	l.mu.Unlock()
	r = control.Reload{OK: true, Applied: []string{}, NeedsRestart: []string{}}
	for _, key := range config.Diff(now, said) {
		if needsRestart(key) {
			r.NeedsRestart = append(r.NeedsRestart, key)
		}
	}
	t, err := prepare(next.Agent, l.self, l.logger)
	if err != nil {
		return r, err
	}
	is := l.up.Load().Status()
	if t.agent != is.Agent && t.agent != "" && is.Agent != "" {
		return r, sentinel.Errorf(sentinel.Invalid, "%s belongs to agent %s, this is %s: stop the agent to make it another one", next.Agent.Credential(), t.agent, is.Agent)
	}
	if r.Applied, err = l.change(next, t); err != nil {
		return r, err
	}
	l.mu.Lock()
	l.base = base
	l.mu.Unlock()
	return r, nil
}

// change makes the agent run with another configuration, all of it or, where the
// error is not nil, nothing. It returns the keys that have changed. reloading is held.
func (l *life) change(next Config, t tools) ([]string, error) {
	applied := config.Diff(l.config(), next)
	if applied == nil {
		applied = []string{}
	}
	level, err := next.Log.Threshold()
	if err != nil {
		return nil, err
	}
	if err := l.log.Reconfigure(next.Agent.WAL); err != nil {
		return nil, err
	}
	if l.o.Level != nil {
		l.o.Level.Set(level)
	}
	is := l.up.Load().Status()
	l.mu.Lock()
	files, sources := t.files != l.files || t.key != is.Key && is.Key != "", t.sources != l.sources
	l.cfg, l.files, l.sources = next, t.files, t.sources
	l.mu.Unlock()
	changed := func(section string) bool {
		return slices.ContainsFunc(applied, func(key string) bool { return strings.HasPrefix(key, section) })
	}
	if sources || changed("agent.collect.") {
		if sources {
			applied = append(applied, "files that agent.collect names")
		}
		l.keep.latest.forget()
		l.collecting.replace(l.collect(t.set))
		l.mu.Lock()
		l.skips, l.set = l.skips+l.set.Skipped(), t.set
		l.mu.Unlock()
	}
	if changed("agent.plugins.") {
		plugs, err := l.plugged(next.Agent)
		if err != nil { // it was looked at when it was read
			return applied, err
		}
		l.plugs.Store(plugs)
		l.plugging.replace(plugs.Run)
	} else {
		l.plugs.Load().Nudge()
	}
	if files || changed("agent.server.") || changed("agent.credential_file") || changed("agent.key_store") {
		if files {
			applied = append(applied, "files that agent.server and agent.credential_file name")
		}
		up := l.uplink(next.Agent, t.store)
		l.up.Store(up)
		l.sending.replace(up.Run)
	}
	return applied, nil
}

// saveLastGood keeps what the host itself says for a start at which the file is not good.
func (l *life) saveLastGood() {
	if l.o.Load == nil {
		return
	}
	if err := saveLastGood(l.o.File, l.hostConfig()); err != nil {
		l.logger.Warn("the last good configuration could not be kept", "error", err)
	}
}
