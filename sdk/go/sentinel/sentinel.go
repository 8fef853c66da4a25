// Package sentinel is what plugins of Sentinel's agents are written with. A plugin is a
// program in WebAssembly whose one function is called at each collection:
//
//	var _ = sentinel.Collect(collect)
//
//	func collect(c *sentinel.Collection) error {
//		c.Gauge("room_temperature_celsius", 21.5, sentinel.L("room", "kitchen"))
//		return nil
//	}
//
//	func main() {}
//
// It is built with plain Go (GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared), which
// `sentinelctl plugin build` does. Nothing that is kept in variables is lost between
// collections, unless the plugin breaks down and is started anew.
//
// Built for any other system the package has no host; package sentineltest gives it one,
// so that plugins are tested as any Go code is.
package sentinel

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// ABI is the version of the interface that this package speaks.
const ABI = 1

// Label is one name and value of a series.
type Label struct{ Name, Value string }

// L returns a label.
func L(name, value string) Label { return Label{name, value} }

// Registration says that there is a function that collects.
type Registration struct{}

// Collect makes f the function that collects. It is called once, as the value of a
// variable of the plugin: a plugin has no main that runs.
func Collect(f func(*Collection) error) Registration {
	collector = f
	return Registration{}
}

var collector func(*Collection) error

// Collection takes the samples of one collection. Names and labels are Prometheus'; the
// agent adds the label plugin. It is for one goroutine.
type Collection struct {
	buf []byte
	err error
}

const (
	kindGauge     = 1
	kindCounter   = 2
	kindHistogram = 3

	flushAt = 32 << 10 // bytes
	maxText = math.MaxUint16
)

// Gauge says a value that goes up and down.
func (c *Collection) Gauge(name string, v float64, labels ...Label) {
	c.head(kindGauge, name, labels)
	c.end(math.Float64bits(v))
}

// Counter says a value that only rises, and starts again at zero.
func (c *Collection) Counter(name string, v float64, labels ...Label) {
	c.head(kindCounter, name, labels)
	c.end(math.Float64bits(v))
}

// Bucket is how many observations were at most an upper bound, those of the buckets
// before it included.
type Bucket struct {
	Bound float64
	Count uint64
}

// Histogram says a distribution: its buckets by ascending bounds, the sum of all that was
// observed, and how many times.
func (c *Collection) Histogram(name string, buckets []Bucket, sum float64, count uint64, labels ...Label) {
	c.head(kindHistogram, name, labels)
	c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(buckets)))
	c.buf = binary.LittleEndian.AppendUint64(c.buf, math.Float64bits(sum))
	c.buf = binary.LittleEndian.AppendUint64(c.buf, count)
	for _, b := range buckets {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, math.Float64bits(b.Bound))
		c.buf = binary.LittleEndian.AppendUint64(c.buf, b.Count)
	}
	c.full()
}

func (c *Collection) head(kind byte, name string, labels []Label) {
	name = cut(name)
	c.buf = append(c.buf, kind, byte(len(labels)))
	c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(name)))
	c.buf = binary.LittleEndian.AppendUint16(c.buf, 0) // the unit follows from the name
	for _, l := range labels {
		c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(cut(l.Name))))
		c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(cut(l.Value))))
	}
	c.buf = append(c.buf, name...)
	for _, l := range labels {
		c.buf = append(append(c.buf, cut(l.Name)...), cut(l.Value)...)
	}
}

func cut(s string) string { return s[:min(len(s), maxText)] }

func (c *Collection) end(v uint64) {
	c.buf = binary.LittleEndian.AppendUint64(c.buf, v)
	c.full()
}

func (c *Collection) full() {
	if len(c.buf) >= flushAt {
		c.flush()
	}
}

func (c *Collection) flush() {
	if len(c.buf) == 0 {
		return
	}
	if n := hostEmit(c.buf); n < 0 && c.err == nil {
		c.err = errorOf("emit", int64(n))
	}
	c.buf = c.buf[:0]
}

// collectOnce is one collection. It returns what the host wants: 0 where all is well.
func collectOnce() int32 {
	c := &kept
	c.buf, c.err = c.buf[:0], nil
	if collector == nil {
		Log(LevelError, "the plugin has not called sentinel.Collect")
		return 1
	}
	err := collector(c)
	c.flush()
	if err == nil {
		err = c.err
	}
	if err != nil {
		Log(LevelError, err.Error())
		return 1
	}
	return 0
}

var kept Collection // its buffer is used again

// Level is how much a line of the log matters, as slog has it.
type Level int32

// The levels.
const (
	LevelDebug Level = -4
	LevelInfo  Level = 0
	LevelWarn  Level = 4
	LevelError Level = 8
)

// Log puts a line into the agent's log. The agent keeps the first 50 of a collection, 512
// bytes of each.
func Log(level Level, text string) { hostLog(int32(level), text) }

// Now returns the time by the host's clock.
func Now() time.Time { return time.Unix(0, hostNow()) }

// Config returns the value of a setting that the manifest names; empty for any other.
func Config(key string) string {
	n := hostConfig(key)
	if n < 0 {
		return ""
	}
	return string(take(int(n)))
}

// Errors of what a plugin asks of its host. Use errors.Is.
var (
	// ErrForbidden says that the plugin was not granted it.
	ErrForbidden = errors.New("not granted")
	// ErrTooMuch says that there was more than the host gives: a megabyte of a file or
	// an answer, max_series series.
	ErrTooMuch = errors.New("too much")
)

// hostError is a failure that the host explains.
type hostError struct {
	text string
	is   error
}

func (e *hostError) Error() string { return e.text }
func (e *hostError) Unwrap() error { return e.is }

func errorOf(what string, code int64) error {
	switch code {
	case -2:
		return &hostError{what + ": not granted", ErrForbidden}
	case -4:
		return &hostError{what + ": too much", ErrTooMuch}
	}
	return errors.New(what + ": the host does not take the arguments")
}

// result returns what a function of the host left, and its status.
func result(what string, r int64) (status int, body []byte, err error) {
	if r >= 0 {
		return int(r >> 32), take(int(r & math.MaxUint32)), nil
	}
	err = errorOf(what, r)
	if why := take(2048); len(why) > 0 {
		err = &hostError{string(why), errors.Unwrap(err)}
	}
	return 0, nil, err
}

// take returns up to n bytes of what the host has for the plugin.
func take(n int) []byte {
	b := make([]byte, n)
	if n == 0 {
		return b
	}
	return b[:max(hostTake(b), 0)]
}

// HTTPGet asks a URL and returns the status of the answer and its body, of at most a
// megabyte. It needs the capability http for the URL's host, and for those of redirects.
func HTTPGet(url string) (status int, body []byte, err error) {
	return result("http_get", hostHTTPGet(url))
}

// TCPRequest connects to host:port, sends the request and returns what comes back until
// the other side closes the connection. It needs the capability tcp.
func TCPRequest(address, request string) ([]byte, error) {
	_, answer, err := result("tcp_request", hostTCPRequest(address, request))
	return answer, err
}

// ReadFile returns what a file holds, at most a megabyte. It needs the capability files.
func ReadFile(path string) ([]byte, error) {
	_, content, err := result("read_file", hostReadFile(path))
	return content, err
}
