package exposition_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// read returns every sample as kind, series and value.
func read(in *exposition.Parser) (list []string, err error) {
	for {
		s, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, s.Kind.String()+" "+seriesOf(s).String()+" "+format(s.Value)+unit(s))
	}
}

func seriesOf(s exposition.Sample) sentinel.Series {
	var labels []string
	for _, l := range s.Labels(nil) {
		labels = append(labels, l.Name, l.Value)
	}
	return sentinel.NewSeries(string(s.Name), s.Kind, s.Unit, labels...)
}

func unit(s exposition.Sample) string {
	if s.Unit == "" {
		return ""
	}
	return " in " + s.Unit
}

func format(v float64) string {
	var b strings.Builder
	w := exposition.NewWriter(&b)
	w.Write(sentinel.NewSeries("x", sentinel.Gauge, ""), v)
	_ = w.Flush()
	_, text, _ := strings.Cut(strings.TrimSpace(b.String()), "\nx ")
	return text
}

// The vectors follow the examples and the rules of both specifications.
func TestReads(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		open       bool
		want       []string
	}{
		{"nothing", "", false, nil},
		{"blank lines and comments", "\n  \t\n# a comment\n#\n#HELP\n# HELP a b\\n c\n", false, nil},
		{"the documentation's example", `# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320

# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
`, false, []string{
			`counter http_requests_total{code="200",method="post"} 1027`,
			`counter http_requests_total{code="400",method="post"} 3`,
			`gauge msdos_file_access_time_seconds{error="Cannot find file:\n\"FILE.TXT\"",path="C:\\DIR\\FILE.TXT"} 1.458255915e+09`,
			`gauge metric_without_timestamp_and_labels 12.47`,
			`gauge something_weird{problem="division by zero"} +Inf`,
			`counter http_request_duration_seconds_bucket{le="0.05"} 24054`,
			`counter http_request_duration_seconds_bucket{le="+Inf"} 144320`,
			`counter http_request_duration_seconds_sum 53423`,
			`counter http_request_duration_seconds_count 144320`,
			`gauge rpc_duration_seconds{quantile="0.01"} 3102`,
			`counter rpc_duration_seconds_sum 1.7560473e+07`,
			`counter rpc_duration_seconds_count 2693`,
		}},
		{"OpenMetrics", `# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.
acme_http_router_request_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_http_router_request_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_http_router_request_seconds_created{path="/api/v1",method="GET"} 1605281325.0
# TYPE foo counter
foo_total 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o",a="} #"} 0.67
foo_created 1.5
# TYPE bar histogram
bar_bucket{le="0.01"} 0
bar_bucket{le="+Inf"} 17 # {} 9.8 1520879607.789
bar_gcount 4
# TYPE q gaugehistogram
q_bucket{le="1"} 4
q_gsum 3.2
q_gcount 4
# TYPE build info
build_info{entity="controller",name="pretty name"} 1
# TYPE feature stateset
feature{feature="a"} 1
# EOF
`, true, []string{
			`counter acme_http_router_request_seconds_sum{method="GET",path="/api/v1"} 9036.32 in seconds`,
			`counter acme_http_router_request_seconds_count{method="GET",path="/api/v1"} 807283`,
			`gauge acme_http_router_request_seconds_created{method="GET",path="/api/v1"} 1.605281325e+09 in seconds`,
			`counter foo_total 17`,
			`gauge foo_created 1.5`,
			`counter bar_bucket{le="0.01"} 0`,
			`counter bar_bucket{le="+Inf"} 17`,
			`gauge bar_gcount 4`,
			`gauge q_bucket{le="1"} 4`,
			`gauge q_gsum 3.2`,
			`gauge q_gcount 4`,
			`gauge build_info{entity="controller",name="pretty name"} 1`,
			`gauge feature{feature="a"} 1`,
		}},
		{"EOF without LF", "a 1\n# EOF", true, []string{"gauge a 1"}},
		{"EOF is a comment elsewhere", "a 1\n# EOF\nb 2\n", false, []string{"gauge a 1", "gauge b 2"}},
		{"blanks and commas", "\t a\t{ x = \"1\" , y=\"2\", }\t 3 \r\nb {} 4\n", false, []string{`gauge a{x="1",y="2"} 3`, "gauge b 4"}},
		{"values", "a NaN\na nan\na Inf\na -inf\na +Inf\na -0\na 1e-3\na .5\na 5.\n", false, []string{
			"gauge a NaN", "gauge a NaN", "gauge a +Inf", "gauge a -Inf", "gauge a +Inf", "gauge a -0", "gauge a 0.001", "gauge a 0.5", "gauge a 5"}},
		{"kinds", "b_total 1\n# TYPE a counter\na 1\na_total 2\nab 3\n# TYPE c untyped\nc 4\nc_total 5\n# TYPE d_total gauge\nd_total 6\n# TYPE e unknown\ne 7\n", false, []string{
			"counter b_total 1", "counter a 1", "counter a_total 2", "gauge ab 3", "gauge c 4", "counter c_total 5", "gauge d_total 6", "gauge e 7"}},
		{"names in quotes", "# TYPE \"http.requests\" counter\n{\"http.requests\",\"pod.name\"=\"a\",\"b:c\"=\"d\"} 1\n{\"1ü \\\" x\"} 2\n{\"\"} 3\n", false, []string{
			`counter http_requests{b_c="d",pod_name="a"} 1`, "gauge _____x 2", "gauge _ 3"}},
		{"escapes", "a{b=\"\\x\\\\n\\n\\\"}\"} 1\n", false, []string{`gauge a{b="\\x\\n\n\"}"} 1`}},
		{"colons", "a:b:c 1\n", false, []string{"gauge a:b:c 1"}},
		{"empty label", "a{b=\"\"} 1\n", false, []string{`gauge a{b=""} 1`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text)), iotest.DataErrReader(strings.NewReader(tt.text))} {
				got, err := read(exposition.NewParser(r, tt.open, exposition.DefaultLimits()))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		open       bool
		want       string
	}{
		{"HTML", "<html>\n", false, `line 1: "<html>" is not a sample`},
		{"a word", "a 1\nb\n", false, `line 2: "b" is not a sample`},
		{"no value", "a{b=\"c\"}\n", false, `line 1: "" is not a value`},
		{"hexadecimal", "a 0x1p-2\n", false, `line 1: "0x1p-2" is not a value`},
		{"underscore", "a 1_000\n", false, `"1_000" is not a value`},
		{"too large", "a 1e999\n", false, `"1e999" is not a value`},
		{"time", "a 1 soon\n", false, `"soon" is not a time`},
		{"more", "a 1 2 3\n", false, `"3" stands after the value`},
		{"bad exemplar", "a 1 # {b=\"c\"\n", false, `stands after the value`},
		{"exemplar without a value", "a 1 # {}\n", false, `stands after the value`},
		{"no brace", "a{b=\"c\" 1\n", false, "line 1: the labels have no end"},
		{"no quote", "a{b=c} 1\n", false, "are not labels"},
		{"no comma", "a{b=\"c\" d=\"e\"} 1\n", false, "are not labels"},
		{"only a comma", "a{,} 1\n", false, "are not labels"},
		{"label's name", "a{1=\"c\"} 1\n", false, "are not labels"},
		{"label without value", "a{b} 1\n", false, "are not labels"},
		{"no name", "{b=\"c\"} 1\n", false, "has no name"},
		{"two names", "a{\"b\"} 1\n", false, "there are two names"},
		{"digit", "1a 1\n", false, "is not a sample"},
		{"type", "# TYPE a number\n", false, `line 1: type "number" is not known`},
		{"type without name", "# TYPE\n", false, "TYPE without a name"},
		{"cut off", "a 1\nb 12", false, "line 2: has no end"},
		{"no EOF", "a 1\n", true, "line 2: the end comes before # EOF"},
		{"cut off before EOF", "a 1\n# EO", true, "line 2: the end comes before # EOF"},
		{"after EOF", "a 1\n# EOF\nb 1\n", true, "line 3: there is more after # EOF"},
		{"part after EOF", "a 1\n# EOF\nb", true, "line 3: has no end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := exposition.NewParser(strings.NewReader(tt.text), tt.open, exposition.DefaultLimits())
			_, err := read(in)
			if sentinel.CodeOf(err) != sentinel.Invalid || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want %q", err, tt.want)
			}
			if _, again := in.Next(); again == nil || again.Error() != err.Error() {
				t.Errorf("afterwards it is %v", again)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	text := "a 1\nb 2\n"
	for _, tt := range []struct {
		lim  exposition.Limits
		want string
	}{
		{exposition.Limits{Bytes: 8, Line: 4}, ""},
		{exposition.Limits{Bytes: 7, Line: 4}, "there are more than 7 bytes"},
		{exposition.Limits{Bytes: 8, Line: 3}, "line 1: is longer than 3 bytes"},
	} {
		_, err := read(exposition.NewParser(strings.NewReader(text), false, tt.lim))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: error is %v, want %q", tt.lim, err, tt.want)
		}
	}
	// A line larger than the buffer, and one without an end.
	long := `a{b="` + strings.Repeat("x", 20_000) + `"} 1` + "\n"
	if got, err := read(exposition.NewParser(strings.NewReader(long+long), false, exposition.DefaultLimits())); err != nil || len(got) != 2 {
		t.Errorf("%d samples, %v", len(got), err)
	}
	if _, err := read(exposition.NewParser(endless{}, false, exposition.DefaultLimits())); err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") {
		t.Error(err)
	}
	if _, err := read(exposition.NewParser(iotest.ErrReader(io.ErrClosedPipe), false, exposition.DefaultLimits())); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{'x'}, len(b))), nil }

func TestWriterReportsTheFirstError(t *testing.T) {
	w := exposition.NewWriter(brokenWriter{})
	for range 1000 {
		w.Write(sentinel.NewSeries("a", sentinel.Gauge, ""), 1)
	}
	if err := w.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// What is read can be written, and is the same when it is read again.
func FuzzParser(f *testing.F) {
	f.Add([]byte("# TYPE a counter\na{b=\"c\\n\",d=\"\\\\\"} 1 2 # {} 3\n"), false)
	f.Add([]byte("{\"x.y\",z=\"\"} NaN\n# UNIT x s\n# EOF\n"), true)
	f.Add([]byte("a_bucket{le=\"+Inf\"} 0x1p-2"), false)
	f.Fuzz(func(t *testing.T, text []byte, open bool) {
		in := exposition.NewParser(bytes.NewReader(text), open, exposition.Limits{Bytes: 1 << 16, Line: 1 << 12})
		for {
			s, err := in.Next()
			if err != nil {
				return
			}
			if !bytes.Contains(text, s.Key) {
				t.Fatalf("key %q is not in the text", s.Key)
			}
			want := seriesOf(s)
			var b bytes.Buffer
			w := exposition.NewWriter(&b)
			w.Write(want, s.Value)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			again := exposition.NewParser(&b, false, exposition.DefaultLimits())
			got, err := again.Next()
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			if seriesOf(got).String() != want.String() || got.Kind != want.Kind || math.Float64bits(got.Value) != math.Float64bits(s.Value) && got.Value == got.Value {
				t.Fatalf("%v %v became %v %v", want, s.Value, seriesOf(got), got.Value)
			}
			if _, err := again.Next(); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
	})
}
