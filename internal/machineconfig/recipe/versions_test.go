package recipe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(2_000_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestEveryExampleRendersStrictlyOnEveryVersionForEveryRole(t *testing.T) {
	for _, r := range List() {
		for _, release := range releases {
			if !r.has(minor(t, release.talos)) {
				continue
			}
			result, err := r.Apply(release.talos, example(t, r, release.talos))
			if err != nil {
				t.Errorf("%s on %s: %v", r.Name, release.talos, err)
				continue
			}
			for _, role := range roles {
				if _, err := render(t, release.talos, role, of(role, result)...); err != nil {
					t.Errorf("%s on %s for a %s: %v", r.Name, release.talos, role, err)
					for _, p := range of(role, result) {
						t.Log(p.Name + "\n" + indent(p.Text))
					}
				}
			}
		}
	}
}
