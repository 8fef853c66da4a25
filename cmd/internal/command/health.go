package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// HealthCommand returns the command that asks a running daemon on this host how it is,
// for containers, whose images hold nothing else that could ask. listen loads the
// configuration and returns where the daemon answers, and the name of that key.
func HealthCommand(listen func() (key, address string, err error)) *cobra.Command {
	c := &cobra.Command{Use: "health", Short: "Ask the running daemon whether it is well", Args: NoArgs,
		Long: `Ask the running daemon whether it is well. It prints what is not, and ends with exit
code 5 then.`}
	path := c.Flags().String("path", "/healthz", "what to ask: /healthz, or /readyz for whether it can do its work now")
	timeout := Duration(c, "timeout", 2*time.Second, "how long to wait for the answer")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, address, err := listen()
		if err != nil {
			return err
		}
		if address == "" {
			return sentinel.Errorf(sentinel.Invalid, "%s: is empty, so nobody can be asked", key)
		}
		ctx, cancel := context.WithTimeout(c.Context(), *timeout)
		defer cancel()
		return ask(ctx, "http://"+reachable(address)+"/"+strings.TrimPrefix(*path, "/"), c.OutOrStdout())
	}
	return c
}

func ask(ctx context.Context, url string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return sentinel.Errorf(sentinel.Invalid, "ask: %w", err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return sentinel.Errorf(sentinel.Unavailable, "nobody answers: %w", err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return sentinel.Errorf(sentinel.Unavailable, "the answer breaks off: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return sentinel.Errorf(sentinel.Unavailable, "%s: %s", res.Status, strings.TrimSpace(string(said)))
	}
	fmt.Fprintln(out, strings.TrimSpace(string(said)))
	return nil
}

// reachable returns how this host reaches an address that is listened on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
