package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Options of a session.
type Options struct {
	Server  string // its name, for errors
	Address string
	Port    int // 0 is 22
	Key     ssh.Signer
	// Pins are the SHA-256 fingerprints ("SHA256:…") of the host keys that may answer. Empty: whatever answers is
	// taken, and Session.HostKey is to be pinned for what follows.
	Pins []string
	// AnyMake: the rescue system need not be Hetzner's. Whatever runs in memory is one.
	AnyMake bool
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the system's network

	keyKinds []string // of host keys to ask for; nil: any
}

// ErrHostKey says that another machine, or another boot of it, answers than the one expected.
var ErrHostKey = errors.New("its SSH host key is not the expected one")

// Session is an SSH connection to a rescue system. Close it.
type Session struct {
	HostKey string // fingerprint of the key that was presented
	server  string
	ssh     *ssh.Client
	anyMake bool
}

// Open connects and logs in as root. fleet.Unavailable while nothing answers; fleet.Refused, wrapping ErrHostKey,
// if the host key is not one of the pins; fleet.Unauthorized if the machine does not know our key.
func Open(ctx context.Context, o Options) (*Session, error) {
	if o.AnyMake {
		return openAnyMake(ctx, o)
	}
	return open(ctx, o)
}

func open(ctx context.Context, o Options) (*Session, error) {
	s := &Session{server: o.Server, anyMake: o.AnyMake}
	var presented string
	config := &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(o.Key)}, HostKeyAlgorithms: o.keyKinds,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			presented = ssh.FingerprintSHA256(key)
			if len(o.Pins) > 0 && !slices.Contains(o.Pins, presented) {
				return ErrHostKey
			}
			return nil
		},
	}
	conn, err := o.connect(ctx)
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "SSH to %s (%s): %w", o.Server, o.Address, err)
	}
	// A handshake does not look at ctx by itself, and who accepts and says nothing is not waited for until it ends.
	shaking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stop := context.AfterFunc(shaking, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, o.Address, config)
	if err != nil {
		conn.Close()
		return nil, o.refused(err, presented)
	}
	s.HostKey, s.ssh = presented, ssh.NewClient(c, channels, requests)
	return s, nil
}

// Answers says whether something listens where the rescue system will, without shaking hands: sshd penalises whoever
// does that in vain, and asking the provider whether a boot is over costs a call of its budget.
func Answers(ctx context.Context, o Options) bool {
	conn, err := o.connect(ctx)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (o Options) connect(ctx context.Context) (net.Conn, error) {
	dial, port := o.Dial, o.Port
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if port == 0 {
		port = 22
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return dial(ctx, "tcp", net.JoinHostPort(o.Address, strconv.Itoa(port)))
}

func (o Options) refused(err error, presented string) error {
	switch {
	case errors.Is(err, ErrHostKey):
		return fleet.Errorf(fleet.Refused, "SSH to %s (%s): %w: it presented %s, expected one of %s", o.Server, o.Address, err, presented, strings.Join(o.Pins, ", ")).
			WithHint("another machine answers at this address, or the server booted once more: order the operation again, it boots the rescue system anew")
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fleet.Errorf(fleet.Unauthorized, "SSH to %s (%s): it does not accept our key: the installed system answers, or a rescue system armed by somebody else", o.Server, o.Address).
			WithHint("order the operation again: it arms the rescue system with our key and boots it")
	}
	return fleet.Errorf(fleet.Unavailable, "SSH to %s (%s): %w", o.Server, o.Address, err)
}

// Close ends the connection.
func (s *Session) Close() error { return s.ssh.Close() }

// run executes a shell command with input and gives its output. A command that fails gives *ExitError.
func (s *Session) run(ctx context.Context, command string, stdin io.Reader) (string, error) {
	session, err := s.ssh.NewSession()
	if err != nil {
		return "", fleet.Errorf(fleet.Unavailable, "SSH to %s: %w: %w", s.server, errNotRun, err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	// What a broken machine sends without end is not kept: the session ends instead.
	out, errs := &capped{limit: maxOutput, full: func() { session.Close() }}, &capped{limit: maxErrors}
	session.Stdin, session.Stdout, session.Stderr = stdin, out, errs
	err = session.Run(command)
	exit := &ssh.ExitError{}
	switch {
	case out.over:
		return "", fleet.Errorf(fleet.Unavailable, "SSH to %s: it sent more than %d MB where a few lines were expected", s.server, maxOutput>>20).
			WithHint("log in to the rescue system: dmesg says whether a disk or the memory is failing")
	case ctx.Err() != nil:
		return "", fleet.Errorf(fleet.Unavailable, "SSH to %s: %w", s.server, context.Cause(ctx))
	case errors.As(err, &exit):
		return out.String(), &ExitError{s.server, exit.ExitStatus(), strings.TrimSpace(errs.String())}
	case err != nil:
		return "", fleet.Errorf(fleet.Unavailable, "SSH to %s: %w", s.server, err)
	}
	return out.String(), nil
}

// maxOutput is what a script of ours may print, by far: META in base64 is the longest, the facts of a storage server are
// some 200 KB. Of errors the beginning counts.
const (
	maxOutput = 4 << 20
	maxErrors = 64 << 10
)

// capped keeps what is written to it up to a limit.
type capped struct {
	bytes.Buffer
	limit int
	over  bool
	full  func() // called once the limit is passed; nil: the rest is dropped
}

// Write never fails: what is over the limit is gone.
func (c *capped) Write(p []byte) (int, error) {
	room := c.limit - c.Len()
	c.Buffer.Write(p[:min(len(p), room)])
	if len(p) > room && !c.over && c.full != nil {
		c.over = true
		c.full()
	}
	return len(p), nil
}

// errNotRun says that the connection broke before a command was begun.
var errNotRun = errors.New("the connection is broken")

// ExitError is a script that said no.
type ExitError struct {
	Server string
	Code   int
	Stderr string
}

// Error is what the script printed.
func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("server %s: exit status %d", e.Server, e.Code)
	}
	return fmt.Sprintf("server %s: %s (exit status %d)", e.Server, e.Stderr, e.Code)
}

// quote makes one word of a shell command.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// script runs an embedded script with arguments.
func (s *Session) script(ctx context.Context, name string, args ...string) (string, error) {
	text, err := Scripts.ReadFile("scripts/" + name)
	if err != nil {
		return "", err
	}
	command := "bash -s --"
	for _, a := range args {
		command += " " + quote(a)
	}
	return s.run(ctx, command, bytes.NewReader(text))
}

// put writes a file of ours, readable by nobody else.
func (s *Session) put(ctx context.Context, name string, data []byte) error {
	_, err := s.run(ctx, "umask 077; mkdir -p "+dir+" && cat > "+quote(dir+"/"+name), bytes.NewReader(data))
	return err
}

// Reboot restarts the machine by its firmware, whatever kernel is loaded to be started by kexec: systemd would take that.
// The connection breaks, which is no error; one that was broken before is.
func (s *Session) Reboot(ctx context.Context) error {
	_, err := s.run(ctx, "sync; SYSTEMCTL_SKIP_AUTO_KEXEC=1 reboot", nil)
	exit := &ExitError{}
	if errors.As(err, &exit) || errors.Is(err, errNotRun) {
		return fleet.Errorf(fleet.Unavailable, "reboot: %w", err)
	}
	return nil
}
