package check

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// image is what the Dockerfile says of one of its targets.
type image struct {
	uid, gid   int
	env        []string
	entrypoint []string
	health     []string
}

// TestContainers runs what the images hold without an engine: the same static programs,
// on a root file system that holds what the Dockerfile puts there and that they cannot
// write to, as the image's user, without capabilities, with the environment of the image
// and of its Compose service. They come up in Compose's order, and the agent enrols and
// sends, until its samples can be read.
func TestContainers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can change its root file system")
	}
	dir, err := os.MkdirTemp("/var/tmp", "sentinel-containers-") // the programs' user must be able to pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := compose(t, "agent")
	ports := freePorts(t, 7)
	addresses := map[string]string{ // what differs from containers: one host has all ports
		"SENTINEL_BROKER_URL": "nats://" + ports[0], "SENTINEL_SERVER_GATEWAY": ports[2], "SENTINEL_SERVER_API": ports[3],
		"SENTINEL_AGENT_SERVER_ADDRESS": ports[2], "SENTINEL_SERVER_LISTEN": ports[4], "SENTINEL_WORKER_LISTEN": ports[5], "SENTINEL_AGENT_LISTEN": ports[6],
		"SENTINEL_AGENT_COLLECT_INTERVAL": "1s", "SENTINEL_AGENT_COLLECT_TIMEOUT": "1s", "SENTINEL_AGENT_COLLECT_ROOT": "",
	}
	startNATS(t, dir, ports[0])
	startPostgres(t, dir, ports[1])

	volumes := map[string]string{}
	for _, v := range []string{"secrets", "development", "agent"} {
		volumes[v] = filepath.Join(dir, "volume-"+v)
		must(t, os.Mkdir(volumes[v], 0o700))
		must(t, os.Chown(volumes[v], 65532, 65532)) // as the service "secrets" does, and the image's own folder
	}
	must(t, os.WriteFile(filepath.Join(volumes["secrets"], "database-url"), []byte("postgres://sentinel@"+ports[1]+"/postgres\n"), 0o400))
	must(t, os.Chown(filepath.Join(volumes["secrets"], "database-url"), 65532, 65532))

	container := func(name string) *running {
		s, err := p.GetService(name)
		must(t, err)
		return newContainer(t, dir, s, volumes, addresses)
	}
	container("setup").wait()
	server, worker := container("server"), container("worker")
	server.healthy()
	worker.healthy()
	container("tokens").wait()
	container("agent").healthy()

	token := filepath.Join(volumes["development"], "viewer-token")
	ca := filepath.Join(volumes["development"], "ca.crt")
	waitFor(t, "no sample of the agent can be read", func() bool {
		cmd := exec.Command(filepath.Join(bin, "sentinelctl"), "agent", "ls", "-o", "csv")
		cmd.Env = []string{"SENTINEL_SERVER=https://" + ports[3], "SENTINEL_CA_FILE=" + ca, "SENTINEL_TOKEN_FILE=" + token, "HOME=" + dir}
		out, err := cmd.Output()
		rows := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil || len(rows) < 2 {
			return false
		}
		cmd = exec.Command(filepath.Join(bin, "sentinelctl"), "api", "GET", "/agents/"+strings.Split(rows[1], ",")[0]+"/latest")
		cmd.Env = []string{"SENTINEL_SERVER=https://" + ports[3], "SENTINEL_CA_FILE=" + ca, "SENTINEL_TOKEN_FILE=" + token, "HOME=" + dir}
		out, err = cmd.Output()
		return err == nil && bytes.Contains(out, []byte("node_load1"))
	})
}

// images reads the Dockerfile's targets.
func images(t *testing.T) map[string]image {
	t.Helper()
	stages := dockerfile(t, func(string) {})
	all := map[string]image{}
	for _, stage := range stages {
		im := all[stage.BaseName]
		im.env = slices.Clone(im.env)
		for _, c := range stage.Commands {
			switch c := c.(type) {
			case *instructions.UserCommand:
				uid, gid, _ := strings.Cut(c.User, ":")
				im.uid, _ = strconv.Atoi(uid)
				im.gid, _ = strconv.Atoi(gid)
			case *instructions.EnvCommand:
				for _, kv := range c.Env {
					im.env = append(im.env, kv.Key+"="+kv.Value)
				}
			case *instructions.EntrypointCommand:
				im.entrypoint = c.CmdLine
			case *instructions.HealthCheckCommand:
				im.health = c.Health.Test[1:]
			}
		}
		all[stage.Name] = im
	}
	return all
}

// running is a program as a container would run it.
type running struct {
	t     *testing.T
	name  string
	image image
	root  string
	env   []string
	cmd   *exec.Cmd
	out   bytes.Buffer
}

func newContainer(t *testing.T, dir string, s types.ServiceConfig, volumes, addresses map[string]string) *running {
	t.Helper()
	c := &running{t: t, name: s.Name, image: images(t)[s.Build.Target], root: filepath.Join(dir, "root-"+s.Name)}
	for _, d := range []string{"etc/ssl/certs", "usr/bin", "tmp", "proc", "var/lib/sentinel-agent"} {
		must(t, os.MkdirAll(filepath.Join(c.root, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(c.root, "tmp"), 0o1777))
	must(t, os.WriteFile(filepath.Join(c.root, "etc/passwd"), []byte("sentinel:x:65532:65532:Sentinel:/nonexistent:/sbin/nologin\n"), 0o644))
	program := filepath.Base(c.image.entrypoint[0])
	raw, err := os.ReadFile(filepath.Join(bin, program))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.root, c.image.entrypoint[0]), raw, 0o755))
	// The agent of this host looks at /proc.
	bind(t, "/proc", filepath.Join(c.root, "proc"), false)
	for _, v := range s.Volumes {
		if from := volumes[v.Source]; v.Type == types.VolumeTypeVolume && from != "" {
			at := filepath.Join(c.root, v.Target)
			must(t, os.MkdirAll(at, 0o755))
			bind(t, from, at, v.ReadOnly)
		}
	}
	env := map[string]string{}
	for _, kv := range c.image.env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for k, v := range s.Environment {
		env[k] = *v
	}
	for k, v := range addresses {
		env[k] = v
	}
	for k, v := range env {
		c.env = append(c.env, k+"="+v)
	}
	c.cmd = c.command(append(slices.Clone(c.image.entrypoint), s.Command...))
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	must(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = c.cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", c.name, c.out.String())
		}
	})
	return c
}

// command returns a command as the container's user, in its root and environment. A
// user that is not root has no capability.
func (c *running) command(args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil // it is looked for in the new root
	cmd.Dir, cmd.Env = "/", c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: uint32(c.image.uid), Gid: uint32(c.image.gid)}}
	return cmd
}

// wait wants the container to end well.
func (c *running) wait() {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			c.t.Fatalf("%s: %v\n%s", c.name, err, c.out.String())
		}
	case <-time.After(time.Minute):
		c.t.Fatalf("%s does not end", c.name)
	}
}

// healthy waits until the image's health check says so.
func (c *running) healthy() {
	c.t.Helper()
	waitFor(c.t, c.name+" is not healthy", func() bool { return c.command(c.image.health).Run() == nil })
}

func bind(t *testing.T, from, to string, readonly bool) {
	t.Helper()
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", to, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(to, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", to, err)
		}
	})
	if readonly {
		if err := syscall.Mount("", to, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatalf("mount %s read-only: %v", to, err)
		}
	}
}

func startNATS(t *testing.T, dir, address string) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2")
	cmd.Dir = root // at the version that Sentinel is built with
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	start(t, nil, filepath.Join(dir, "nats-server"), "-js", "-a", "127.0.0.1", "-p", port, "-sd", filepath.Join(dir, "nats"))
}

func startPostgres(t *testing.T, dir, address string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(root, "scripts/ensure-postgres.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	place, err := exec.Command("sh", "-c", `ls -d /usr/lib/postgresql/*/bin /usr/local/bin 2>/dev/null | while read d; do [ -x $d/initdb ] && echo $d && break; done`).Output()
	must(t, err)
	programs := strings.TrimSpace(string(place))
	who, err := user.Lookup("postgres")
	must(t, err)
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	data := filepath.Join(dir, "postgres")
	must(t, os.Mkdir(data, 0o700))
	must(t, os.Chown(data, uid, gid))
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	initdb := exec.Command(filepath.Join(programs, "initdb"), "-D", data, "-U", "sentinel", "-A", "trust", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	start(t, as, filepath.Join(programs, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
}

// start runs a program until the test ends.
func start(t *testing.T, as *syscall.SysProcAttr, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr, cmd.Dir = as, "/"
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
		_ = cmd.Wait()
	})
}

func freePorts(t *testing.T, n int) (list []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
