package emulated

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// newKey makes an SSH key pair.
func newKey() (ssh.Signer, ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	return signer, key, err
}

// hostKeys makes the keys of one rescue system and adds their files, as sshd reads them.
func hostKeys(files map[string][]byte) ([]ssh.PublicKey, error) {
	_, first, err := newKey()
	if err != nil {
		return nil, err
	}
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var out []ssh.PublicKey
	for name, key := range map[string]crypto.Signer{"host_ed25519": first, "host_ecdsa": second} {
		block, err := ssh.MarshalPrivateKey(key, "rescue")
		if err != nil {
			return nil, err
		}
		files[name] = pem.EncodeToMemory(block)
		public, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			return nil, err
		}
		out = append(out, public)
	}
	slices.SortFunc(out, func(a, b ssh.PublicKey) int { return strings.Compare(a.Type(), b.Type()) })
	return out, nil
}

// HostKeys are those of the last rescue system that was booted, as Robot publishes them after the boot.
func (m *Machine) HostKeys() []ssh.PublicKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.hostKeys)
}

// Fingerprints are those of HostKeys, "SHA256:…".
func (m *Machine) Fingerprints() []string {
	var out []string
	for _, key := range m.HostKeys() {
		out = append(out, ssh.FingerprintSHA256(key))
	}
	return out
}

// BootRescue boots into the rescue system, with these keys let in, and waits until it answers: 10 to 25 seconds.
func (m *Machine) BootRescue(ctx context.Context, keys ...ssh.PublicKey) error {
	m.ArmRescue(keys...)
	m.Reset()
	return m.AwaitRescue(ctx)
}

// AwaitRescue waits until the rescue system that was booted last answers SSH.
func (m *Machine) AwaitRescue(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := m.login(ctx)
		if err == nil {
			m.keep(client)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the rescue system of %s does not answer: %w: %w", m.options.Name, context.Cause(ctx), err)
		}
	}
}

// keep has a connection used by what comes, instead of another.
func (m *Machine) keep(client *ssh.Client) {
	m.mu.Lock()
	old := m.client
	m.client = client
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// session opens one over the connection that is kept, or over a new one if that has broken.
func (m *Machine) session(ctx context.Context) (*ssh.Session, error) {
	m.mu.Lock()
	client := m.client
	m.mu.Unlock()
	if client != nil {
		if session, err := client.NewSession(); err == nil {
			return session, nil
		}
	}
	client, err := m.login(ctx)
	if err != nil {
		return nil, err
	}
	m.keep(client)
	return client.NewSession()
}

// login comes in with the test's own key, which the rescue system takes beside those it was armed with.
func (m *Machine) login(ctx context.Context) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := m.Dial(ctx, "tcp", "guest:22")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	known := m.HostKeys()
	c, channels, requests, err := ssh.NewClientConn(conn, "guest:22", &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(m.key)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !slices.ContainsFunc(known, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }) {
				return fmt.Errorf("host key %s is not of this boot", ssh.FingerprintSHA256(key))
			}
			return nil
		},
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// Run executes a bash script with arguments in the rescue system and gives what it printed. The error holds what it
// complained about.
func (m *Machine) Run(ctx context.Context, script string, args ...string) (string, error) {
	session, err := m.session(ctx)
	if err != nil {
		return "", fmt.Errorf("run in %s: %w", m.options.Name, err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { m.keep(nil) }) // a session that hangs ends only with its connection
	defer stop()
	command := "bash -s --"
	for _, a := range args {
		command += " '" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	var out, complaints bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(script), &out, &complaints
	if err := session.Run(command); err != nil {
		return out.String(), fmt.Errorf("run in %s: %w: %s", m.options.Name, err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}
