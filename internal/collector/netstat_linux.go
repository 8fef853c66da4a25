package collector

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// netstat reads the protocols' counters that node_exporter selects, from
// /proc/net/netstat, snmp and snmp6.
type netstat struct {
	file
	paths [2]string
	six   string
	key   []byte
}

func newNetStat(h host) (collector, error) {
	return &netstat{paths: [2]string{h.proc + "/net/netstat", h.proc + "/net/snmp"}, six: h.proc + "/net/snmp6"}, nil
}

func (c *netstat) collect(_ context.Context, p *page) error {
	for _, path := range c.paths {
		data, err := c.read(path)
		if err != nil {
			return err
		}
		c.tables(p, data)
	}
	data, err := c.read(c.six)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no IPv6
	}
	if err != nil {
		return err
	}
	c.lines(p, data)
	return nil
}

// tables reads pairs of lines: "Tcp: InSegs OutSegs" and "Tcp: 3 4".
func (c *netstat) tables(p *page, data []byte) {
	for len(data) > 0 {
		var names, values []byte
		names, data = cutLine(data)
		values, data = cutLine(data)
		proto, names := cutField(names)
		same, values := cutField(values)
		if len(proto) < 2 || proto[len(proto)-1] != ':' || !bytes.Equal(proto, same) {
			return
		}
		proto = proto[:len(proto)-1]
		for {
			var name, value []byte
			name, names = cutField(names)
			value, values = cutField(values)
			if len(name) == 0 || len(value) == 0 {
				break
			}
			c.set(p, proto, name, value)
		}
	}
}

// lines reads "Udp6InDatagrams 12": the protocol ends behind the first 6.
func (c *netstat) lines(p *page, data []byte) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		name, rest := cutField(line)
		value, _ := cutField(rest)
		six := bytes.IndexByte(name, '6')
		if six < 0 || len(value) == 0 {
			continue
		}
		c.set(p, name[:six+1], name[six+1:], value)
	}
}

func (c *netstat) set(p *page, proto, name, value []byte) {
	c.key = append(append(append(c.key[:0], proto...), '_'), name...)
	row, known := p.row(c.key)
	if !known {
		var cols []column
		if key := string(c.key); netstatWanted(key) {
			kind := sentinel.Counter
			if key == "Tcp_CurrEstab" || key == "Ip_Forwarding" {
				kind = sentinel.Gauge
			}
			cols = []column{{name: "node_netstat_" + key, kind: kind}}
		}
		row = p.define(string(c.key), cols)
	}
	if len(row) == 0 {
		return
	}
	if v, ok := parseInt(value); ok {
		p.set(row[0], float64(v))
	}
}

// netstatWanted is node_exporter's selection.
func netstatWanted(key string) bool {
	proto, name, _ := strings.Cut(key, "_")
	if name == "InErrors" || name == "InErrs" {
		return true
	}
	switch proto {
	case "Ip":
		return name == "Forwarding"
	case "Ip6", "IpExt":
		return name == "InOctets" || name == "OutOctets"
	case "Icmp", "Icmp6":
		return name == "InMsgs" || name == "OutMsgs"
	case "TcpExt":
		return strings.HasPrefix(name, "Listen") || strings.HasPrefix(name, "Syncookies") ||
			name == "TCPSynRetrans" || name == "TCPTimeouts" || name == "TCPOFOQueue" || name == "TCPRcvQDrop"
	case "Tcp":
		switch name {
		case "ActiveOpens", "InSegs", "OutSegs", "OutRsts", "PassiveOpens", "RetransSegs", "CurrEstab":
			return true
		}
	case "Udp", "Udp6":
		switch name {
		case "InDatagrams", "OutDatagrams", "NoPorts", "RcvbufErrors", "SndbufErrors":
			return true
		}
	}
	return false
}
