package agent

import (
	"context"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/plugin"
)

// pluginGroup is what the names of plugins' groups begin with; the plugin's name
// follows.
const pluginGroup = "plugin/"

// plugged returns the plugins of a configuration. No process is started yet, and none
// is where there is no plugin.
func (l *life) plugged(c Section) (*plugin.Manager, error) {
	return plugin.NewManager(c.Plugins, plugin.Deps{
		State: c.StateDir, Logger: l.logger.With("part", "plugin"), Run: l.plug, Program: c.PluginHost,
	})
}

// plug collects a plugin until ctx ends. Its samples go the way of all others.
func (l *life) plug(ctx context.Context, p *plugin.Plugin) error {
	name := p.Manifest.Name
	defer l.keep.latest.drop(pluginGroup + name)
	return collector.External{
		Name: pluginGroup + name, Labels: []string{"plugin", name}, About: "sentinel_plugin",
		Interval: p.Interval(), Timeout: p.Patience(), MaxSeries: p.Manifest.MaxSeries + plugin.OwnSeries,
		Collect: func(ctx context.Context, page collector.Page) error { return p.Collect(ctx, page) },
	}.Run(ctx, l.logger.With("part", "plugin"), l.keep)
}

// plugins says how the plugins stand.
func (l *life) plugins() []control.Plugin {
	all, _ := l.plugs.Load().Status()
	list := make([]control.Plugin, 0, len(all))
	for _, s := range all {
		list = append(list, control.Plugin{
			Name: s.Name, Version: s.Version, File: filepath.Base(s.File), Signer: s.Signer, State: string(s.State), Error: s.Error,
			Runs: s.Runs, Errors: s.Errors, Kills: s.Kills, Seconds: s.Seconds, Memory: s.Memory,
		})
	}
	return list
}
