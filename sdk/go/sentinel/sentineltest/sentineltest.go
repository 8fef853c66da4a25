// Package sentineltest runs plugins natively, in their own tests, with a host that
// answers as the test says.
package sentineltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel"
)

// Host is what a plugin finds: nothing but what the test puts here.
type Host struct {
	Config map[string]string
	// HTTP, TCP and Files are answers by URL, by host:port and by path. What is not
	// there is not granted.
	HTTP  map[string]Response
	TCP   map[string]func(request string) string
	Files map[string]string
	// Folders are granted: what is not among Files there is missing, not forbidden.
	Folders []string
	Time    time.Time

	Logs []string // what the plugin said
}

// Response is an answer over HTTP.
type Response struct {
	Status int
	Body   string
}

// Samples are what a plugin said, by series in Prometheus' notation.
type Samples map[string]float64

// Collect runs the plugin once. The error is what it returned.
func (h *Host) Collect() (Samples, error) {
	out := Samples{}
	var left []byte
	failure := ""
	give := func(status int, b string) int64 {
		left = []byte(b)
		return int64(status)<<32 | int64(len(b))
	}
	no := func(why string) int64 {
		left = []byte(why)
		return -2
	}
	code := sentinel.With(&sentinel.Host{
		Emit: func(b []byte) int32 { return out.take(b) },
		Log: func(level sentinel.Level, text string) {
			h.Logs = append(h.Logs, text)
			if level >= sentinel.LevelError && failure == "" {
				failure = text
			}
		},
		Now: func() int64 { return h.Time.UnixNano() },
		Config: func(key string) int32 {
			v, is := h.Config[key]
			if !is {
				return -1
			}
			return int32(give(0, v))
		},
		Take: func(to []byte) int32 {
			n := copy(to, left)
			left = left[n:]
			return int32(n)
		},
		HTTPGet: func(url string) int64 {
			if r, is := h.HTTP[url]; is {
				return give(r.Status, r.Body)
			}
			return no("http_get: " + url + " was not granted")
		},
		TCPRequest: func(address, request string) int64 {
			if f, is := h.TCP[address]; is {
				return give(0, f(request))
			}
			return no("tcp_request: " + address + " was not granted")
		},
		ReadFile: func(path string) int64 {
			if text, is := h.Files[path]; is {
				return give(0, text)
			}
			for _, dir := range h.Folders {
				if strings.HasPrefix(path, dir+"/") {
					left = []byte(path + ": there is no such file")
					return -3
				}
			}
			return no("read_file: " + path + " was not granted")
		},
	})
	if code != 0 {
		return nil, errors.New(failure)
	}
	return out, nil
}

// take reads an emission.
func (s Samples) take(b []byte) int32 {
	u16, u64 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint64
	n := int32(0)
	for len(b) > 0 {
		kind, labels, name := b[0], int(b[1]), int(u16(b[2:]))
		sizes := b[6 : 6+4*labels]
		b = b[6+4*labels:]
		cut := func(n int) string {
			t := string(b[:n])
			b = b[n:]
			return t
		}
		metric := cut(name)
		pairs := make([]string, 0, labels)
		for i := 0; i < len(sizes); i += 4 {
			l := cut(int(u16(sizes[i:])))
			pairs = append(pairs, l+`="`+cut(int(u16(sizes[i+2:])))+`"`)
		}
		if kind == 3 {
			buckets := int(u16(b))
			s[series(metric+"_sum", pairs)] = math.Float64frombits(u64(b[2:]))
			s[series(metric+"_count", pairs)] = float64(u64(b[10:]))
			s[series(metric+"_bucket", append(pairs, `le="+Inf"`))] = float64(u64(b[10:]))
			b = b[18:]
			for range buckets {
				le := fmt.Sprintf(`le="%g"`, math.Float64frombits(u64(b)))
				s[series(metric+"_bucket", append(pairs, le))] = float64(u64(b[8:]))
				b = b[16:]
			}
			n += int32(buckets) + 3
			continue
		}
		s[series(metric, pairs)] = math.Float64frombits(u64(b))
		b = b[8:]
		n++
	}
	return n
}

func series(name string, labels []string) string {
	if len(labels) == 0 {
		return name
	}
	labels = append([]string(nil), labels...)
	sort.Strings(labels)
	return name + "{" + strings.Join(labels, ",") + "}"
}
