package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// lastGoodName is the file in the state folder with the configuration that last
// ran, file and environment in one. It holds the agent's own sections alone, so
// that the secrets of programs that share the file stay out of it.
const lastGoodName = "last-good.yml"

const stateDirVariable = "SENTINEL_AGENT_STATE_DIR"

// saveLastGood keeps the configuration that file led to. It writes nothing where
// the copy says the same already.
func saveLastGood(file string, cfg Config) error {
	var b bytes.Buffer
	b.WriteString(lastGoodHeader(file))
	if err := config.Dump(&b, cfg); err != nil {
		return err
	}
	path := filepath.Join(cfg.Agent.StateDir, lastGoodName)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	return atomicfile.Replace(path, b.Bytes(), 0o600)
}

// lastGoodHeader is the first line of the copy. It names the file, so that one
// agent never starts with what another one left.
func lastGoodHeader(file string) string {
	if abs, err := filepath.Abs(file); err == nil && file != "" {
		file = abs
	}
	return fmt.Sprintf("# The last good configuration of %q, environment included. The agent writes this.\n", file)
}

// lastGood returns the configuration with which the agent of this file last ran, for
// a start at which file, or the environment, is not good. The environment is part of
// it and is not read again, except for where the state folder is: that is asked of
// the environment, then of the file as far as it can be read, then it is the
// default. The error is NotFound where there is no such copy.
func lastGood(file string, environ []string) (Config, error) {
	var places []string
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, stateDirVariable+"="); ok {
			places = append(places, v)
		}
	}
	if raw, err := os.ReadFile(file); err == nil {
		places = append(places, saidStateDir(raw))
	}
	for _, dir := range append(places, DefaultConfig().Agent.StateDir) {
		path := filepath.Join(dir, lastGoodName)
		raw, err := os.ReadFile(path)
		if dir == "" || err != nil || !bytes.HasPrefix(raw, []byte(lastGoodHeader(file))) {
			continue
		}
		cfg := DefaultConfig()
		if err := config.Load(path, nil, &cfg); err != nil {
			return Config{}, fmt.Errorf("last good configuration: %w", err)
		}
		return cfg, nil
	}
	return Config{}, sentinel.Errorf(sentinel.NotFound, "there is no last good configuration of this agent")
}

// saidStateDir reads state_dir from a file that need not be YAML any more; empty
// where it is not there.
func saidStateDir(raw []byte) string {
	m := regexp.MustCompile(`(?m)^[^#\n]*\bstate_dir:[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^#,}\n]*))`).FindSubmatch(raw)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(string(m[1]) + string(m[2]) + string(m[3]))
}

// Choose returns the configuration that an agent starts with: what load gives, or,
// where that is not good or names what cannot be used, the last good one of file,
// with the trouble that kept it from the first. The error is load's where there is
// no other either.
func Choose(file string, environ []string, load func() (Config, error)) (cfg Config, trouble, err error) {
	silent := slog.New(slog.DiscardHandler)
	cfg, err = load()
	if err == nil {
		_, err = prepare(cfg.Agent, nil, silent)
	}
	if err == nil {
		return cfg, nil, nil
	}
	good, gerr := lastGood(file, environ)
	if gerr == nil {
		_, gerr = prepare(good.Agent, nil, silent)
	}
	if gerr != nil {
		return cfg, nil, err
	}
	return good, err, nil
}
