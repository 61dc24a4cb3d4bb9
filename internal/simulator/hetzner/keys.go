package hetzner

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// base is the one RSA key that is really generated: a modulus of 3072 bits takes half a second, and a data
// centre boots often.
var base = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		panic(err) // rand.Reader does not fail
	}
	return k
})

// newHostKeys makes the keys of one rescue boot: ECDSA, Ed25519 and RSA, as published in that order.
func newHostKeys() []ssh.Signer {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	all := make([]ssh.Signer, 0, 3)
	for _, k := range []any{ec, ed, newRSA()} {
		s, err := ssh.NewSignerFromKey(k)
		if err != nil {
			panic(err)
		}
		all = append(all, s)
	}
	return all
}

// newRSA gives another RSA key cheaply: the same modulus with another public exponent. Its fingerprint is its
// own and its signatures are good; nothing secret depends on it. SSH allows exponents below 2^24.
func newRSA() *rsa.PrivateKey {
	from := base()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(from.Primes[0], one), new(big.Int).Sub(from.Primes[1], one))
	for {
		e := 65537 + 2*mathrand.IntN(8_000_000)
		d := new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
		if d == nil {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: from.N, E: e}, D: d, Primes: from.Primes}
		k.Precompute()
		return k
	}
}

// kind says type and size of a key in Hetzner's words.
func kind(k ssh.PublicKey) (string, int) {
	switch k.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519:
		return "ED25519", 256
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoSKECDSA256:
		return "ECDSA", 256
	case ssh.KeyAlgoECDSA384:
		return "ECDSA", 384
	case ssh.KeyAlgoECDSA521:
		return "ECDSA", 521
	}
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return "RSA", r.N.BitLen()
		}
	}
	return strings.ToUpper(k.Type()), 0
}

// password gives n characters that are easy to copy.
func password(n int) string {
	const letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[mathrand.IntN(len(letters))]
	}
	return string(b)
}
