package main

import (
	"errors"
	"testing"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel"
	"github.com/sentinelgo/sentinel/sdk/go/sentinel/sentineltest"
)

func TestCollect(t *testing.T) {
	h := sentineltest.Host{Config: map[string]string{"directory": "/t"}, Folders: []string{"/t"}, Files: map[string]string{
		"/t/thermal_zone0/temp": "45500\n", "/t/thermal_zone0/type": "x86_pkg_temp\n", "/t/thermal_zone2/temp": "-1000\n", "/t/thermal_zone2/type": "acpitz\n",
	}}
	got, err := h.Collect()
	if err != nil || len(got) != 2 || got[`temperature_celsius{type="x86_pkg_temp",zone="0"}`] != 45.5 || got[`temperature_celsius{type="acpitz",zone="2"}`] != -1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCollectFails(t *testing.T) {
	h := sentineltest.Host{Config: map[string]string{"directory": "/t"}}
	if _, err := h.Collect(); err == nil {
		t.Error("what is not granted was passed over")
	}
	h.Files = map[string]string{"/t/thermal_zone0/temp": "hot"}
	if _, err := h.Collect(); err == nil || errors.Is(err, sentinel.ErrForbidden) {
		t.Errorf("no number: %v", err)
	}
}
