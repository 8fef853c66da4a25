package sign

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const pinPrefix = "sha256:"

// Pin names a certificate by its public key: "sha256:" and the SHA-256, in hex, of
// its SubjectPublicKeyInfo (RFC 7469, section 2.4).
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// CheckPin returns an Invalid error where pin is none.
func CheckPin(pin string) error {
	raw, err := hex.DecodeString(strings.TrimPrefix(pin, pinPrefix))
	if err != nil || len(raw) != sha256.Size || !strings.HasPrefix(pin, pinPrefix) {
		return sentinel.Errorf(sentinel.Invalid, "ca_pin: want %s and 64 hexadecimal digits, as `sentinelctl enrolment create` shows it", pinPrefix)
	}
	return nil
}
