package service

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/sentinelgo/sentinel/deploy"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Names under which the managers know the agent.
const (
	systemdName = "sentinel-agent.service"
	launchdName = "com.sentinelgo.agent"
	// WindowsName is the service's, and that of its source in the event log.
	WindowsName = "SentinelAgent"
)

// Install says what is installed, and where.
type Install struct {
	Program string // absolute path of the agent's program
	Config  string // absolute path of its configuration
	State   string // its state folder
	// Server and CAPin stand in a configuration that is written anew: the gateway's
	// host:port, and the pin of the authority that vouches for it; empty: the defaults.
	Server, CAPin string
	// Root, where set, is a folder that stands for /: files are written below it and
	// nothing is run, as for a package.
	Root string
}

// Machine is what steps change.
type Machine interface {
	// Write writes a file and makes the folders above it. Where keep is set a file
	// that is there stays as it is.
	Write(path, content string, mode fs.FileMode, keep bool) error
	// Remove removes a file; one that is not there is no error.
	Remove(path string) error
	// Run runs a command.
	Run(ctx context.Context, args ...string) error
	// Manage has the Windows service manager register, unregister, start or stop the
	// agent. Doing so twice is no error.
	Manage(ctx context.Context, verb string, in Install) error
}

// Step is one thing that is done on the way.
type Step struct {
	// Configured says that after this step the configuration is there.
	Configured bool

	text string
	do   func(context.Context, Machine) error
}

// String says in one line what the step does.
func (s Step) String() string { return s.text }

// Do does it.
func (s Step) Do(ctx context.Context, m Machine) error {
	if err := s.do(ctx, m); err != nil {
		return fmt.Errorf("%s: %w", s.text, err)
	}
	return nil
}

// Plan returns the steps of install, uninstall, start or stop on a system, which is
// linux, darwin or windows. Each plan may be carried out again at any time. A path
// that cannot stand in a unit, and a system without a plan, are Invalid.
func Plan(system, verb string, in Install) ([]Step, error) {
	if strings.ContainsAny(in.Server+in.CAPin, "\n\r\x00 #'\"") {
		return nil, sentinel.Errorf(sentinel.Invalid, "--server and --ca-pin: want host:port and sha256:… as they are, without quotes or spaces")
	}
	if strings.ContainsAny(in.Program+in.Config, "\n\r\x00") {
		return nil, sentinel.Errorf(sentinel.Invalid, "%s %s: a path with a line break cannot be installed", in.Program, in.Config)
	}
	plans := map[string]func(string, Install) []Step{"linux": systemd, "darwin": launchd, "windows": windows}
	plan := plans[system]
	if plan == nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "%s: it is not known how services are installed on this system", system)
	}
	return plan(verb, in), nil
}

func systemd(verb string, in Install) []Step {
	unit := path.Join("/", in.Root, "etc/systemd/system", systemdName)
	reload := run("systemctl", "daemon-reload")
	var steps []Step
	switch verb {
	case "install":
		text := strings.NewReplacer(deploy.ProgramPath, unitWord(in.Program), deploy.ConfigPath, unitWord(in.Config)).Replace(deploy.SystemdUnit())
		steps = []Step{configure(path.Join("/", in.Root, in.Config), in), write(unit, text, 0o644, false),
			reload, run("systemctl", "enable", systemdName), run("systemctl", "restart", systemdName)}
	case "uninstall":
		steps = []Step{unless("systemctl", "disable", "--now", systemdName), remove(unit), reload}
	default:
		steps = []Step{run("systemctl", verb, systemdName)}
	}
	return filesOnly(steps, in)
}

func launchd(verb string, in Install) []Step {
	job := path.Join("/", in.Root, "Library/LaunchDaemons", launchdName+".plist")
	out, bootstrap := unless("launchctl", "bootout", "system/"+launchdName), run("launchctl", "bootstrap", "system", job)
	var steps []Step
	switch verb {
	case "install":
		text := strings.NewReplacer(deploy.ProgramPath, xmlText(in.Program), deploy.ConfigPath, xmlText(in.Config)).Replace(deploy.LaunchdJob())
		steps = []Step{configure(path.Join("/", in.Root, in.Config), in), write(job, text, 0o644, false), out, bootstrap}
	case "uninstall":
		steps = []Step{out, remove(job)}
	case "start":
		steps = []Step{unless("launchctl", "bootstrap", "system", job), run("launchctl", "kickstart", "system/"+launchdName)}
	default:
		steps = []Step{out}
	}
	return filesOnly(steps, in)
}

func windows(verb string, in Install) []Step {
	switch verb {
	case "install":
		return []Step{
			configure(in.Config, in),
			write(in.State+`\README.txt`, "The agent's log, identity and socket: for SYSTEM and Administrators alone.\r\n", 0o600, true),
			// %ProgramData% lets everybody read; this folder is to hold a secret.
			run("icacls", in.State, "/inheritance:r", "/grant:r", "*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "/T", "/Q"),
			manage("register", "register the service "+WindowsName+" for "+in.Program+" --config "+in.Config+
				": delayed automatic start; restarted 5 s, 30 s and 60 s after failures; source in the event log", in),
			manage("start", "start the service "+WindowsName, in),
		}
	case "uninstall":
		return []Step{manage("stop", "stop the service "+WindowsName, in),
			manage("unregister", "remove the service "+WindowsName+" and its source in the event log", in)}
	}
	return []Step{manage(verb, verb+" the service "+WindowsName, in)}
}

// configure writes the configuration where there is none.
func configure(path string, in Install) Step {
	text := deploy.AgentConfig()
	if in.Server != "" {
		text = strings.Replace(text, deploy.ServerAddress, `address: "`+in.Server+`"`, 1)
	}
	if in.CAPin != "" {
		text += `    ca_pin: "` + in.CAPin + "\"\n"
	}
	s := write(path, text, 0o644, true)
	s.Configured = true
	return s
}

func write(path, content string, mode fs.FileMode, keep bool) Step {
	text := "write " + path
	if keep {
		text += ", where it is missing"
	}
	return Step{text: text, do: func(_ context.Context, m Machine) error { return m.Write(path, content, mode, keep) }}
}

func remove(path string) Step {
	return Step{text: "remove " + path, do: func(_ context.Context, m Machine) error { return m.Remove(path) }}
}

func run(args ...string) Step {
	return Step{text: "run " + strings.Join(args, " "), do: func(ctx context.Context, m Machine) error { return m.Run(ctx, args...) }}
}

// unless runs a command that fails where its work is done already.
func unless(args ...string) Step {
	s := run(args...)
	return Step{text: s.text + ", which may have been done", do: func(ctx context.Context, m Machine) error {
		if err := s.do(ctx, m); err != nil && ctx.Err() != nil {
			return err
		}
		return nil
	}}
}

func manage(verb, text string, in Install) Step {
	return Step{text: text, do: func(ctx context.Context, m Machine) error { return m.Manage(ctx, verb, in) }}
}

// filesOnly leaves out what is run where a root stands for /.
func filesOnly(steps []Step, in Install) []Step {
	if in.Root == "" {
		return steps
	}
	var out []Step
	for _, s := range steps {
		if !strings.HasPrefix(s.text, "run ") {
			out = append(out, s)
		}
	}
	return out
}

// unitWord writes a path as one word of a command in a unit, see systemd.service(5).
func unitWord(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if plain {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(s) + `"`
}

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
