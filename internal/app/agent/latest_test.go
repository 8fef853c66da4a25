package agent

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func snapshot(group string, layout sentinel.Layout, values ...float64) collector.Snapshot {
	definition := wire.EncodeLayout(layout)
	return collector.Snapshot{Group: group, Layout: definition, Cycle: sentinel.Cycle{Layout: wire.HashLayout(definition), Time: time.Unix(1, 0), Values: values}}
}

func (l *latest) text() string {
	var b strings.Builder
	l.writePrometheus(&b)
	return b.String()
}

// The last values look as Prometheus wants them: one TYPE line per name, all series
// of a name together, labels escaped, nothing for what is absent.
func TestHostMetricsFormat(t *testing.T) {
	var l latest
	if got := l.text(); got != "" {
		t.Errorf("before the first cycle there is %q", got)
	}
	l.keep(snapshot("10s", sentinel.Layout{
		sentinel.NewSeries("a", sentinel.Gauge, ""),
		sentinel.NewSeries("a_b", sentinel.Counter, "bytes"),
		sentinel.NewSeries("a", sentinel.Gauge, "", "x", `C:\ "1"`, "y", "n\nl"),
		sentinel.NewSeries("gone", sentinel.Gauge, ""),
		sentinel.NewSeries("nan", sentinel.Gauge, ""),
		sentinel.NewSeries("up", sentinel.Gauge, ""),
		sentinel.NewSeries("down", sentinel.Gauge, ""),
	}, 1, 1234567890123, 0.1, sentinel.Absent(), math.NaN(), math.Inf(1), math.Inf(-1)))
	want := `# TYPE a gauge
a 1
a{x="C:\\ \"1\"",y="n\nl"} 0.1
# TYPE a_b counter
a_b 1.234567890123e+12
`
	if got := l.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Groups of collectors have layouts of their own; one that changes takes the place
// of its former self and of no other.
func TestHostMetricsOfSeveralGroups(t *testing.T) {
	var l latest
	fast := sentinel.Layout{sentinel.NewSeries("fast", sentinel.Gauge, "", "n", "1")}
	slow := sentinel.Layout{sentinel.NewSeries("slow", sentinel.Gauge, "")}
	values := []float64{3}
	l.keep(snapshot("1m", slow, values...))
	l.keep(snapshot("10s", fast, 1))
	l.keep(snapshot("10s", fast, 2))
	values[0] = 99 // the collectors write their next cycle
	if got, want := l.text(), "# TYPE fast gauge\nfast{n=\"1\"} 2\n# TYPE slow gauge\nslow 3\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	more := append(sentinel.Layout{}, fast...)
	more = append(more, sentinel.NewSeries("fast", sentinel.Gauge, "", "n", "2"))
	l.keep(snapshot("10s", more, sentinel.Absent(), 5))
	if got, want := l.text(), "# TYPE fast gauge\nfast{n=\"2\"} 5\n# TYPE slow gauge\nslow 3\n"; got != want {
		t.Errorf("after a series came:\n%s\nwant\n%s", got, want)
	}
	l.keep(snapshot(collector.ScrapeGroup+"x", fast, 7)) // has a place of its own
	for i := range 100 {                                 // a command that says something else each time
		l.keep(snapshot("exec/x", sentinel.Layout{sentinel.NewSeries("x", sentinel.Gauge, "", "n", time.Duration(i).String())}, 1))
	}
	if got := l.text(); len(l.cycles) != 4 || strings.Contains(got, " 7") || strings.Count(got, "x{") != 1 || !strings.Contains(got, "slow 3\n") {
		t.Errorf("%d layouts are kept:\n%s", len(l.cycles), got)
	}
}
