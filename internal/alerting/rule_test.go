package alerting

import (
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestRuleSentence(t *testing.T) {
	rules := mustRules(t, `
groups:
- name: g
  rules:
  - {alert: a, series: sentinel_host_disk_used_percent, condition: above 90, for: 10m, agents: '{site="fra"}'}
  - {alert: b, series: 'node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"}', divided_by: node_filesystem_size_bytes, function: avg, window: 90s, condition: "< 0.1", recovery: above 0.15}
  - {alert: c, kind: absence, window: 5m}
  - {alert: d, kind: absence, series: node_load1, window: 1h30m, keep_firing_for: 5m}
  - {alert: e, kind: anomaly, series: node_load15, for: 30m}
  - {alert: f, kind: forecast, series: node_filesystem_avail_bytes, window: 6h, ahead: 24h, condition: below 0}
`)
	for i, want := range []string{
		`sentinel_host_disk_used_percent above 90 for 10m on site="fra"`,
		`avg over 1m30s of node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"} divided by node_filesystem_size_bytes below 0.1, until above 0.15`,
		`agent absent for 5m`,
		`node_load1 absent for 1h30m, at least 5m longer`,
		`node_load15 outside 6 deviations from its last 24h for 30m`,
		`node_filesystem_avail_bytes below 0 in 24h, as its last 6h goes`,
	} {
		if got := rules.Rules[i].String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestRulesAreValidated: every error names file, line, rule and field.
func TestRulesAreValidated(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{"condition: above 1", `r.yml:4: alert "x": series: want a metric`},
		{"series: a", `r.yml:4: alert "x": condition: is missing`},
		{"series: a\n    condition: above ninety", `r.yml:6: groups[0].rules[0].condition: want a condition such as`},
		{"series: a\n    condition: above 1\n    treshold: 5", `r.yml:7: groups[0].rules[0].treshold: unknown key`},
		{"series: a\n    condition: above 1\n    function: avg", `r.yml:4: alert "x": window: want 1s to 24h`},
		{"series: a\n    condition: above 1\n    function: median", `function: want last, avg,`},
		{"series: a\n    condition: above 1\n    function: avg\n    window: 25h", `r.yml:8: alert "x": window: want 1s to 24h`},
		{"series: a\n    condition: above 1\n    window: 5m", `window: the function last looks at no window`},
		{"series: a\n    condition: above 1\n    recovery: above 0", `recovery: above 0 and above 1 hold`},
		{"series: 'a{b=~\"(\"}'\n    condition: above 1", `r.yml:5: groups[0].rules[0].series: the pattern of label "b": error parsing regexp`},
		{"series: 'a{b=c}'\n    condition: above 1", `stands in no "quotes"`},
		{"series: 'a{b'\n    condition: above 1", `want =, !=, =~ or !~`},
		{"series: a b\n    condition: above 1", `want a selector such as`},
		{"series: a\n    condition: above 1\n    agents: web", `agents: want matchers in braces`},
		{"series: a\n    condition: above 1\n    divided_by: 'b{}'", `divided_by: want the name of a metric`},
		{"series: a\n    condition: above 1\n    divided_by: b\n    minus: c", `minus: cannot stand beside divided_by`},
		{"series: a\n    condition: above 1\n    max_series: 99999", `max_series: want 1 to 5000`},
		{"series: a\n    condition: above 1\n    for: 10", `for: want a duration such as`},
		{"series: a\n    condition: above 1\n    for: 200h", `for: want 0s to 7d`},
		{"series: a\n    condition: above 1\n    severity: page", `severity: want info, warning or critical`},
		{"series: a\n    condition: above 1\n    labels: {agent: x}", `labels: agent is set by the service`},
		{"series: a\n    condition: above 1\n    labels: {a-b: x}", `"a-b" is no name of a label`},
		{"series: a\n    condition: above 1\n    annotations: {s: '{{ .Value }}'}", `annotations: s: {{ .Value }}: want value,`},
		{"series: a\n    condition: above 1\n    runbook: 'javascript:alert(1)'", `runbook: want a URL`},
		{"kind: absence", `window: want 1s to 24h`},
		{"kind: absence\n    window: 5m\n    condition: above 1", `condition: absence has none`},
		{"kind: forecast\n    series: a\n    window: 1h\n    condition: below 0", `ahead: want a duration`},
		{"kind: forecast\n    series: a\n    window: 1h\n    ahead: 1h\n    condition: equal to 0", `a forecast is about`},
		{"kind: anomaly\n    series: a\n    min_history: 25h", `min_history: want`},
		{"kind: expr", `r.yml:4: alert "x": expr: is missing`},
		{"expr: up == 0\n    series: a", `series: an expression names its series itself`},
		{"expr: up\n    condition: above 1", `condition: an expression holds it itself`},
		{"expr: up == 0\n    interval: 2h", `interval: want 1s to 1h`},
		{"expr: up == 0\n    labels: {severity: page}", `severity: want info, warning or critical, not "page"`},
		{"series: a\n    condition: above 1\n    kind: threshold\n    expr: up", `expr: only the kind expr has one`},
		{"series: a\n    condition: above 1\n    interval: 1m", `interval: only an expression has one`},
		{"kind: magic", `kind: want threshold,`},
		{"series: a\n    condition: above 1\n    ahead: 1h", `ahead: only a forecast has it`},
	} {
		_, err := ParseRules("r.yml", []byte("groups:\n- name: g\n  rules:\n  - alert: x\n    "+tt.rule+"\n"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s:\n got %v\nwant %s", tt.rule, err, tt.want)
		}
	}
	_, err := ParseRules("r.yml", []byte("groups:\n- name: g\n  rules:\n  - {alert: x, series: a, condition: above 1}\n  - {alert: x, series: a}\n- name: a/b\n"))
	for _, want := range []string{`r.yml:5: alert "x": alert: group "g" has this alert already`, `r.yml:5: alert "x": condition: is missing`, `r.yml:6: group: name: "a/b": want`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("all errors are named at once: got %v, want %s", err, want)
		}
	}
}

func TestHashIsOfWhatStateDependsOn(t *testing.T) {
	base := mustRules(t, `groups: [{name: g, rules: [{alert: x, series: a, condition: above 5}]}]`).Rules[0]
	for field, changes := range map[string]bool{"for: 1m": false, "keep_firing_for: 1m": false, "severity: info": false, "labels: {a: b}": false, "agents: '{a=\"b\"}'": false,
		"recovery: below 3": true, "minus: b": true, "divided_by: b": true} {
		other := mustRules(t, `groups: [{name: g, rules: [{alert: x, series: a, condition: above 5, `+field+`}]}]`).Rules[0]
		if (other.Hash() != base.Hash()) != changes {
			t.Errorf("%s: changes the hash: %v", field, !changes)
		}
	}
}

func TestTemplates(t *testing.T) {
	values := map[string]float64{"value": 93.456, "threshold": 90, "eta": 4000}
	labels := map[string]string{"hostname": "web-1", "bad": "a\x1b[31m\nb"}
	for in, want := range map[string]string{
		"plain":                "plain",
		"{{ value }}{{value}}": "93.4693.46",
		"{{ $value | percent }} on {{ $labels.hostname }}": "93.46% on web-1",
		"{{ value | ratio }}":                              "9346%",
		"{{ eta | duration }}":                             "1h6m",
		"{{ threshold | bytes }}":                          "90 B",
		"{{ eta | humanize }}":                             "4k",
		"{{ labels.none }}.":                               ".",
		"{{ labels.bad }}":                                 "a [31m b",
		"{{ forecast }}":                                   "?",
		"} }} {":                                           "} }} {",
	} {
		tpl, err := parseTemplate(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := tpl.write(values, labels); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{0: "0s", 0.25: "0.25s", 61: "1m1s", 90061: "1d1h", -60: "-1m", 1e300: "more than 100 years", 3600: "1h"} {
		if got := durationText(in); got != want {
			t.Errorf("%g seconds: got %s, want %s", in, got, want)
		}
	}
	if got := bytesText(1536 * 1024); got != "1.5 MiB" {
		t.Error(got)
	}
}

// TestP29HostileTemplates: none of these does anything but fail.
func TestP29HostileTemplates(t *testing.T) {
	for _, in := range []string{
		"{{", "{{ value", "{{}}", "{{ }}", "{{ . }}", "{{ .Value }}", "{{ $ }}", "{{ $$value }}", "{{ value | }}", "{{ value | | percent }}",
		"{{ value | exec }}", "{{ value | percent | bytes }}", "{{ range . }}{{ end }}", "{{ template \"x\" }}", "{{ define \"x\" }}{{ end }}",
		"{{ call .Exec }}", "{{ printf \"%999999999d\" value }}", "{{ query \"up\" }}", "{{ labels }}", "{{ labels. }}", "{{ labels.a.b }}",
		"{{ labels[\"a\"] }}", "{{ labels.a | safeHtml }}", "{{ labels.__proto__.x }}", "{{ externalURL }}", "{{ with value }}{{ end }}",
		"{{ if true }}{{ end }}", "{{ block \"x\" . }}", "{{ break }}", "{{ {{ value }} }}", "{{ value }} {{", "{{- value -}}", "{{/* c */}}",
		"{{ value\n | exec }}", "{{ VALUE }}", "{{ html . }}", "{{ js . }}", "{{ index . 1000000 }}", "{{ len . }}", "{{ slice . 0 1 }}",
		"\x00", "\xff", "a\x1b[2J", strings.Repeat("a", maxTextBytes+1), strings.Repeat("{{value}}", 200), strings.Repeat("{{", 1000),
		"{{ labels." + strings.Repeat("a", 3000) + "-b }}", "{{ `value` }}", "{{ value; value }}", "${jndi:ldap://x}{{ x }}",
	} {
		if _, err := parseTemplate(in); err == nil || sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%.60q: got %v, want an error that is Invalid", in, err)
		} else if len(err.Error()) > 300 {
			t.Errorf("%.60q: an error of %d bytes", in, len(err.Error()))
		}
	}
	// What it is given may be hostile as well.
	tpl, err := parseTemplate(strings.Repeat("{{ labels.a }}", maxPlaceholders))
	if err != nil {
		t.Fatal(err)
	}
	if got := tpl.write(nil, map[string]string{"a": strings.Repeat("{{ value }}\xff", 5000)}); len(got) > maxAnnotation+8 || !strings.HasPrefix(got, "{{ value }}\ufffd{{") {
		t.Errorf("%d bytes, %.40q", len(got), got)
	}
}
