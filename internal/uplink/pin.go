package uplink

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// verifyPinned takes a server whose chain holds the pinned certificate: it is the
// only authority, and the rest of the chain and the name are checked as usual.
func verifyPinned(pin string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		opts := x509.VerifyOptions{DNSName: state.ServerName, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
		found := false
		for i, cert := range state.PeerCertificates {
			if sign.Pin(cert) == pin {
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
