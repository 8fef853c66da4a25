package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Title returns the custom title, filled in, or one of the form
// "[FIRING:2] DiskFull (db1)": the group's labels, and in parentheses the others that
// all alerts share.
func (n *Notification) Title(custom string, limit int) string {
	if custom != "" {
		return oneLine(Truncate(n.Expand(custom), limit))
	}
	prefix := ""
	switch n.Reason {
	case ReasonTest:
		prefix = "[TEST]"
	case ReasonDigest:
		prefix = fmt.Sprintf("[FLAPPING:%d]", len(n.Alerts)+n.Truncated)
	case ReasonAcknowledged:
		prefix = "[ACKNOWLEDGED]"
	default:
		if n.State() == Firing {
			prefix = fmt.Sprintf("[FIRING:%d]", n.Count(Firing)+n.Truncated)
		} else {
			prefix = "[RESOLVED]"
		}
	}
	shared := n.CommonLabels()
	var group, others []string
	if name := shared["alertname"]; name != "" {
		group = append(group, name)
	}
	for _, k := range sortedKeys(shared) {
		switch _, grouped := n.GroupLabels[k]; {
		case k == "alertname":
		case grouped:
			group = append(group, shared[k])
		default:
			others = append(others, shared[k])
		}
	}
	title := prefix + " " + strings.Join(group, " ")
	if len(others) > 0 {
		title += " (" + strings.Join(others, " ") + ")"
	}
	return oneLine(Truncate(title, limit))
}

func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s))
}

// Headline says what an alert is about in one line: its summary, or its description,
// or its name, and where.
func (a Alert) Headline() string {
	for _, k := range []string{"summary", "description", "message"} {
		if v := a.Annotations[k]; v != "" {
			return oneLine(Truncate(v, 500))
		}
	}
	return oneLine(Truncate(a.Name()+" "+a.Labels["instance"], 500))
}

// Details returns what else is known of an alert: name and text, in a fixed order.
func (a Alert) Details() [][2]string {
	var out [][2]string
	if d := a.Annotations["description"]; d != "" && Truncate(d, 500) != a.Headline() {
		out = append(out, [2]string{"description", d})
	}
	var labels []string
	for _, k := range sortedKeys(a.Labels) {
		labels = append(labels, k+"="+Truncate(a.Labels[k], 300))
	}
	out = append(out, [2]string{"labels", oneLine(strings.Join(labels, " "))}, [2]string{"since", a.StartsAt.UTC().Format(time.RFC3339)})
	if a.State == Resolved {
		out = append(out, [2]string{"ended", a.EndsAt.UTC().Format(time.RFC3339)})
	}
	if a.Runbook != "" {
		out = append(out, [2]string{"runbook", a.Runbook})
	}
	if a.Source != "" {
		out = append(out, [2]string{"source", a.Source})
	}
	return out
}

// Text returns the message as plain text of at most limit bytes. What does not fit is
// counted at its end. escape is applied to every text that came from outside.
func (n *Notification) Text(limit int, escape func(string) string) string {
	var b strings.Builder
	if n.Note != "" {
		b.WriteString(escape(Truncate(n.Note, limit/4)) + "\n")
	}
	const reserve = 40 // for the last line
	for i, a := range n.Alerts {
		mark := "🔥"
		if a.State == Resolved {
			mark = "✅"
		}
		part := mark + " " + escape(a.Headline()) + "\n"
		for _, d := range a.Details() {
			text := Truncate(d[1], 1000)
			if !plainURL(text) {
				text = escape(text)
			}
			part += "   " + d[0] + ": " + text + "\n"
		}
		if b.Len()+len(part)+reserve > limit {
			if i == 0 { // at least something of the first one
				b.WriteString(TruncateAt(part, max(limit-b.Len()-reserve, 0)))
				i = 1
			}
			if more := len(n.Alerts) - i + n.Truncated; more > 0 {
				fmt.Fprintf(&b, "… and %d more\n", more)
			}
			return strings.TrimRight(b.String(), "\n")
		}
		b.WriteString(part)
	}
	if n.Truncated > 0 {
		fmt.Fprintf(&b, "… and %d more\n", n.Truncated)
	}
	return strings.TrimRight(b.String(), "\n")
}

// plainURL reports whether a text is a link that no markup reads as anything else: such
// a one has to stay as it is.
func plainURL(s string) bool {
	if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:/?#=%+,;", r) {
			return false
		}
	}
	return true
}

// TruncateAt cuts like Truncate, but at the end of a line if there is one, so that no
// markup is cut in two.
func TruncateAt(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := Truncate(s, limit)
	if i := strings.LastIndexByte(cut, '\n'); i > 0 {
		return cut[:i+1]
	}
	return ""
}

// Plain leaves a text as it is.
func Plain(s string) string { return s }

// Runes cuts a text to so many characters, for services that count those.
func Runes(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	r := []rune(s)
	return string(r[:limit-1]) + "…"
}

// Expand fills a custom text in: {{ $labels.host }} and {{ $annotations.summary }}
// stand for what all alerts share, {{ $status }}, {{ $count }} and {{ $receiver }} for
// the message. What is not known becomes nothing; what is put in is not looked at
// again. It takes one pass, and its result is bounded.
func (n *Notification) Expand(text string) string {
	const limit = 32 << 10
	labels, annotations := n.CommonLabels(), n.CommonAnnotations()
	var b strings.Builder
	for b.Len() < limit {
		before, rest, ok := strings.Cut(text, "{{")
		b.WriteString(before)
		if !ok {
			break
		}
		word, after, closed := strings.Cut(rest, "}}")
		if !closed {
			b.WriteString("{{" + rest)
			break
		}
		word, text = strings.TrimSpace(word), after
		if name, ok := strings.CutPrefix(word, "$labels."); ok {
			b.WriteString(labels[name])
		} else if name, ok := strings.CutPrefix(word, "$annotations."); ok {
			b.WriteString(annotations[name])
		}
		switch word {
		case "$status":
			b.WriteString(string(n.State()))
		case "$count":
			fmt.Fprint(&b, len(n.Alerts)+n.Truncated)
		case "$receiver":
			b.WriteString(n.Receiver)
		}
	}
	return Truncate(b.String(), limit)
}

// Severity returns the highest severity of the alerts: critical, error, warning or
// info, in PagerDuty's words. Unknown ones count as error.
func (n *Notification) Severity() string {
	order := []string{"info", "warning", "error", "critical"}
	rank := 0
	for _, a := range n.Alerts {
		r := 2
		switch strings.ToLower(a.Labels["severity"]) {
		case "critical", "page", "fatal", "emergency":
			r = 3
		case "warning", "warn", "ticket":
			r = 1
		case "info", "none", "notice", "debug":
			r = 0
		}
		rank = max(rank, r)
	}
	return order[rank]
}
