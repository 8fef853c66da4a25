package uplink_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/devca"
)

// expired returns a certificate of the same authority that is out of date.
func expired(t *testing.T, from devca.Files) devca.Files {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(from.CA, filepath.Join(filepath.Dir(from.CA), "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.LoadX509KeyPair(from.Cert, from.Key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	key := server.PrivateKey.(*ecdsa.PrivateKey)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	out := devca.Files{CA: from.CA, Cert: filepath.Join(t.TempDir(), "expired.crt"), Key: from.Key}
	if err := os.WriteFile(out.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
