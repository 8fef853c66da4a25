package exposition

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Writer writes samples in the text format, version 0.0.4. It is for one goroutine.
type Writer struct {
	out  *bufio.Writer
	name string
	line []byte
}

// NewWriter writes to w. What is written is there after Flush.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(w, 4<<10)} }

// Write writes the value of a series, without a time. All series of one name must
// follow each other. An error is kept until Flush.
func (w *Writer) Write(s sentinel.Series, v float64) {
	if s.Name != w.name {
		w.name = s.Name
		_, _ = w.out.WriteString("# TYPE " + s.Name + " " + word(s.Kind) + "\n")
	}
	w.line = append(append(w.line[:0], s.String()...), ' ')
	_, _ = w.out.Write(append(strconv.AppendFloat(w.line, v, 'g', -1, 64), '\n'))
}

// word returns the kind as the format spells it.
func word(k sentinel.Kind) string {
	if k == sentinel.KindUnspecified {
		return "untyped"
	}
	return k.String()
}

// Flush writes what is left and returns the first error there was.
func (w *Writer) Flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}
