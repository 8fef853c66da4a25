package plugin

import (
	"context"
	"os"
)

// Once looks at the bundle in a file, runs it and collects from it, so many times, as an
// agent with this configuration would, but for which versions ran here before. It keeps
// nothing. A process is started as Deps say.
func Once(ctx context.Context, cfg Config, d Deps, path string, times int, to Sink) (Status, error) {
	state, err := os.MkdirTemp("", "sentinel-plugin-")
	if err != nil {
		return Status{}, err
	}
	defer os.RemoveAll(state)
	d.State = state
	m, err := NewManager(cfg, d)
	if err != nil {
		return Status{}, err
	}
	p, err := m.inspect(ctx, path, m.cache(path), "")
	if err != nil {
		return Status{}, err
	}
	defer p.stop()
	if err = m.admit(p, ""); err == nil {
		for range times {
			if err = p.Collect(ctx, to); err != nil {
				break
			}
		}
	}
	return p.Status(), err
}
