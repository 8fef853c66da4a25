package plugin

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Frames between the agent and a plugin's process: the length of what follows in 32
// bits, least significant byte first, then a type, then the content. What stands in
// the types is JSON, after which Answer has the emission, as it is.
const (
	frameOrder   = 'O' // agent: Order
	frameReady   = 'R' // process: Ready
	frameFailed  = 'F' // process: failure; it ends
	frameCollect = 'C' // agent: nothing
	frameAnswer  = 'A' // process: length of JSON in 32 bits, Answer, emission
)

// maxFrame bounds a frame from either side.
const maxFrame = MaxEmission + 256<<10

// WriteFrame writes one frame in one write.
func WriteFrame(w io.Writer, kind byte, content ...[]byte) error {
	n := 1
	for _, c := range content {
		n += len(c)
	}
	if n > maxFrame {
		return sentinel.Errorf(sentinel.Internal, "a frame of %d bytes, want at most %d", n, maxFrame)
	}
	b := make([]byte, 0, 4+n)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(n)), kind)
	for _, c := range content {
		b = append(b, c...)
	}
	_, err := w.Write(b)
	return err
}

// ReadFrame reads one frame into buf, where that has room. No more is taken than
// comes, whatever the length says.
func ReadFrame(r io.Reader, buf []byte) (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:4])
	if n < 1 || n > maxFrame {
		return 0, nil, sentinel.Errorf(sentinel.Invalid, "a frame of %d bytes, want 1 to %d", n, maxFrame)
	}
	left := int(n) - 1
	content = buf[:0]
	for left > 0 {
		step := min(left, 64<<10)
		at := len(content)
		content = append(content, make([]byte, step)...)
		if _, err := io.ReadFull(r, content[at:]); err != nil {
			return 0, nil, fmt.Errorf("read frame: %w", err)
		}
		left -= step
	}
	return head[4], content, nil
}

// Order is the first frame to a process: what it is to do.
type Order struct {
	Path string `json:"path"` // of the bundle
	// Digest is what the bundle must be; empty for any.
	Digest string `json:"digest,omitempty"`
	// Trusted are the keys of which one must have signed it, unless Unsigned.
	Trusted  []string `json:"trusted,omitempty"`
	Unsigned bool     `json:"unsigned,omitempty"`
	// Cache is the folder for compiled modules; empty for none.
	Cache string `json:"cache,omitempty"`
	// Run says to go on to running it, with Granted and Settings. Else the process ends
	// when it has compiled the module, of which nothing has run.
	Run      bool              `json:"run,omitempty"`
	Granted  Capabilities      `json:"granted"`
	Settings map[string]string `json:"settings,omitempty"`
	// DataMiB and CPUSeconds are what the process bounds itself to by the system.
	DataMiB    uint64 `json:"data_mib"`
	CPUSeconds uint64 `json:"cpu_seconds"`
}

// Ready is a process's answer to an Order that it has carried out.
type Ready struct {
	Manifest Manifest `json:"manifest"`
	Digest   string   `json:"digest"`
	// Signer is the key that signed the bundle; empty where nobody did.
	Signer string `json:"signer,omitempty"`
}

// failure is a process's answer to an Order that it could not carry out.
type failure struct {
	Code sentinel.Code `json:"code"`
	Text string        `json:"text"`
}

// Answer is what became of one collection. Its samples follow it.
type Answer struct {
	// Error is why there are none: what the plugin answered, or what it ran into.
	Error string `json:"error,omitempty"`
	// Broken says that the plugin did not end by itself, and that its process ends.
	Broken bool  `json:"broken,omitempty"`
	Nanos  int64 `json:"nanos"`
	Memory int64 `json:"memory"` // bytes of the plugin's memory
	Logs   []Log `json:"logs,omitempty"`
	// LogsLeft counts what was said beyond what is kept, RecordsLeft emissions that
	// were refused.
	LogsLeft    int `json:"logs_left,omitempty"`
	RecordsLeft int `json:"records_left,omitempty"`
}

// Log is one line that a plugin said, at a level of slog.
type Log struct {
	Level int    `json:"level"`
	Text  string `json:"text"`
}

// Conversation is a process's side of the frames.
type Conversation struct {
	In  io.Reader
	Out io.Writer
}

// Order waits for the agent's order.
func (c Conversation) Order() (o Order, err error) {
	kind, raw, err := ReadFrame(c.In, nil)
	if err == nil && kind != frameOrder {
		err = sentinel.Errorf(sentinel.Invalid, "a frame %q before any order", kind)
	}
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	return o, err
}

// Ready says that the order is carried out.
func (c Conversation) Ready(r Ready) error { return c.json(frameReady, r) }

// Failed says that it is not, and why.
func (c Conversation) Failed(err error) error {
	text := err.Error()
	return c.json(frameFailed, failure{sentinel.CodeOf(err), text[:min(len(text), 2000)]})
}

func (c Conversation) json(kind byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return WriteFrame(c.Out, kind, raw)
}

// Next waits for the agent to want a collection. It returns io.EOF where there will be
// none.
func (c Conversation) Next() error {
	kind, _, err := ReadFrame(c.In, nil)
	if err == nil && kind != frameCollect {
		err = sentinel.Errorf(sentinel.Invalid, "a frame %q where a collection was to begin", kind)
	}
	return err
}

// Answer says what became of a collection.
func (c Conversation) Answer(a Answer, emission []byte) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return WriteFrame(c.Out, frameAnswer, binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw, emission)
}

// DecodeAnswer reads the content of an answer. The emission is a part of raw.
func DecodeAnswer(raw []byte) (a Answer, emission []byte, err error) {
	if len(raw) < 4 || uint64(binary.LittleEndian.Uint32(raw)) > uint64(len(raw)-4) {
		return a, nil, sentinel.Errorf(sentinel.Invalid, "an answer that is cut short")
	}
	n := int(binary.LittleEndian.Uint32(raw))
	if err := json.Unmarshal(raw[4:4+n], &a); err != nil {
		return a, nil, sentinel.Errorf(sentinel.Invalid, "an answer that is not understood: %w", err)
	}
	return a, raw[4+n:], nil
}
