package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/sentinelgo/sentinel/internal/config"
)

// table is what a command shows, row by row. A cell is a string, a whole number, a
// bool, a float64 or *float64, a time.Time, an ago or a label set; how it is
// written depends on who reads it.
type table struct {
	columns []string
	rows    [][]any
	narrow  int    // columns that a table shows, and -o wide all; 0: all
	empty   string // said to people instead of a table without rows
}

func (t *table) add(cells ...any) { t.rows = append(t.rows, cells) }

// ago is a time that people see as how long it is past.
type ago struct{ time.Time }

// labelSet is written as name=value, separated by commas and sorted; people see
// the first labelWidth characters.
type labelSet map[string]string

const labelWidth = 60

// print writes the table, or value as JSON or YAML, as --output asks. Tables are for
// people: times are local, numbers rounded, long labels cut but for -o wide. CSV,
// JSON and YAML are for programs: times are RFC 3339 in UTC, numbers exact.
func (c *ctl) print(w io.Writer, t table, value any) error {
	switch c.output {
	case "json", "yaml":
		return c.write(w, value)
	case "csv":
		out := csv.NewWriter(w)
		if err := out.Write(t.columns); err != nil {
			return fmt.Errorf("write csv: %w", err)
		}
		if err := out.WriteAll(t.cells(exact)); err != nil {
			return fmt.Errorf("write csv: %w", err)
		}
		return nil
	}
	if len(t.rows) == 0 && t.empty != "" {
		_, err := fmt.Fprintln(w, t.empty)
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shown, write := len(t.columns), readable
	if c.output == "wide" {
		write = uncut
	} else if t.narrow > 0 {
		shown = t.narrow
	}
	fmt.Fprintln(out, strings.ToUpper(strings.Join(t.columns[:shown], "\t")))
	for _, r := range t.cells(write) {
		fmt.Fprintln(out, strings.Join(r[:shown], "\t"))
	}
	return out.Flush()
}

func (t *table) cells(write func(any) string) [][]string {
	out := make([][]string, 0, len(t.rows))
	for _, r := range t.rows {
		row := make([]string, 0, len(r))
		for _, cell := range r {
			row = append(row, write(cell))
		}
		out = append(out, row)
	}
	return out
}

// exact writes a cell for a program; what is not known is empty.
func exact(cell any) string {
	switch v := cell.(type) {
	case float64:
		if size := math.Abs(v); size == 0 || size >= 1e-6 && size < 1e21 { // as JSON has it
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *float64:
		if v == nil {
			return ""
		}
		return exact(*v)
	case ago:
		return exact(v.Time)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339Nano)
	case labelSet:
		return labelText(v)
	}
	return fmt.Sprint(cell)
}

// readable writes a cell for a person; what is not known is a dash. Hosts choose
// some of the texts: control characters, which could command a terminal, are
// shown and not sent.
func readable(cell any) string {
	switch v := cell.(type) {
	case float64:
		return figure(v)
	case *float64:
		if v == nil {
			return "-"
		}
		return figure(*v)
	case ago:
		if v.IsZero() {
			return "-"
		}
		return time.Since(v.Time).Round(time.Second).String() + " ago"
	case time.Time:
		return moment(v)
	case labelSet:
		return cut(printable(labelText(v)), labelWidth)
	}
	return printable(fmt.Sprint(cell))
}

// uncut is readable with whole labels.
func uncut(cell any) string {
	if v, ok := cell.(labelSet); ok {
		return printable(labelText(v))
	}
	return readable(cell)
}

// figure rounds a number to what a person reads, and writes it without an exponent
// where that is of a bearable length.
func figure(v float64) string {
	switch size := math.Abs(v); {
	case size < 1e15 && v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 1 && size < 1e15:
		return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0"), ".")
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}

func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func cut(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

func labelText(labels map[string]string) string {
	var list []string
	for _, name := range sortedNames(labels) {
		list = append(list, name+"="+labels[name])
	}
	return strings.Join(list, ",")
}

// programs reports whether the output is for programs.
func (c *ctl) programs() bool { return c.output != "table" && c.output != "wide" }

// write writes a value as YAML where that is asked for, else as JSON.
func (c *ctl) write(w io.Writer, value any) error {
	if c.output != "yaml" {
		return writeJSON(w, value)
	}
	raw, err := json.Marshal(value)
	if err == nil {
		raw, err = config.YAML(raw)
	}
	if err == nil {
		_, err = w.Write(raw)
	}
	if err != nil {
		return fmt.Errorf("write yaml: %w", err)
	}
	return nil
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
