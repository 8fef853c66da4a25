//go:build linux && bench

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// parse reads Prometheus' text format. Labels without a value are left out: to
// Prometheus they are not there.
func parse(text string) (map[string]sample, error) {
	out, kinds := make(map[string]sample), make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, is := strings.CutPrefix(line, "# TYPE "); is {
			name, kind, _ := strings.Cut(rest, " ")
			kinds[name] = kind
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if end < 0 || err != nil {
			return nil, fmt.Errorf("not a sample: %s", line)
		}
		name, rest, labelled := strings.Cut(line[:end], "{")
		var labels []string
		if labelled {
			if labels, err = parseLabels(rest); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
		}
		s := sentinel.NewSeries(name, sentinel.Gauge, "", labels...)
		out[s.String()] = sample{name, kinds[name], value}
	}
	return out, nil
}

// parseLabels reads `a="b",c="d"}`.
func parseLabels(s string) (labels []string, err error) {
	for s != "}" {
		name, rest, ok := strings.Cut(strings.TrimPrefix(s, ","), "=")
		if !ok {
			return nil, fmt.Errorf("labels end in %q", s)
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, err
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		if value != "" {
			labels = append(labels, name, value)
		}
		s = rest[len(quoted):]
	}
	return labels, nil
}
