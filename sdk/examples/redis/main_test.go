package main

import (
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel/sentineltest"
)

func TestCollect(t *testing.T) {
	asked := ""
	h := sentineltest.Host{Config: map[string]string{"address": "r:6379", "password": "pw"}, TCP: map[string]func(string) string{"r:6379": func(request string) string {
		asked = request
		return "+OK\r\n+PONG\r\n$99\r\n# Clients\r\nconnected_clients:7\r\nkeyspace_hits:12\r\nredis_version:8.0.1\r\n\r\n+OK\r\n"
	}}}
	got, err := h.Collect()
	if err != nil || got["redis_connected_clients"] != 7 || got["redis_keyspace_hits_total"] != 12 || got["redis_up"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if !strings.HasPrefix(asked, "AUTH pw\r\nPING\r\n") {
		t.Errorf("it asked %q", asked)
	}
}

func TestCollectFails(t *testing.T) {
	for answer, want := range map[string]string{"-NOAUTH Authentication required.\r\n": "NOAUTH", "HTTP/1.1 400\r\n": "no Redis"} {
		h := sentineltest.Host{Config: map[string]string{"address": "r"}, TCP: map[string]func(string) string{"r": func(string) string { return answer }}}
		if _, err := h.Collect(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}
