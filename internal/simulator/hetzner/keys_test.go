package hetzner

import (
	"crypto/rand"
	"strconv"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestHostKeysAreOfEachBootAndSign(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		for i, s := range newHostKeys() {
			fp := ssh.FingerprintSHA256(s.PublicKey())
			if seen[fp] {
				t.Errorf("%s again", fp)
			}
			seen[fp] = true
			sig, err := s.Sign(rand.Reader, []byte("challenge"))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ssh.ParsePublicKey(s.PublicKey().Marshal()) // as a client reads it
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.Verify([]byte("challenge"), sig); err != nil {
				t.Error(err)
			}
			name, size := kind(parsed)
			if want := []string{"ECDSA 256", "ED25519 256", "RSA 3072"}[i]; want != name+" "+strconv.Itoa(size) {
				t.Errorf("key %d is %s %d, want %s", i, name, size, want)
			}
		}
	}
}
