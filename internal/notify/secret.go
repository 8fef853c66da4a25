package notify

import (
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Hidden stands for a secret where one would be shown.
const Hidden = "<secret>"

// Secret is a text that is never shown: not by fmt, slog, JSON or YAML.
type Secret struct {
	// text is a pointer because fmt does not ask the methods of what lies in unexported
	// fields; it shows where a pointer points only at the top.
	text *string
}

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns a stand-in, or nothing where there is nothing to hide.
func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return Hidden
}

func (s Secret) GoString() string             { return s.String() }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the secret itself.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// ReadSecret returns the value, or what stands in the file without the space around
// it. The file is read each time, so that a secret can be changed under a running
// process. key names the configuration's key in errors.
func ReadSecret(key string, value Secret, file string) (Secret, error) {
	if file == "" {
		return value, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return Secret{}, sentinel.Errorf(sentinel.Unavailable, "%s_file: %w", key, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return Secret{}, sentinel.Errorf(sentinel.Unavailable, "%s_file: %w", key, err)
	}
	text := strings.TrimSpace(string(raw))
	if text == "" || strings.ContainsAny(text, "\r\n\x00") {
		return Secret{}, Permanent(sentinel.Errorf(sentinel.Invalid, "%s_file: %s must hold one line", key, file))
	}
	return NewSecret(text), nil
}

// CheckSecret says whether exactly one of a value and a file is set, or none where
// the secret is not required.
func CheckSecret(key string, value Secret, file string, required bool) error {
	switch {
	case value.Reveal() != "" && file != "":
		return sentinel.Errorf(sentinel.Invalid, "%s: stands beside %s_file; write one of them", key, key)
	case value.Reveal() == "" && file == "" && required:
		return sentinel.Errorf(sentinel.Invalid, "%s: is missing; write it or %s_file", key, key)
	case strings.ContainsAny(value.Reveal(), "\r\n\x00"):
		return sentinel.Errorf(sentinel.Invalid, "%s: must be one line", key)
	}
	return nil
}
