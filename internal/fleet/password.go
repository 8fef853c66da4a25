package fleet

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The second recommended option of RFC 9106, section 4: for where memory is dear.
const (
	argonMemory = 64 << 10 // KiB
	argonPasses = 3
	argonLanes  = 4
	saltBytes   = 16
	tagBytes    = 32

	minPassword = 12
	maxPassword = 1024 // bytes; hashing takes as long for any length

	hashesAtOnce = 2 // 64 MiB each
	hashesWait   = 16
	hashPatience = 5 * time.Second
)

// hasher hashes passwords, few at a time: those who want more wait, and those who
// would wait too long are sent away, so that logins cannot exhaust the memory.
type hasher struct {
	slots chan struct{}
	queue chan struct{}
	dummy string // what the password of a user who does not exist is compared with
}

func newHasher() *hasher {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return &hasher{slots: make(chan struct{}, hashesAtOnce), queue: make(chan struct{}, hashesAtOnce+hashesWait),
		dummy: encodePHC(salt, make([]byte, tagBytes))}
}

// checkPassword wants length alone: rules about characters make passwords worse
// (NIST SP 800-63B, section 5.1.1.2).
func checkPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return sentinel.Errorf(sentinel.Invalid, "password: want at least %d characters, any you like", minPassword)
	case len(password) > maxPassword || !utf8.ValidString(password):
		return sentinel.Errorf(sentinel.Invalid, "password: want up to %d bytes of UTF-8", maxPassword)
	}
	return nil
}

// hash returns the password's hash in PHC form.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	tag, err := h.derive(ctx, password, salt, argonPasses, argonMemory, argonLanes, tagBytes)
	if err != nil {
		return "", err
	}
	return encodePHC(salt, tag), nil
}

// verify reports whether the password has this hash. An empty hash is nobody's: the
// same work is done for it.
func (h *hasher) verify(ctx context.Context, phc, password string) (bool, error) {
	nobody := phc == ""
	if nobody {
		phc = h.dummy
	}
	p, err := parsePHC(phc)
	if err != nil {
		return false, fmt.Errorf("read a password's hash: %w", err)
	}
	if len(password) > maxPassword {
		password = password[:maxPassword] + "x" // of no password that can be set
	}
	tag, err := h.derive(ctx, password, p.salt, p.passes, p.memory, p.lanes, len(p.tag))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(tag, p.tag) == 1 && !nobody, nil
}

func (h *hasher) derive(ctx context.Context, password string, salt []byte, passes, memory uint32, lanes uint8, n int) ([]byte, error) {
	busy := sentinel.Errorf(sentinel.ResourceExhausted, "too many are signing in at this moment; try again in a few seconds")
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return nil, busy
	}
	ctx, cancel := context.WithTimeout(ctx, hashPatience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, busy
	}
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(n)), nil
}

// phc is what a hash in PHC form says.
type phc struct {
	passes, memory uint32
	lanes          uint8
	salt, tag      []byte
}

func encodePHC(salt, tag []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes,
		enc.EncodeToString(salt), enc.EncodeToString(tag))
}

// parsePHC reads $argon2id$v=19$m=…,t=…,p=…$salt$tag. Other parameters than today's
// are taken within bounds, so that they may change without locking anybody out.
func parsePHC(text string) (phc, error) {
	var p phc
	var version int
	bad := sentinel.Errorf(sentinel.Internal, "not an Argon2id hash in PHC form")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, bad
	}
	if n, err := fmt.Sscanf(parts[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return p, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); n != 3 || err != nil {
		return p, bad
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.tag, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.tag) < 16 || len(p.tag) > 64 ||
		p.passes < 1 || p.passes > 16 || p.lanes < 1 || p.lanes > 16 || p.memory < 8<<10 || p.memory > 256<<10 {
		return p, bad
	}
	return p, nil
}
