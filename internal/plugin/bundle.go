// Package plugin is how an agent runs collectors that others have written, as
// WebAssembly, without trusting them: what a bundle is and who signed it, what a
// module may look like, what it may do, and the processes in which they run.
//
// The agent itself never reads a bundle. Each plugin has a process of its own: the
// agent's program, started anew, which reads, verifies, checks, compiles and runs it
// (package host). The agent speaks with that process over two pipes, bounds what the
// system gives it, and kills it where it does not answer in time.
package plugin

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Bundle is a plugin as it travels: one file, so that nothing can come between its
// parts. The file is, with lengths in 32 bits, the least significant byte first:
//
//	"SENTPLG1"  length  manifest.yml  length  module  public key (32)  signature (64)
//
// A bundle that nobody signed has zeros for key and signature.
type Bundle struct {
	RawManifest []byte
	Module      []byte // WebAssembly
	Key         ed25519.PublicKey
	Signature   []byte
}

const (
	bundleMagic = "SENTPLG1"
	// MaxModule bounds a module, in bytes.
	MaxModule = 16 << 20
	// MaxBundle bounds a bundle, in bytes.
	MaxBundle = MaxModule + maxManifest + 256
	// Suffix is what the names of bundles' files end with.
	Suffix = ".plugin"
	// signDomain keeps a signature of anything else from being one of a bundle.
	signDomain = "sentinel plugin bundle v1\x00"
)

// Append appends the bundle's bytes to dst.
func (b Bundle) Append(dst []byte) []byte {
	dst = append(dst, bundleMagic...)
	for _, part := range [][]byte{b.RawManifest, b.Module} {
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(part))), part...)
	}
	tail := make([]byte, ed25519.PublicKeySize+ed25519.SignatureSize)
	copy(tail, b.Key)
	copy(tail[ed25519.PublicKeySize:], b.Signature)
	return append(dst, tail...)
}

// DecodeBundle reads a bundle whose parts remain slices of raw. Nothing of it is
// verified. Errors are Invalid.
func DecodeBundle(raw []byte) (b Bundle, err error) {
	bad := sentinel.Errorf(sentinel.Invalid, "this is no plugin bundle, or a damaged one")
	rest, ok := bytes.CutPrefix(raw, []byte(bundleMagic))
	if !ok || len(raw) > MaxBundle {
		return b, bad
	}
	for _, part := range []struct {
		to   *[]byte
		most uint32
	}{{&b.RawManifest, maxManifest}, {&b.Module, MaxModule}} {
		if len(rest) < 4 {
			return Bundle{}, bad
		}
		n := binary.LittleEndian.Uint32(rest)
		if rest = rest[4:]; n > part.most || uint64(n) > uint64(len(rest)) {
			return Bundle{}, bad
		}
		*part.to, rest = rest[:n:n], rest[n:]
	}
	if len(rest) != ed25519.PublicKeySize+ed25519.SignatureSize {
		return Bundle{}, bad
	}
	b.Key, b.Signature = ed25519.PublicKey(rest[:ed25519.PublicKeySize]), rest[ed25519.PublicKeySize:]
	if !slices.ContainsFunc(rest, func(c byte) bool { return c != 0 }) {
		b.Key, b.Signature = nil, nil
	}
	return b, nil
}

// ReadBundle reads the bundle in a file, which must be a regular one.
func ReadBundle(path string) (Bundle, error) {
	about, err := os.Lstat(path)
	if err == nil && !about.Mode().IsRegular() {
		err = sentinel.Errorf(sentinel.Invalid, "%s: is no regular file", path)
	}
	if err != nil {
		return Bundle{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Bundle{}, err
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(about, now) {
		return Bundle{}, sentinel.Errorf(sentinel.Invalid, "%s: was exchanged while it was opened", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, MaxBundle+1))
	if err != nil {
		return Bundle{}, err
	}
	return DecodeBundle(raw)
}

// Digest names the content: SHA-256 over what is signed.
func (b Bundle) Digest() string {
	sum := sha256.Sum256(b.message())
	return hex.EncodeToString(sum[:])
}

// message is what is signed: the domain and the digests of both parts.
func (b Bundle) message() []byte {
	manifest, module := sha256.Sum256(b.RawManifest), sha256.Sum256(b.Module)
	return append(append([]byte(signDomain), manifest[:]...), module[:]...)
}

// Sign signs the bundle in place of whoever did before.
func (b *Bundle) Sign(key ed25519.PrivateKey) {
	b.Key, b.Signature = key.Public().(ed25519.PublicKey), ed25519.Sign(key, b.message())
}

// Signed reports whether there is a signature, good or not.
func (b Bundle) Signed() bool { return b.Key != nil }

// Verify returns an Unauthenticated error unless one of the trusted keys signed the
// bundle.
func (b Bundle) Verify(trusted []PublicKey) error {
	if !b.Signed() {
		return sentinel.Errorf(sentinel.Unauthenticated, "nobody has signed the bundle; `sentinelctl plugin sign` does")
	}
	if !slices.Contains(trusted, PublicKey(b.Key)) {
		return sentinel.Errorf(sentinel.Unauthenticated, "the bundle is signed with %s, which is not trusted here: agent.plugins.trusted_keys names those that are", PublicKey(b.Key))
	}
	if !ed25519.Verify(b.Key, b.message(), b.Signature) {
		return sentinel.Errorf(sentinel.Unauthenticated, "the bundle's signature does not fit its content")
	}
	return nil
}

// PublicKey verifies bundles. As a text it is ed25519: and its 32 bytes in base64.
type PublicKey [ed25519.PublicKeySize]byte

const keyPrefix = "ed25519:"

// String returns the key as it stands in configurations.
func (k PublicKey) String() string { return keyPrefix + base64.StdEncoding.EncodeToString(k[:]) }

// ParsePublicKey reads what String writes, and nothing else.
func ParsePublicKey(s string) (k PublicKey, err error) {
	text, is := strings.CutPrefix(s, keyPrefix)
	raw, derr := base64.StdEncoding.Strict().DecodeString(text)
	if !is || derr != nil || len(raw) != len(k) {
		return k, sentinel.Errorf(sentinel.Invalid, "is %.60q, want ed25519: and a key, as `sentinelctl plugin keygen` prints it", s)
	}
	return PublicKey(raw), nil
}

// EncodePrivateKey returns a signing key as a PEM block of PKCS #8.
func EncodePrivateKey(key ed25519.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), err
}

// DecodePrivateKey reads what EncodePrivateKey returned. Errors never show the input.
func DecodePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "PRIVATE KEY" {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, is := key.(ed25519.PrivateKey); is {
				return key, nil
			}
		}
	}
	return nil, sentinel.Errorf(sentinel.Invalid, "this is no signing key; `sentinelctl plugin keygen` makes one")
}
