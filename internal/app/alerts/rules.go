package alerts

import (
	"bytes"
	"fmt"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
)

// Rows reads a file of rules into rows of the database. Errors are Invalid and name
// line, rule and field.
func Rows(name string, text []byte) ([]postgres.AlertRule, error) {
	set, err := readRules(name, text)
	if err != nil {
		return nil, err
	}
	rows := make([]postgres.AlertRule, 0, len(set.Rules))
	for _, r := range set.Rules {
		rows = append(rows, postgres.AlertRule{Group: r.Group, Name: r.Alert, YAML: r.YAML()})
	}
	return rows, nil
}

// readRules reads a file of rules and their expressions.
func readRules(name string, text []byte) (*alerting.RuleSet, error) {
	set, err := alerting.ParseRules(name, text)
	if err != nil {
		return nil, err
	}
	return set, set.CheckExprs(name, query.CheckAlert)
}

// File returns rows, which are sorted by group, as a file of rules.
func File(rows []postgres.AlertRule) []byte {
	var b bytes.Buffer
	b.WriteString("groups:\n")
	group := ""
	for i, r := range rows {
		if i == 0 || r.Group != group {
			fmt.Fprintf(&b, "- name: %q\n  rules:\n", r.Group)
			group = r.Group
		}
		for j, line := range bytes.Split(bytes.TrimRight([]byte(r.YAML), "\n"), []byte("\n")) {
			if j == 0 {
				b.WriteString("  - ")
			} else {
				b.WriteString("    ")
			}
			b.Write(line)
			b.WriteByte('\n')
		}
	}
	if len(rows) == 0 {
		return []byte("groups: []\n")
	}
	return b.Bytes()
}
