package plugin_test

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sentinelgo/sentinel/internal/plugin/host"
)

// TestMain is a plugin's process too, as the agent's program is.
func TestMain(m *testing.M) {
	if code, is := host.Run(context.Background()); is {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}
