package web

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// sshKey is the public half of the key that rescue systems are booted with.
type sshKey struct {
	Line        string // as in authorized_keys
	Fingerprint string // SHA256:…
}

func sshKeyOf(s ssh.Signer) sshKey {
	if s == nil {
		return sshKey{}
	}
	return sshKey{
		Line:        strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " talos-manager",
		Fingerprint: ssh.FingerprintSHA256(s.PublicKey()),
	}
}
