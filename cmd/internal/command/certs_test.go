//go:build unix

package command_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// genCerts runs the script that makes certificates for development.
func genCerts(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("../../../scripts/gen-dev-certs.sh", args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: scripts/gen-dev-certs.sh needs openssl, which is not installed")
	}
}

func TestDevelopmentCertificates(t *testing.T) {
	needOpenSSL(t)
	dir := filepath.Join(t.TempDir(), "with a space")
	if out, err := genCerts(t, nil, dir, "sentinel.example", "*.lab.example", "10.1.2.3", "fd00::1"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify(t, dir, "localhost", "127.0.0.1", "::1", "sentinel.example", "web.lab.example", "10.1.2.3", "fd00::1", hostname(t))
	for name, mode := range map[string]os.FileMode{"ca.key": 0o600, "server.key": 0o600, "ca.crt": 0o644, "server.crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
	first := read(t, dir)

	for _, again := range [][]string{{dir}, {dir, "sentinel.example", "*.lab.example", "fd00::1"}} {
		if out, err := genCerts(t, nil, again...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for name, raw := range read(t, dir) {
			if !bytes.Equal(raw, first[name]) {
				t.Errorf("running it again with %q changed %s", again[1:], name)
			}
		}
	}

	if out, err := genCerts(t, nil, dir, "other.example"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify(t, dir, "localhost", "other.example")
	second := read(t, dir)
	if !bytes.Equal(second["ca.crt"], first["ca.crt"]) || !bytes.Equal(second["ca.key"], first["ca.key"]) {
		t.Error("a new name made a new authority: whoever trusted the old one is cut off")
	}
	if bytes.Equal(second["server.crt"], first["server.crt"]) {
		t.Error("a new name did not make a new certificate")
	}

	// A key that is gone, or belongs to another certificate, is made anew.
	if err := os.WriteFile(filepath.Join(dir, "server.key"), first["server.key"], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := genCerts(t, nil, dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify(t, dir, "localhost")
}

// verify checks the chain as a client would, for each name.
func verify(t *testing.T, dir string, names ...string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		t.Fatalf("ca.crt: %v", err)
	}
	for _, name := range names {
		opts := x509.VerifyOptions{DNSName: name, Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if _, err := pair.Leaf.Verify(opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "elsewhere.example", Roots: pool}); err == nil {
		t.Error("the certificate is good for any name")
	}
	if life := pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore); life > 398*24*time.Hour {
		t.Errorf("the certificate lasts %s: clients refuse more than 398 days", life)
	}
	if pair.Leaf.IsCA {
		t.Error("the server's certificate may sign others")
	}
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) != 4 {
		t.Errorf("%d files in the folder, want ca and server, certificate and key of each", len(files))
	}
	return files
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDevelopmentCertificatesRefuse(t *testing.T) {
	// A PATH with everything the script needs but openssl.
	bin := t.TempDir()
	for _, tool := range []string{"env", "bash", "cat"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		want string
		code int
	}{
		{"no folder", nil, nil, "Usage:", 2},
		{"an option for a folder", nil, []string{"--force"}, "Usage:", 2},
		{"a name that would be configuration", nil, []string{"x", "a\nIP.9 = 1.2.3.4"}, "neither a host name nor an IP address", 2},
		{"no openssl", []string{"PATH=" + bin}, []string{"x"}, "openssl is not installed; install it", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env == nil {
				needOpenSSL(t)
			}
			dir := t.TempDir()
			if len(tt.args) > 0 && tt.args[0] == "x" {
				tt.args[0] = filepath.Join(dir, "x")
			}
			out, err := genCerts(t, tt.env, tt.args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("%v, want code %d and %q:\n%s", err, tt.code, tt.want, out)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("it left %v behind: %v", left, err)
			}
		})
	}
}
