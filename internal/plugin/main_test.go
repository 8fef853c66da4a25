package plugin_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sentinelgo/sentinel/internal/plugin/host"
)

var update = flag.Bool("update", false, "write golden files")

// TestMain is a plugin's process too, as the agent's program is.
func TestMain(m *testing.M) {
	if code, is := host.Run(context.Background()); is {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}
