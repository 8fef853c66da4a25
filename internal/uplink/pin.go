package uplink

import (
	"crypto/sha256"
	"crypto/tls"
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

func checkPin(pin string) error {
	raw, err := hex.DecodeString(strings.TrimPrefix(pin, pinPrefix))
	if err != nil || len(raw) != sha256.Size || !strings.HasPrefix(pin, pinPrefix) {
		return sentinel.Errorf(sentinel.Invalid, "ca_pin: want %s and 64 hexadecimal digits, as `sentinelctl enrolment create` shows it", pinPrefix)
	}
	return nil
}

// verifyPinned takes a server whose chain holds the pinned certificate: it is the
// only authority, and the rest of the chain and the name are checked as usual.
func verifyPinned(pin string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		opts := x509.VerifyOptions{DNSName: state.ServerName, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
		found := false
		for i, cert := range state.PeerCertificates {
			if Pin(cert) == pin {
				opts.Roots.AddCert(cert)
				found = true
			} else if i > 0 {
				opts.Intermediates.AddCert(cert)
			}
		}
		if !found {
			return sentinel.Errorf(sentinel.Unauthenticated, "none of the server's certificates is the one that ca_pin names")
		}
		_, err := state.PeerCertificates[0].Verify(opts)
		return err
	}
}
