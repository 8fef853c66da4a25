// Package devca makes a private certificate authority and a server certificate
// for the all-in-one program and for tests. Production brings its own.
package devca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Files are the paths of what Ensure made, all PEM.
type Files struct{ CA, Cert, Key string }

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 397 * 24 * time.Hour
	renewAhead = 30 * 24 * time.Hour
)

// Ensure makes an authority (ca.crt, ca.key) in dir where there is none, and a
// server certificate (server.crt, server.key) for this host's name, localhost,
// the loopback addresses and the given names. The server certificate is made anew
// when it has expired nearly or lacks a name; the authority stays, so that who trusts
// it once may go on. The keys are readable by their owner alone.
func Ensure(dir string, names ...string) (Files, error) {
	f := Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, fmt.Errorf("make certificates: %w", err)
	}
	ca, caKey, err := ensureCA(f.CA, filepath.Join(dir, "ca.key"))
	if err != nil {
		return f, fmt.Errorf("make certificates: %w", err)
	}
	if cert, err := readCert(f.Cert); err == nil && time.Until(cert.NotAfter) > renewAhead && cert.CheckSignatureFrom(ca) == nil && covers(cert, names) {
		if _, err := os.Stat(f.Key); err == nil {
			return f, nil
		}
	}
	if err := issue(f, ca, caKey, names); err != nil {
		return f, fmt.Errorf("make certificates: %w", err)
	}
	return f, nil
}

func covers(cert *x509.Certificate, names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return cert.VerifyHostname(n) != nil })
}

func ensureCA(certPath, keyPath string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	if cert, err := readCert(certPath); err == nil {
		if key, err := readKey(keyPath); err == nil && key.PublicKey.Equal(cert.PublicKey) && time.Now().Before(cert.NotAfter) {
			return cert, key, nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Sentinel development authority"}, SerialNumber: serial(),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	if err := writePair(certPath, keyPath, key, der); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func issue(f Files, ca *x509.Certificate, caKey *ecdsa.PrivateKey, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Sentinel server"}, SerialNumber: serial(),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	return writePair(f.Cert, f.Key, key, der, ca.Raw) // with the authority: agents that pin it have no copy
}

func serial() *big.Int {
	raw := make([]byte, 16)
	rand.Read(raw)
	raw[0] &= 0x7f
	return new(big.Int).SetBytes(raw)
}

// writePair writes the key first: a certificate without its key is of no use. The
// chain begins with the key's own certificate.
func writePair(certPath, keyPath string, key *ecdsa.PrivateKey, chain ...[]byte) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		return err
	}
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return os.WriteFile(certPath, text, 0o644)
}

func readCert(path string) (*x509.Certificate, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(block)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(block)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key of another kind", path)
	}
	return ec, nil
}

func readPEM(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}
