package rescuehost

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// sshConfig is sshd's configuration: root by password or key, as OpenSSH of Debian 12 shows itself.
func (h *Host) sshConfig() (*ssh.ServerConfig, error) {
	c := &ssh.ServerConfig{ServerVersion: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7", MaxAuthTries: 6}
	if h.rescue.Password != "" {
		c.PasswordCallback = func(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if m.User() == "root" && subtle.ConstantTimeCompare(password, []byte(h.rescue.Password)) == 1 {
				return nil, nil
			}
			return nil, errors.New("permission denied")
		}
	}
	c.PublicKeyCallback = func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		for _, k := range h.rescue.Keys {
			if m.User() == "root" && bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("permission denied")
	}
	keys, err := h.hostKeys()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		c.AddHostKey(k)
	}
	return c, nil
}

// maxSessions is OpenSSH's default limit of sessions on one connection.
const maxSessions = 10

// serve speaks SSH on a connection until it ends.
func (h *Host) serve(c net.Conn, config *ssh.ServerConfig) {
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute)) // LoginGraceTime
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	var sessions sync.WaitGroup
	var open atomic.Int32
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		switch {
		case ch.ChannelType() != "session":
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		case open.Load() >= maxSessions:
			_ = ch.Reject(ssh.ConnectionFailed, "open failed")
			continue
		}
		channel, reqs, err := ch.Accept()
		if err != nil {
			continue
		}
		s := &session{h: h, conn: conn, ch: channel, env: h.loginEnv(conn)}
		open.Add(1)
		sessions.Go(func() {
			defer open.Add(-1)
			s.requests(reqs)
		})
	}
	sessions.Wait()
}

func (h *Host) loginEnv(conn *ssh.ServerConn) []string {
	from, to := strings.NewReplacer("[", "", "]", ""), conn.LocalAddr().String()
	client := from.Replace(strings.Replace(conn.RemoteAddr().String(), ":", " ", 1))
	return []string{
		"USER=root", "LOGNAME=root", "HOME=/root", "SHELL=/bin/bash",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=en_US.UTF-8", "SSH_CLIENT=" + client + " 22",
		"SSH_CONNECTION=" + client + " " + from.Replace(to),
	}
}

// session is one SSH session.
type session struct {
	h    *Host
	conn *ssh.ServerConn
	ch   ssh.Channel
	env  []string
	pty  bool
	out  *output
	eout *output

	mu      sync.Mutex
	holders int
	free    chan struct{} // closed when nobody holds the session's output any more
}

// output is a session's stdout or stderr.
type output struct {
	w    io.Writer
	drop func() // a fault: the connection breaks instead

	mu     sync.Mutex
	failed bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.drop != nil {
		o.drop()
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		o.failed = true
		o.mu.Unlock()
	}
	return n, err
}

func (s *session) owns(w io.Writer) bool { return w == io.Writer(s.out) || w == io.Writer(s.eout) }

// broken says whether w is an output of the session that nobody reads any more.
func (s *session) broken(w io.Writer) bool {
	o, ok := w.(*output)
	if !ok || !s.owns(w) {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// hold keeps the channel open: sshd closes it when the last process that has its output is gone.
func (s *session) hold() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.holders--; s.holders == 0 {
			close(s.free)
		}
	})
}

// requests serves a session's requests; a command runs beside them.
func (s *session) requests(reqs <-chan *ssh.Request) {
	var running sync.WaitGroup
	started := false
	for r := range reqs {
		ok := false
		switch r.Type {
		case "env":
			ok = s.setenv(r.Payload)
		case "pty-req":
			s.pty, ok = true, true
		case "exec", "shell":
			if ok = !started; ok {
				started = true
				var command struct{ Text string }
				isExec := r.Type == "exec"
				if isExec {
					_ = ssh.Unmarshal(r.Payload, &command)
					if s.h.opt.Ran != nil {
						s.h.opt.Ran(command.Text)
					}
				}
				_ = r.Reply(true, nil)
				running.Go(func() { s.start(isExec, command.Text) })
				continue
			}
		case "window-change", "signal":
			ok = true
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
	running.Wait()
}

// setenv accepts what Debian's sshd accepts: LANG and LC_*.
func (s *session) setenv(payload []byte) bool {
	var kv struct{ Name, Value string }
	if ssh.Unmarshal(payload, &kv) != nil || kv.Name != "LANG" && !strings.HasPrefix(kv.Name, "LC_") {
		return false
	}
	s.env = append(s.env, kv.Name+"="+kv.Value)
	return true
}

// start runs the session's command or shell and ends the channel. Closing the connection does not end the
// command: it loses its input and gets an error when it prints.
func (s *session) start(isExec bool, command string) {
	h := s.h
	defer s.ch.Close()
	s.free = make(chan struct{})
	s.out, s.eout = &output{w: s.ch}, &output{w: s.ch.Stderr()}
	input := io.Reader(s.ch)
	if h.m.TakeFault(func(f *world.Faults) *int { return &f.SSHDrops }) {
		drop := sync.OnceFunc(func() { _ = s.conn.Close() })
		s.out.drop, s.eout.drop = drop, drop
		input = &dropping{Reader: s.ch, left: 1 << 20, drop: drop}
		defer drop()
	}
	stdin, feed, err := os.Pipe()
	if err != nil {
		return
	}
	h.work.Go(func() {
		_, _ = io.Copy(struct{ io.Writer }{feed}, input)
		_ = feed.Close()
	})
	release := s.hold()
	p := h.procs.start(h.ctx, nil, []string{"bash", "-c", command})
	status := s.runCommand(p, isExec, command, stdin)
	h.procs.end(p, status)
	_ = stdin.Close()
	release()
	if h.ctx.Err() != nil {
		return // the system went away: no status
	}
	sig, dead := p.dead()
	if dead {
		_, _ = s.ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal     string
			Core       bool
			Error, Tag string
		}{signalName(sig), false, "", ""}))
	} else {
		_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	}
	select {
	case <-s.free:
	case <-h.ctx.Done():
	}
}

// dropping calls drop when it has read left bytes.
type dropping struct {
	io.Reader
	left int
	drop func()
}

func (d *dropping) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if d.left -= n; d.left <= 0 {
		d.drop()
	}
	return n, err
}

func (s *session) runCommand(p *proc, isExec bool, command string, stdin *os.File) int {
	run := &shellRun{proc: p, name: "bash", script: command, env: s.env, dir: "/root", stdin: stdin, stdout: s.out, stderr: s.eout, session: s}
	switch {
	case isExec:
		return s.h.run(run)
	case s.pty:
		p.rename([]string{"-bash"})
		return s.h.interact(run, s)
	}
	p.rename([]string{"bash"})
	return s.h.runStream(run)
}
