package rescuehost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func is(err, want error) bool {
	return want == nil && err == nil || want != nil && errors.Is(err, want)
}

// until waits for something to become true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAPowerCutStopsEverythingAtOnce(t *testing.T) {
	r := newRig(t, Options{}, nil)
	c := r.dial()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	if err := s.Start("dd of=/dev/sda bs=64k status=none & sleep 100000 & cat >/dev/nvme0n1"); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(in, endless{}) }()
	d := r.m.Disks[0]
	until(t, "the stream is written", func() bool { return d.Written() > 1<<20 })
	done := make(chan bool)
	go func() { r.m.PowerCut(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the machine does not get dark")
	}
	was := d.Written()
	var missing *ssh.ExitMissingError
	if err := s.Wait(); !errors.As(err, &missing) {
		t.Errorf("the session ended with %v", err)
	}
	if d.Written() != was {
		t.Error("a machine without power writes its disk")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func TestNothingSurvivesAReboot(t *testing.T) {
	r := newRig(t, Options{}, nil)
	run(t, r.dial(), "echo x >/root/left; flock -n /run/l sleep 100000 >/dev/null 2>&1 &", nil)
	r.arm()
	r.m.Reset()
	script(t, r.dial(), "[ ! -e /root/left ]; flock -n /run/l true; ! pgrep sleep")
}

func TestASessionIsOpenWhileAJobHasItsOutput(t *testing.T) {
	r := newRig(t, Options{}, nil)
	c := r.dial()
	start := time.Now()
	out, _, status := run(t, c, "(sleep 200; echo late) & echo early", nil)
	if out != "early\nlate\n" || status != 0 || time.Since(start) < 200*time.Millisecond {
		t.Errorf("%q %d after %v", out, status, time.Since(start))
	}
	start = time.Now()
	if out, _, _ := run(t, c, "sleep 100000 >/dev/null 2>&1 & echo early", nil); out != "early\n" || time.Since(start) > 5*time.Second {
		t.Errorf("a job with its output elsewhere keeps the session open: %q", out)
	}
}

func TestACommandGoesOnWhenItsClientIsGone(t *testing.T) {
	r := newRig(t, Options{}, nil)
	c := r.dial()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat >/tmp/in; sleep 1; date >/tmp/done"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c = r.dial()
	until(t, "the script ends", func() bool { _, _, status := run(t, c, "test -s /tmp/done", nil); return status == 0 })
}

func TestProcessesAreListedAndKilled(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for _, x := range []struct{ why, script, out string }{
		{"by name", "sleep 100000 >/dev/null 2>&1 & while ! pgrep -x sleep >/dev/null; do :; done; pkill sleep; pgrep sleep || echo gone", "gone\n"},
		{"by id, in another session's file", "setsid nohup sleep 100000 >/dev/null 2>&1 </dev/null & echo $! >/tmp/pid; while ! pgrep -x sleep >/dev/null; do :; done; ps -o args= -p $(cat /tmp/pid); kill $(cat /tmp/pid); kill -0 $(cat /tmp/pid) 2>/dev/null || echo dead", "sleep 100000\ndead\n"},
		{"a whole group", "setsid bash -c 'sleep 100000 & sleep 100000' >/dev/null 2>&1 & p=$!; while [ $(pgrep -c sleep) -lt 2 ]; do :; done; kill -- -$p; while pgrep sleep >/dev/null; do :; done; echo none", "none\n"},
		{"killing a shell leaves its children", "bash -c 'sleep 100000; echo never' >/tmp/o 2>&1 & p=$!; while ! pgrep sleep >/dev/null; do :; done; kill $p; wait $p; echo $?; pgrep -c sleep; pkill sleep; cat /tmp/o", "143\n1\n"},
		{"a killed shell runs its exit trap", "bash -c 'trap \"echo bye >/tmp/bye\" EXIT; while :; do sleep 0.01; done' >/dev/null 2>&1 & p=$!; sleep 5; kill $p; while [ ! -s /tmp/bye ]; do :; done; cat /tmp/bye", "bye\n"},
	} {
		t.Run(x.why, func(t *testing.T) {
			out, eout, _ := run(t, c, x.script, nil)
			if out != x.out {
				t.Errorf("got %q (%s), want %q", out, eout, x.out)
			}
		})
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	results := make(chan string, maxSessions)
	for range cap(results) {
		go func() {
			s, err := c.NewSession()
			if err != nil {
				results <- err.Error()
				return
			}
			out, _ := s.Output("x=$(echo a | tr a b); sleep 1; echo $x")
			results <- string(out)
		}()
	}
	for range cap(results) {
		if out := <-results; out != "b\n" {
			t.Errorf("a session says %q", out)
		}
	}
}

func TestTheOldSystemIsNoRescueSystem(t *testing.T) {
	w := world.New(world.Options{Speed: 1000})
	defer w.Close()
	key := signer(t)
	w.BootDisk = func(m *world.Machine) world.System {
		return NewOld(m, Options{OldKeys: []ssh.PublicKey{key.PublicKey()}})
	}
	r := &rig{t: t, w: w}
	m := w.AddMachine(world.Spec{Number: 1, IPv4: newRig(t, Options{}, nil).m.IPv4, OldSystem: true, BootTime: time.Second, Disks: []*world.Disk{{Name: "sda", SizeBytes: 1 << 30}}})
	m.PowerOn()
	var client *ssh.Client
	until(t, "the old system answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		conn, err := r.w.Net.DialContext(ctx, "tcp", "203.0.113.10:22")
		if err != nil {
			return false
		}
		c, channels, requests, err := ssh.NewClientConn(conn, "x", &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if err != nil {
			t.Fatal(err)
		}
		client = ssh.NewClient(c, channels, requests)
		return true
	})
	defer client.Close()
	out, _, _ := run(t, client, "hostname; grep -c 'Hetzner Rescue' /etc/motd; ls -d /root/.oldroot", nil)
	if out != "debian\n0\n" {
		t.Errorf("the old system says %q", out)
	}
}

func TestCurlFailsLikeCurl(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.serve(map[string][]byte{"/f": bytes.Repeat([]byte("0123456789"), 100)})
	c := r.dial()
	for _, x := range []struct {
		why, command, out string
		status            int
	}{
		{"a whole file", "curl -fsSL http://factory.sim/f | wc -c", "1000\n", 0},
		{"a part", "curl -s -r 10-14 http://factory.sim/f", "01234", 0},
		{"its head", "curl -sI http://factory.sim/f | tr -d '\\r' | grep -i content-length", "Content-Length: 1000\n", 0},
		{"not found", "curl -fsS -o /dev/null -w '%{http_code}' http://factory.sim/none", "404", 22},
		{"not found without -f", "curl -s -o /dev/null -w '%{http_code}' http://factory.sim/none", "404", 0},
		{"no such name", "curl -s http://nowhere.example/", "", 6},
		{"refused", "curl -s http://203.0.113.10:81/", "", 7},
		{"nobody there", "curl -s --connect-timeout 5 http://198.51.100.1/", "", 28},
		{"wget to a pipe", "wget http://factory.sim/f -q -O - | tail -c 3", "789", 0},
		{"wget not found", "wget -q -O - http://factory.sim/none", "", 8},
	} {
		t.Run(x.why, func(t *testing.T) {
			out, eout, status := run(t, c, x.command, nil)
			if out != x.out || status != x.status {
				t.Errorf("got %q, %d (%s)", out, status, eout)
			}
		})
	}
}

func TestAnUnknownOptionIsAnError(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	for _, command := range []string{"lsblk --nonsense", "wipefs -y /dev/sda", "dd if=/dev/zero conv=nonsense", "sgdisk --nonsense /dev/sda", "curl --nonsense http://x"} {
		if _, eout, status := run(t, c, command, nil); status == 0 || strings.TrimSpace(eout) == "" {
			t.Errorf("%q ends with %d and says %q", command, status, eout)
		}
	}
}

func TestATerminalGetsAPrompt(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	s.Stdin = strings.NewReader("cd /tmp\rfor i in 1 2; do\recho n$i\rdone\rexit 3\r")
	if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("the shell ended with %v", err)
	}
	for _, want := range []string{"Welcome to the Hetzner Rescue System", "root@rescue ~ # ", "root@rescue /tmp # ", "n1\r\nn2\r\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestAShellReadsStatementsAsTheyCome(t *testing.T) {
	c := newRig(t, Options{}, nil).dial()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout, s.Stdin = &out, strings.NewReader("x=1\nif [ $x = 1 ]; then\n  echo one\nfi\nfalse\n")
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 1 || out.String() != "one\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestWWNsAppearLate(t *testing.T) {
	c := newRig(t, Options{LateWWN: 2000 * time.Second}, nil).dial()
	first := script(t, c, "lsblk -n -d -o WWN /dev/sda; ls /dev/disk/by-id | grep -c wwn || true")
	if strings.TrimSpace(first) != "0" {
		t.Errorf("at first: %q", first)
	}
	until(t, "the WWN appears", func() bool {
		out, _, _ := run(t, c, "lsblk -n -d -o WWN /dev/sda; ls /dev/disk/by-id | grep wwn", nil)
		return out == "0x5000c500a1b2c3d4\nwwn-0x5000c500a1b2c3d4\n"
	})
}
