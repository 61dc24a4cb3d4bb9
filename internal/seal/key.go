package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	idSize        = 8
	passphraseTag = "passphrase:"
	minPassphrase = 16 // characters
)

// Key is a master key. It prints as its id, never as itself.
type Key struct {
	bytes [chacha20poly1305.KeySize]byte
}

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k.bytes[:]) // never fails since Go 1.24
	return k
}

// ParseKey reads a key as a person or a secret store gives it: 32 bytes in base64 (with or without padding,
// standard or URL alphabet) or hex, or "passphrase:" and at least 16 characters, from which a key is derived with
// Argon2id. The derivation has a fixed salt so that every replica comes to the same key; a random key is better.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if words, ok := strings.CutPrefix(text, passphraseTag); ok {
		return derive(strings.TrimSpace(words))
	}
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == chacha20poly1305.KeySize {
			return Key{bytes: [chacha20poly1305.KeySize]byte(raw)}, nil
		}
	}
	return Key{}, fleet.Errorf(fleet.Invalid, "a key is 32 bytes in base64 or hex; this is neither (%d characters)", len(text)).
		WithHint("make one with `openssl rand -base64 32`, or write %s and a sentence of at least %d characters", passphraseTag, minPassphrase)
}

// ParseBox reads one or more keys separated by commas or line ends; the first seals. Empty lines and lines that
// start with # are skipped.
func ParseBox(text string) (*Box, error) {
	var keys []Key
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "no key given").WithHint("make one with `openssl rand -base64 32`")
	}
	return NewBox(keys[0], keys[1:]...), nil
}

func derive(words string) (Key, error) {
	if len(words) < minPassphrase {
		return Key{}, fleet.Errorf(fleet.Invalid, "a passphrase of %d characters is too short", len(words)).
			WithHint("use at least %d, or a random key: `openssl rand -base64 32`", minPassphrase)
	}
	// RFC 9106 section 4, second recommendation, with 32 MiB instead of 64 to stay small in memory.
	raw := argon2.IDKey([]byte(words), []byte("talos-manager master key v1"), 6, 32*1024, 4, chacha20poly1305.KeySize)
	return Key{bytes: [chacha20poly1305.KeySize]byte(raw)}, nil
}

// ID is a public name of the key, 16 hex digits; the key cannot be computed from it.
func (k Key) ID() string { return hex.EncodeToString(k.rawID()) }

// String is the id: a key that reaches a log by mistake does not give itself away.
func (k Key) String() string { return "key " + k.ID() }

// GoString is String, for %#v.
func (k Key) GoString() string { return k.String() }

// Text is the key itself in base64, as ParseKey reads it. It is a secret.
func (k Key) Text() string { return base64.StdEncoding.EncodeToString(k.bytes[:]) }

func (k Key) rawID() []byte {
	sum := sha256.Sum256(append([]byte("talos-manager key id\x00"), k.bytes[:]...))
	return sum[:idSize]
}

func (k Key) aead() cipher.AEAD {
	a, err := chacha20poly1305.NewX(k.bytes[:])
	if err != nil {
		panic(err) // only for a key of a wrong size, which the type rules out
	}
	return a
}
