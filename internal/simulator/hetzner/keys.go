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

	"golang.org/x/crypto/ssh"
)

// The primes of every RSA key here. Finding some of this size takes a second on a busy machine, and a data centre
// boots often; nothing real is behind a simulated sshd, so they need not be secret.
const (
	primeP = "cd5a6ee0437e257982182627f9c313a1ace08e0463775f3d643647214d841da65ce0806c7ae37e062159deca3087cad0" +
		"0ef3b769787609a677d51b4250a6df0a28fede3960c0975faf86ba829f9438d732ec8c367dd5a34e67dd57bad241f0c8" +
		"f5e3a64428e08b5b44f374715eaea2d5cac1b5b2ff63f150857b356ffed154099ef192e627c89b2d4eaf66b931018708" +
		"8c50f31ddcbb254bcb856fa750b28a164f31dad1bb25897565e843033448ab910227804cbb1920d78209d0d439d1063b"
	primeQ = "ce5f5e591c44ea40d935dee6001405b2b1481dee1657acb682a871bd90fb5fa505938735307a9d64a74b716e438f3c69" +
		"d5366cd3356c64e267f7f9b206fbac744ac2a1ac2d313fdafe3f3503357af3d01e7609f90dacfd937b29fbd41ad6187e" +
		"dbabc438aaf9afd047ed91f87dc2c0b065d24b6cba1039201686e3246d0208b5be1145fa3e485bc95be05fa524ad89fd" +
		"b43bd9298a29c5d9c65dcc41b3b79da8a0308c607650ae20776ea190758558d955725f49f63e8f6c1345635e3384bf2b"
)

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

// newRSA gives another RSA key cheaply: the same modulus of 3072 bits with another public exponent. Its
// fingerprint is its own and its signatures are good. SSH allows exponents below 2^24.
func newRSA() *rsa.PrivateKey {
	p, q, one := prime(primeP), prime(primeQ), big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	for {
		e := 65537 + 2*mathrand.IntN(8_000_000)
		d := new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
		if d == nil {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: e}, D: d, Primes: []*big.Int{p, q}}
		k.Precompute()
		return k
	}
}

func prime(hex string) *big.Int {
	p, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("hetzner: not a number: " + hex)
	}
	return p
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
