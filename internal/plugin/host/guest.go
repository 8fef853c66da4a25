package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/sentinelgo/sentinel/internal/guard"
	"github.com/sentinelgo/sentinel/internal/plugin"
)

// What the host's functions answer where they do not do what they are asked.
const (
	badArgument = -1 // memory that is not the plugin's, or what makes no sense
	forbidden   = -2 // it was not granted, or this is not the time
	failed      = -3 // the text of the reason can be taken
	tooMuch     = -4
)

const (
	maxLogs    = 50
	maxLogLine = 512      // bytes
	maxResult  = 1 << 20  // bytes of what a file or a host says
	maxRequest = 16 << 10 // bytes of what is asked
)

// guest is what the host knows of its plugin while that runs: what it may do, and what
// it has said in this collection.
type guest struct {
	granted  plugin.Capabilities
	settings map[string]string
	series   int // it may say
	client   *http.Client
	dialer   *net.Dialer

	collecting bool
	deadline   time.Time
	emission   []byte
	said       int // series of the emission
	answer     plugin.Answer
	result     []byte // what it can take
	lastError  string // of what it said at the level of errors
	out, err   lines
}

func newGuest(m plugin.Manifest, o Options, g guard.Guard) *guest {
	u := &guest{granted: o.Granted, settings: o.Settings, series: m.MaxSeries}
	u.dialer = &net.Dialer{Control: g.Control}
	u.client = u.newClient()
	u.out.say = func(line string) { u.log(slog.LevelInfo, line) }
	u.err.say = func(line string) { u.log(slog.LevelError, line) }
	return u
}

func (u *guest) begin() {
	u.collecting = true
	u.emission, u.said, u.answer, u.result, u.lastError = u.emission[:0], 0, plugin.Answer{}, nil, ""
}

func (u *guest) end() plugin.Answer {
	u.collecting = false
	u.out.flush()
	u.err.flush()
	return u.answer
}

// log keeps a line for the agent's log.
func (u *guest) log(level slog.Level, text string) {
	text = strings.ToValidUTF8(text[:min(len(text), maxLogLine)], "?")
	if level >= slog.LevelError {
		if u.lastError == "" || !strings.HasPrefix(u.lastError, "panic: ") { // what follows a panic is where it was
			u.lastError = text
		}
	}
	if len(u.answer.Logs) == maxLogs {
		u.answer.LogsLeft++
		return
	}
	u.answer.Logs = append(u.answer.Logs, plugin.Log{Level: int(level), Text: text})
}

// complaint says why a plugin that answered code says it did not do well.
func (u *guest) complaint(code int32) string {
	if u.lastError != "" {
		return u.lastError
	}
	return fmt.Sprintf("%s returned %d", plugin.ExportCollect, code)
}

// misery says what a plugin ran into.
func (u *guest) misery(err error) string {
	u.out.flush()
	u.err.flush()
	var exit *sys.ExitError
	switch {
	case u.lastError != "":
		return u.lastError
	case errors.As(err, &exit):
		return fmt.Sprintf("it ended itself with code %d", exit.ExitCode())
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ToValidUTF8(text[:min(len(text), maxLogLine)], "?")
}

func (u *guest) stdout() io.Writer { return &u.out }
func (u *guest) stderr() io.Writer { return &u.err }

// lines says what is written to it line by line, each up to the length of a log's.
type lines struct {
	say  func(string)
	part []byte
}

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, end := bytes.Cut(b, []byte("\n"))
		l.part = append(l.part, line[:min(len(line), maxLogLine-len(l.part))]...)
		if !end {
			return n, nil
		}
		l.flush()
		b = rest
	}
}

func (l *lines) flush() {
	if len(l.part) > 0 {
		l.say(string(l.part))
		l.part = l.part[:0]
	}
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// link makes the functions of the host known that this plugin is granted. Those that it
// is not granted are not there.
func (u *guest) link(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(plugin.HostModule)
	add := func(name string, f api.GoModuleFunc, result api.ValueType, params ...api.ValueType) {
		var results []api.ValueType
		if result != 0 {
			results = []api.ValueType{result}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(name)
	}
	add("emit", u.emit, i32, i32, i32)
	add("log", u.say, 0, i32, i32, i32)
	add("now", func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = uint64(time.Now().UnixNano()) }, i64)
	add("config", u.config, i32, i32, i32)
	add("take", u.take, i32, i32, i32)
	if len(u.granted.HTTP) > 0 {
		add("http_get", u.httpGet, i64, i32, i32)
	}
	if len(u.granted.TCP) > 0 {
		add("tcp_request", u.tcpRequest, i64, i32, i32, i32, i32)
	}
	if len(u.granted.Files) > 0 {
		add("read_file", u.readFile, i64, i32, i32)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// bytesAt returns the plugin's memory at a pointer and a length; it is valid until the
// plugin runs on.
func bytesAt(m api.Module, ptr, size uint64) ([]byte, bool) {
	memory := m.Memory()
	if memory == nil {
		return nil, false
	}
	return memory.Read(uint32(ptr), uint32(size))
}

func answer(stack []uint64, v int32) { stack[0] = api.EncodeI32(v) }

// emit(pointer, length) takes records and answers how many series they are.
func (u *guest) emit(_ context.Context, m api.Module, stack []uint64) {
	raw, ok := bytesAt(m, stack[0], stack[1])
	switch {
	case !u.collecting:
		answer(stack, forbidden)
		return
	case !ok:
		u.answer.RecordsLeft++
		answer(stack, badArgument)
		return
	}
	n, err := plugin.CheckEmission(raw)
	switch {
	case err != nil:
		u.answer.RecordsLeft++
		answer(stack, badArgument)
	case u.said+n > u.series || len(u.emission)+len(raw) > plugin.MaxEmission:
		u.answer.RecordsLeft++
		answer(stack, tooMuch)
	default:
		u.emission = append(u.emission, raw...)
		u.said += n
		answer(stack, int32(n))
	}
}

// say is log(level, pointer, length); levels are slog's.
func (u *guest) say(_ context.Context, m api.Module, stack []uint64) {
	size := min(uint32(stack[2]), maxLogLine)
	if raw, ok := bytesAt(m, stack[1], uint64(size)); ok {
		u.log(slog.Level(min(max(api.DecodeI32(stack[0]), -4), 8)), string(raw))
	}
}

// config(pointer, length) looks a setting up; its value can be taken.
func (u *guest) config(_ context.Context, m api.Module, stack []uint64) {
	key, ok := bytesAt(m, stack[0], stack[1])
	value, known := u.settings[string(key)]
	if !ok || !known {
		answer(stack, badArgument)
		return
	}
	u.result = []byte(value)
	answer(stack, int32(len(value)))
}

// take(pointer, length) copies the next bytes of the last result and answers how many.
func (u *guest) take(_ context.Context, m api.Module, stack []uint64) {
	to, ok := bytesAt(m, stack[0], stack[1])
	if !ok {
		answer(stack, badArgument)
		return
	}
	n := copy(to, u.result)
	u.result = u.result[n:]
	answer(stack, int32(n))
}
