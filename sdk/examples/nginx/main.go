// Command nginx reads what nginx says at stub_status
// (https://nginx.org/en/docs/http/ngx_http_stub_status_module.html), under the names of
// nginx-prometheus-exporter.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel"
)

var _ = sentinel.Collect(collect)

func main() {}

func collect(c *sentinel.Collection) error {
	status, body, err := sentinel.HTTPGet(sentinel.Config("url"))
	if err != nil {
		c.Gauge("nginx_up", 0)
		return err
	}
	if status != 200 {
		return errors.New("nginx answered with status " + strconv.Itoa(status))
	}
	v, err := parse(string(body))
	if err != nil {
		return err
	}
	c.Gauge("nginx_up", 1)
	c.Gauge("nginx_connections_active", v[0])
	c.Counter("nginx_connections_accepted", v[1])
	c.Counter("nginx_connections_handled", v[2])
	c.Counter("nginx_http_requests_total", v[3])
	c.Gauge("nginx_connections_reading", v[4])
	c.Gauge("nginx_connections_writing", v[5])
	c.Gauge("nginx_connections_waiting", v[6])
	return nil
}

// parse returns the seven numbers of the page, in its order.
func parse(page string) ([7]float64, error) {
	var v [7]float64
	n := 0
	for _, word := range strings.Fields(page) {
		x, err := strconv.ParseFloat(word, 64)
		if err != nil {
			continue
		}
		if n == len(v) {
			n++
			break
		}
		v[n] = x
		n++
	}
	if n != len(v) {
		return v, errors.New("this is no page of stub_status")
	}
	return v, nil
}
