package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const maxData = 1 << 20 // what the server takes

func (c *ctl) apiCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "api METHOD PATH", Short: "Ask the REST interface for anything (it is described at /docs)", Args: command.Args(2, 2, "a method and a path, such as GET /agents"),
		Example:           "  sentinelctl api GET /agents?limit=5\n  sentinelctl api PATCH /agents/ag-abcdefghijklmnop --data '{\"disabled\":true}'\n  sentinelctl api POST /users --data @user.json",
		ValidArgsFunction: cobra.FixedCompletions([]string{"GET", "POST", "PATCH", "DELETE"}, cobra.ShellCompDirectiveNoFileComp)}
	data := cmd.Flags().String("data", "", "the body in JSON, @FILE to read it from a file, or - from standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := readData(cmd.InOrStdin(), *data)
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		raw, err := client.Raw(cmd.Context(), args[0], args[1], body)
		if err != nil || len(raw) == 0 {
			return err
		}
		if !json.Valid(raw) {
			_, err := cmd.OutOrStdout().Write(raw)
			return err
		}
		return c.write(cmd.OutOrStdout(), json.RawMessage(raw))
	}
	return cmd
}

func readData(in io.Reader, data string) ([]byte, error) {
	raw := []byte(data)
	if file, ok := strings.CutPrefix(data, "@"); ok {
		f, err := os.Open(file)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.NotFound, "--data: %w", err)
		}
		defer f.Close()
		in, data = f, "-"
	}
	if data == "-" {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(in, maxData+1)); err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
	}
	if len(raw) > maxData || (len(raw) > 0 && !json.Valid(raw)) {
		return nil, sentinel.Errorf(sentinel.Invalid, "--data: want JSON of up to %d bytes", maxData)
	}
	return raw, nil
}
