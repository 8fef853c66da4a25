package devca_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/sentinelgo/sentinel/internal/devca"
)

func TestEnsureMakesAPairThatVerifiesAndKeepsIt(t *testing.T) {
	dir := t.TempDir()
	f, err := devca.Ensure(dir, "sentinel.example", "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(f.Cert)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "sentinel.example", "192.0.2.7"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "other.example"}); err == nil {
		t.Error("the certificate holds for any name")
	}
	if _, err := devca.Ensure(dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(f.Cert)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a second start made another certificate (%v)", err)
	}
	info, err := os.Stat(f.Key)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the key's mode is %v (%v)", info.Mode(), err)
	}
}

// A name that the certificate lacks makes another one, by the same authority.
func TestEnsureAddsANameThatIsMissing(t *testing.T) {
	dir := t.TempDir()
	first, err := devca.Ensure(dir)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(first.CA)
	if err != nil {
		t.Fatal(err)
	}
	f, err := devca.Ensure(dir, "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Leaf.VerifyHostname("192.0.2.7"); err != nil {
		t.Error(err)
	}
	if again, err := os.ReadFile(f.CA); err != nil || !bytes.Equal(authority, again) {
		t.Errorf("the authority is another one (%v)", err)
	}
}
