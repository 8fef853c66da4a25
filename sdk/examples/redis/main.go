// Command redis asks a Redis server INFO (https://redis.io/docs/latest/commands/info/),
// in plain text over TCP, under the names of redis_exporter. One without a password can
// be asked without.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel"
)

var _ = sentinel.Collect(collect)

func main() {}

// metric is what a line of INFO becomes.
type metric struct {
	name    string
	counter bool
}

var metrics = map[string]metric{
	"uptime_in_seconds":          {"redis_uptime_in_seconds", false},
	"connected_clients":          {"redis_connected_clients", false},
	"blocked_clients":            {"redis_blocked_clients", false},
	"used_memory":                {"redis_memory_used_bytes", false},
	"maxmemory":                  {"redis_memory_max_bytes", false},
	"total_connections_received": {"redis_connections_received_total", true},
	"total_commands_processed":   {"redis_commands_processed_total", true},
	"keyspace_hits":              {"redis_keyspace_hits_total", true},
	"keyspace_misses":            {"redis_keyspace_misses_total", true},
	"evicted_keys":               {"redis_evicted_keys_total", true},
	"expired_keys":               {"redis_expired_keys_total", true},
	"connected_slaves":           {"redis_connected_slaves", false},
}

func collect(c *sentinel.Collection) error {
	request := "PING\r\nINFO\r\nQUIT\r\n" // after QUIT the server closes the connection
	if password := sentinel.Config("password"); password != "" {
		if strings.ContainsAny(password, "\r\n \"") {
			return errors.New("the password holds a blank, a quote or the end of a line")
		}
		request = "AUTH " + password + "\r\n" + request
	}
	answer, err := sentinel.TCPRequest(sentinel.Config("address"), request)
	if err != nil {
		return err
	}
	return say(c, string(answer))
}

// say says what an answer of the server holds.
func say(c *sentinel.Collection, answer string) error {
	pong := false
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "-") {
			return errors.New("redis: " + line[1:])
		}
		if line == "+PONG" {
			pong = true
		}
		key, value, _ := strings.Cut(line, ":")
		m, wanted := metrics[key]
		x, err := strconv.ParseFloat(value, 64)
		switch {
		case !wanted || err != nil:
		case m.counter:
			c.Counter(m.name, x)
		default:
			c.Gauge(m.name, x)
		}
	}
	if !pong {
		return errors.New("this is no Redis server: it did not answer PING")
	}
	c.Gauge("redis_up", 1)
	return nil
}
