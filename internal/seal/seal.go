// Package seal encrypts secrets before they touch the database: XChaCha20-Poly1305 with a 32-byte master key.
//
// A sealed value names its key, so keys can be rotated: a Box seals with its first key and opens with any. It is
// bound to the place it is kept in (associated data: table, column, id), so that a value moved to another row
// does not open. The package refuses what it cannot prove: a missing key, a changed byte, another place.
//
// The layout is
//
//	1 byte version (1) | 8 bytes key id | 24 bytes nonce | ciphertext and 16 bytes tag
//
// Nonces are random; at 24 bytes they do not repeat in the life of any key.
package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	version    = 1
	headerSize = 1 + idSize
	minSize    = headerSize + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

// Box seals and opens with a set of keys.
type Box struct {
	sealing Key
	keys    map[string]Key // by id
}

// NewBox makes a box that seals with the first key and opens with all.
func NewBox(sealing Key, older ...Key) *Box {
	b := &Box{sealing: sealing, keys: map[string]Key{sealing.ID(): sealing}}
	for _, k := range older {
		b.keys[k.ID()] = k
	}
	return b
}

// KeyID is the id of the key that this box seals with.
func (b *Box) KeyID() string { return b.sealing.ID() }

// Seal encrypts plain for the place that ad names. It cannot fail; equal inputs give different outputs.
func (b *Box) Seal(plain []byte, ad string) []byte {
	header := append([]byte{version}, b.sealing.rawID()...)
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce) // never fails since Go 1.24
	out := make([]byte, 0, minSize+len(plain))
	out = append(append(out, header...), nonce...)
	return b.sealing.aead().Seal(out, nonce, plain, bind(header, ad))
}

// Open decrypts what Seal made for the same ad. Its errors say which key is needed, or that the value was
// changed or moved.
func (b *Box) Open(sealed []byte, ad string) ([]byte, error) {
	id, err := KeyIDOf(sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ad, err)
	}
	key, ok := b.keys[id]
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "open %s: it was sealed with key %s, which is not among the given keys (%s)",
			ad, id, strings.Join(b.ids(), ", ")).
			WithHint("give key %s as well: as a further line of the key file, or after a comma in the setting", id)
	}
	header, rest := sealed[:headerSize], sealed[headerSize:]
	nonce, text := rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:]
	plain, err := key.aead().Open(nil, nonce, text, bind(header, ad))
	if err != nil {
		return nil, fleet.Errorf(fleet.Internal, "open %s: the value was changed, or belongs to another place (key %s)", ad, id).
			WithHint("restore this record from a backup, or enter the secret again")
	}
	return plain, nil
}

// Current says whether sealed was made with the key that this box seals with; if not, it should be sealed anew.
func (b *Box) Current(sealed []byte) bool {
	id, err := KeyIDOf(sealed)
	return err == nil && id == b.KeyID()
}

// KeyIDOf reads the id of the key that a sealed value needs.
func KeyIDOf(sealed []byte) (string, error) {
	if len(sealed) < minSize {
		return "", fleet.Errorf(fleet.Internal, "not a sealed value: %d bytes are too few", len(sealed))
	}
	if sealed[0] != version {
		return "", fleet.Errorf(fleet.Internal, "not a sealed value of version %d: the first byte is %d", version, sealed[0])
	}
	return fmt.Sprintf("%x", sealed[1:headerSize]), nil
}

// Derive makes a key for another purpose from the key that this box seals with: the same on every replica, and
// another one after a rotation.
func (b *Box) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, b.sealing.bytes[:], nil, "talos-manager "+purpose, sha256.Size)
	if err != nil {
		panic(err) // lengths are constants
	}
	return key
}

func (b *Box) ids() []string {
	ids := []string{b.KeyID()}
	for id := range b.keys {
		if id != b.KeyID() {
			ids = append(ids, id)
		}
	}
	return ids
}

// bind makes the associated data: the header is authenticated with the place.
func bind(header []byte, ad string) []byte {
	return append(append([]byte{}, header...), ad...)
}
