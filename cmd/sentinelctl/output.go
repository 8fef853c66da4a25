package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is what a command shows, row by row.
type table struct {
	columns []string
	rows    [][]string
	empty   string // said instead of a table without rows
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table, or value as JSON, as --output asks.
func (c *ctl) print(w io.Writer, t table, value any) error {
	switch c.output {
	case "json":
		return writeJSON(w, value)
	case "csv":
		out := csv.NewWriter(w)
		if err := out.Write(t.columns); err != nil {
			return fmt.Errorf("write csv: %w", err)
		}
		if err := out.WriteAll(t.rows); err != nil {
			return fmt.Errorf("write csv: %w", err)
		}
		return nil
	}
	if len(t.rows) == 0 && t.empty != "" {
		_, err := fmt.Fprintln(w, t.empty)
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, strings.ToUpper(strings.Join(t.columns, "\t")))
	for _, r := range t.rows {
		fmt.Fprintln(out, strings.Join(r, "\t"))
	}
	return out.Flush()
}

func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
