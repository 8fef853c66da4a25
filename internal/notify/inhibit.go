package notify

import (
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

type inhibitRule struct {
	name           string
	source, target Matchers
	equal          []string
}

func (c InhibitConfig) compile() (inhibitRule, error) {
	rule := inhibitRule{name: c.Name, equal: c.Equal}
	var err error
	if rule.source, err = parseMatcherList("source_matchers", c.SourceMatchers); err != nil {
		return rule, err
	}
	if rule.target, err = parseMatcherList("target_matchers", c.TargetMatchers); err != nil {
		return rule, err
	}
	switch {
	case len(rule.source) == 0:
		return rule, sentinel.Errorf(sentinel.Invalid, "source_matchers: is missing")
	case len(rule.target) == 0:
		return rule, sentinel.Errorf(sentinel.Invalid, "target_matchers: is missing")
	}
	for i, n := range c.Equal {
		if !labelName(n) {
			return rule, sentinel.Errorf(sentinel.Invalid, "equal[%d]: %.60q is no label name", i, n)
		}
	}
	return rule, nil
}

// equalKey is the same for labels that are equal in what the rule names. A label that
// is not there equals an empty one.
func (r inhibitRule) equalKey(labels map[string]string) string {
	var b strings.Builder
	for _, n := range r.equal {
		b.WriteString(strconv.Itoa(len(labels[n])))
		b.WriteByte(':')
		b.WriteString(labels[n])
	}
	return b.String()
}

// inhibitor knows the alerts that fire and can be a source. Not safe for concurrent use.
type inhibitor struct {
	rules   []inhibitRule
	sources []map[string]map[string]map[string]string // by rule, equal key and fingerprint: labels
}

func newInhibitor(rules []inhibitRule) *inhibitor {
	ih := &inhibitor{rules: rules, sources: make([]map[string]map[string]map[string]string, len(rules))}
	for i := range ih.sources {
		ih.sources[i] = map[string]map[string]map[string]string{}
	}
	return ih
}

// see takes note of how an alert stands.
func (ih *inhibitor) see(a Alert) {
	for i, r := range ih.rules {
		if !r.source.Matches(a.Labels) {
			continue
		}
		key := r.equalKey(a.Labels)
		if a.State == Firing {
			if ih.sources[i][key] == nil {
				ih.sources[i][key] = map[string]map[string]string{}
			}
			ih.sources[i][key][a.Fingerprint] = a.Labels
			continue
		}
		delete(ih.sources[i][key], a.Fingerprint)
		if len(ih.sources[i][key]) == 0 {
			delete(ih.sources[i], key)
		}
	}
}

// inhibits returns the fingerprint of an alert that holds back one with these labels,
// and the rule. An alert that matches both sides of a rule is held back by it only
// where the other does not: so no alert inhibits itself.
func (ih *inhibitor) inhibits(labels map[string]string) (by, rule string) {
	for i, r := range ih.rules {
		if !r.target.Matches(labels) {
			continue
		}
		both := r.source.Matches(labels)
		for fp, src := range ih.sources[i][r.equalKey(labels)] {
			if !both || !r.target.Matches(src) {
				return fp, r.label(i)
			}
		}
	}
	return "", ""
}

func (r inhibitRule) label(i int) string {
	if r.name != "" {
		return r.name
	}
	return "inhibit_rules[" + strconv.Itoa(i) + "]"
}
