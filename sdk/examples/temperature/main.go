// Command temperature reads the kernel's thermal zones from their files.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/sdk/go/sentinel"
)

var _ = sentinel.Collect(collect)

func main() {}

const maxZones = 32

func collect(c *sentinel.Collection) error {
	dir := sentinel.Config("directory")
	for zone := range maxZones {
		path := dir + "/thermal_zone" + strconv.Itoa(zone)
		text, err := sentinel.ReadFile(path + "/temp")
		if errors.Is(err, sentinel.ErrForbidden) {
			return err
		}
		if err != nil {
			continue // there is no such zone, or it cannot be read now
		}
		milli, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		if err != nil {
			return errors.New(path + "/temp holds no number")
		}
		kind, err := sentinel.ReadFile(path + "/type")
		if err != nil {
			return err
		}
		c.Gauge("temperature_celsius", milli/1000, sentinel.L("zone", strconv.Itoa(zone)), sentinel.L("type", strings.TrimSpace(string(kind))))
	}
	return nil
}
