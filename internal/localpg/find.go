package localpg

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// oldest is the first major version with multiranges, which the ledger needs.
const oldest = 14

// binaries is one installation of the server.
type binaries struct {
	dir     string
	version string // "16.4"
	major   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name+exeSuffix) }

// systemPlaces returns the folders where server binaries may be on this machine:
// what the user chose first, then where packages put them. Debian and others
// leave them out of PATH.
func systemPlaces() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.Command(path, "--bindir").Output(); err == nil { //nolint:noctx // answers at once
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // postgresql.org's RPMs
		"/usr/lib/postgresql*/bin",           // SUSE, Gentoo
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin",
		filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin"),
	} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return dirs
}

// find returns the newest usable installation among dirs, of the given major
// version where data exists (0: any).
func find(ctx context.Context, dirs []string, major int) (binaries, error) {
	var all []binaries
	seen := make(map[string]bool)
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		b := binaries{dir: dir}
		if _, err := os.Stat(b.path("initdb")); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
		if err != nil {
			continue
		}
		// "postgres (PostgreSQL) 16.4 (Debian 16.4-1)", "… 18beta1"
		m := regexp.MustCompile(`\) ((\d+)\S*)`).FindStringSubmatch(string(out))
		if m == nil {
			continue
		}
		b.version = m[1]
		b.major, _ = strconv.Atoi(m[2])
		all = append(all, b)
	}
	usable := slices.DeleteFunc(slices.Clone(all), func(b binaries) bool {
		return b.major < oldest || major != 0 && b.major != major
	})
	if len(usable) == 0 {
		return binaries{}, explain(all, major)
	}
	return slices.MaxFunc(usable, func(a, b binaries) int { return a.major - b.major }), nil
}

// explain returns the error for a machine without a usable installation.
func explain(all []binaries, major int) error {
	var have []string
	for _, b := range all {
		have = append(have, b.version+" in "+b.dir)
	}
	found := "none was found"
	if len(have) > 0 {
		found = "found " + strings.Join(have, ", ")
	}
	if major != 0 {
		return sentinel.Errorf(sentinel.NotFound, "the data was made by PostgreSQL %d, whose server binaries are needed (%s): install that version again, or dump and restore into a newer one", major, found)
	}
	lines := []string{
		"  Debian, Ubuntu:    sudo apt-get install postgresql",
		"  Fedora, RHEL:      sudo dnf install postgresql-server",
		"  macOS:             brew install postgresql@17",
	}
	if runtime.GOOS == "windows" {
		lines = append([]string{"  Windows:           winget install PostgreSQL.PostgreSQL.17"}, lines...)
	}
	return sentinel.Errorf(sentinel.NotFound, "PostgreSQL %d or newer is needed on this machine, %s. Install it:\n%s\nor name a database that runs elsewhere:\n  export DATABASE_URL='postgres://user:password@host:5432/database?sslmode=verify-full'",
		oldest, found, strings.Join(lines, "\n"))
}
