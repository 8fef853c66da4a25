//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestWalks follows the walks of the documentation literally, in a system of their own:
// files are written as they stand there, and commands run as they stand there. A walk
// ends well where its last command does.
func TestWalks(t *testing.T) {
	s := startSystem(t, false)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/walk", RequireExplicitExec: true, Setup: s.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"walk": walk},
	})
}

// walk follows one section of a document: `walk FILE SECTION`. A block of Go or YAML is
// the file that the text before it names last.
func walk(ts *testscript.TestScript, _ bool, args []string) {
	here, err := os.Getwd()
	ts.Check(err)
	raw, err := os.ReadFile(filepath.Join(here, "../../docs", args[0]))
	ts.Check(err)
	section := regexp.MustCompile(`(?s)\n## ` + regexp.QuoteMeta(args[1]) + `\n(.*?)\n## `).FindSubmatch(raw)
	if section == nil {
		ts.Fatalf("%s has no section %q", args[0], args[1])
	}
	blocks := regexp.MustCompile("(?s)(.*?)```(sh|go|yaml)\n(.*?)```\n").FindAllSubmatch(section[1], -1)
	named := regexp.MustCompile("`([a-z]+/[a-z_]+\\.(?:go|yml))`")
	if len(blocks) == 0 {
		ts.Fatalf("there is nothing to do in %q", args[1])
	}
	for _, b := range blocks {
		if string(b[2]) == "sh" {
			ts.Logf("%s", b[3])
			ts.Check(ts.Exec("sh", "-euc", string(b[3])))
			continue
		}
		names := named.FindAllSubmatch(b[1], -1)
		if len(names) == 0 {
			ts.Fatalf("it is not said which file this is:\n%s", b[3])
		}
		ts.Check(os.WriteFile(ts.MkAbs(string(names[len(names)-1][1])), b[3], 0o644))
	}
}
