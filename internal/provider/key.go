package provider

import (
	"crypto/md5" //nolint:gosec // the fingerprint that both APIs use as a key's identity
	"encoding/hex"

	"golang.org/x/crypto/ssh"
)

// KeyName is the name under which our public key is uploaded where it is missing (the name of the reference
// application).
const KeyName = "talos-manager"

// SpareKeyName is the name to take when somebody else's key has the name already: an install must not fail for
// a name. It ends in the start of the key's fingerprint, so that it is the same every time.
func SpareKeyName(name string, key ssh.PublicKey) string {
	sum := md5.Sum(key.Marshal()) //nolint:gosec // see above
	return name + "-" + hex.EncodeToString(sum[:4])
}
