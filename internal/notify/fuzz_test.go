package notify_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/notify/notifytest"
)

func FuzzParseMatchers(f *testing.F) {
	for _, s := range []string{`a="b",c=~"d.*"`, `{a!="x\"y"}`, "a=\xff", `a=~"("`, `,,`} {
		f.Add(s, "b")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		ms, err := notify.ParseMatchers(text)
		if err != nil {
			return
		}
		again, err := notify.ParseMatchers(ms.String())
		if err != nil || again.String() != ms.String() {
			t.Fatalf("%q became %q: %v", ms, again, err)
		}
		for _, m := range ms {
			set := map[string]string{m.Name: value}
			if ms.Matches(set) != again.Matches(set) {
				t.Fatalf("%q and %q differ for %q", text, again, value)
			}
		}
	})
}

func FuzzTimeInterval(f *testing.F) {
	f.Add("monday:friday", "1:-1", "may:august", "2026", "Europe/Berlin", int64(1_800_000_000))
	f.Fuzz(func(t *testing.T, weekday, day, month, year, place string, at int64) {
		var ti notify.TimeInterval
		var w notify.WeekdayRange
		var d notify.MonthdayRange
		var m notify.MonthRange
		var y notify.YearRange
		if len(place) > 64 || w.UnmarshalText([]byte(weekday)) != nil || d.UnmarshalText([]byte(day)) != nil || m.UnmarshalText([]byte(month)) != nil ||
			y.UnmarshalText([]byte(year)) != nil || ti.Location.UnmarshalText([]byte(place)) != nil {
			return
		}
		ti.Weekdays, ti.DaysOfMonth, ti.Months, ti.Years = []notify.WeekdayRange{w}, []notify.MonthdayRange{d}, []notify.MonthRange{m}, []notify.YearRange{y}
		ti.Contains(time.Unix(at, 0))
	})
}

func FuzzTexts(f *testing.F) {
	f.Add("{{ $labels.instance }}", "äöü", 7)
	f.Add("{{{{ $labels.x }}", "\xff\xfe\x00", 100)
	f.Fuzz(func(t *testing.T, custom, text string, limit int) {
		limit = 50 + (limit&0xffff+0x10000)%5000
		a := notifytest.Alert("h")
		a.Labels["instance"], a.Annotations["summary"] = text, text
		n := notifytest.Message(a)
		for _, s := range []string{n.Title(custom, limit), n.Text(limit, notify.Plain), notify.Truncate(text, limit), n.Expand(custom)} {
			if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
				t.Fatalf("not clean: %q", s)
			}
		}
		if s := n.Title(custom, limit); len(s) > limit || strings.ContainsAny(s, "\r\n") {
			t.Fatalf("title of %d bytes for %d: %q", len(s), limit, s)
		}
		if s := notify.Truncate(text, limit); len(s) > limit || (len(text) <= limit && utf8.ValidString(text) && !strings.Contains(text, "\x00") && s != text) {
			t.Fatalf("%q cut to %q", text, s)
		}
		if s := n.Text(limit, notify.Plain); len(s) > limit {
			t.Fatalf("text of %d bytes for %d", len(s), limit)
		}
	})
}

// TestP29CustomTextsAreHarmless tries what template languages would run.
func TestP29CustomTextsAreHarmless(t *testing.T) {
	n := notifytest.Message(notifytest.Hostile())
	attacks := []string{`{{ range $i := . }}x{{ end }}`, `{{ template "x" }}`, `{{ define "x" }}{{ template "x" }}{{ end }}`, `{{ printf "%1000000000d" 1 }}`, `{{ $labels.instance | html }}`,
		`{{ $labels }}`, `{{ . }}`, `{{ index . 0 }}`, `{{ call .X }}`, `{{ len "x" }}`, `{{ js "x" }}`, `{{ slice . 1 }}`, `{{ "x" }}`, `{{ 1 }}`, `{{ nil }}`, `{{ true }}`,
		`{{ if true }}x{{ end }}`, `{{ with . }}x{{ end }}`, `{{ block "x" . }}{{ end }}`, `{{ break }}`, `{{/* x */}}`, `{{- "x" -}}`, `{{ $labels.__proto__ }}`, `{{ $labels.a.b.c }}`,
		`{{ $labels.}}`, `{{ $ }}`, `{{}}`, `{{`, `}}`, `{{{{`, `{{ {{ $status }} }}`, `{{ $labels.instance }}{{`, `${7*7}`, `#{7*7}`, `<%= 7*7 %>`, `%s%n`, `{% for x in y %}`,
		`{{ $annotations.summary }}`, strings.Repeat(`{{ $annotations.summary }}`, 10_000), strings.Repeat(`{{`, 100_000), `{{ $status` + strings.Repeat(" ", 100_000) + `}}`}
	if len(attacks) < 40 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	for _, a := range attacks {
		began := time.Now()
		out := n.Expand(a)
		if len(out) > 33<<10 || strings.Contains(out, "49") || strings.Contains(out, "1000000000") && !strings.Contains(a, "printf") {
			t.Errorf("%.60q became %.100q (%d bytes)", a, out, len(out))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%.60q took %s", a, took)
		}
	}
	// What is put in is not looked at again.
	if got := n.Expand(`{{ $annotations.summary }}`); !strings.Contains(got, "{{ $labels.instance }}") {
		t.Errorf("expanded twice: %q", got)
	}
	if got, want := n.Expand("{{$status}} {{ $labels.alertname }} {{ $count }} {{ $receiver }} {{ $labels.no }}|"), "firing DiskFull 1 ops |"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
