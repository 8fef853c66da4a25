package main

import (
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel/sentineltest"
)

const page = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630947 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"

func TestCollect(t *testing.T) {
	h := sentineltest.Host{Config: map[string]string{"url": "http://x/status"}, HTTP: map[string]sentineltest.Response{"http://x/status": {Status: 200, Body: page}}}
	got, err := h.Collect()
	if err != nil || got["nginx_connections_active"] != 291 || got["nginx_http_requests_total"] != 31070465 || got["nginx_connections_waiting"] != 106 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCollectFails(t *testing.T) {
	for answer, want := range map[sentineltest.Response]string{{Status: 404, Body: page}: "status 404", {Status: 200, Body: "<html>"}: "no page"} {
		h := sentineltest.Host{Config: map[string]string{"url": "u"}, HTTP: map[string]sentineltest.Response{"u": answer}}
		if _, err := h.Collect(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", answer, err, want)
		}
	}
	if _, err := (&sentineltest.Host{}).Collect(); err == nil || !strings.Contains(err.Error(), "not granted") {
		t.Errorf("without a host to ask: %v", err)
	}
}
