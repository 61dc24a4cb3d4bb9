package world

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// silent is what a dial gets where nobody answers.
var silent = context.DeadlineExceeded

// knock dials and wants that outcome. It waits long, except for silence.
func knock(t *testing.T, n *Network, reason, addr string, want error) {
	t.Helper()
	patience := 10 * time.Second
	if want == silent {
		patience = 30 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := n.DialContext(ctx, "tcp", addr)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", reason, err, want)
	}
}

// answer accepts until the listener is closed.
func answer(t *testing.T, n *Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}
	}()
	return l
}

func TestNetworkAnswersRefusesOrKeepsSilent(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	up, down := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")
	w.Net.Up(up)
	answer(t, w.Net, "203.0.113.10:22")
	answer(t, w.Net, "robot.sim:80")
	for _, tc := range []struct {
		reason, addr string
		want         error
	}{
		{"somebody listens", "203.0.113.10:22", nil},
		{"a service", "robot.sim:80", nil},
		{"another port of a machine that is up", "203.0.113.10:6443", syscall.ECONNREFUSED},
		{"a service that does not run", "cloud.sim:80", syscall.ECONNREFUSED},
		{"a machine that is down", net.JoinHostPort(down.String(), "22"), silent},
		{"nobody's address", "198.51.100.1:22", silent},
	} {
		knock(t, w.Net, tc.reason, tc.addr, tc.want)
	}
	w.Net.Down(up)
	knock(t, w.Net, "after it went down", "203.0.113.10:6443", silent)
}

func TestNetworkAddressIsOfOneListener(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	l := answer(t, w.Net, "robot.sim:80")
	if _, err := w.Net.Listen("robot.sim:80"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
	l.Close()
	knock(t, w.Net, "after it closed", "robot.sim:80", syscall.ECONNREFUSED)
	answer(t, w.Net, "robot.sim:80")
	knock(t, w.Net, "the next listener", "robot.sim:80", nil)
}

func TestNetworkShowsWhereACallComesFrom(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	answer(t, w.Net, "manager.sim:80")
	for from, want := range map[netip.Addr]string{{}: "192.0.2.1", netip.MustParseAddr("203.0.113.10"): "203.0.113.10"} {
		c, err := w.Net.Dialer(from)(t.Context(), "tcp", "manager.sim:80")
		if err != nil {
			t.Fatal(err)
		}
		seen, err := io.ReadAll(c)
		if host, _, _ := net.SplitHostPort(string(seen)); err != nil || host != want {
			t.Errorf("from %v the other side sees %s, %v", from, seen, err)
		}
	}
}

func TestNetworkKnowsMachinesBeforeTheyAreUp(t *testing.T) {
	w := New(Options{})
	defer w.Close()
	m := w.AddMachine(Spec{Number: 1, IPv4: netip.MustParseAddr("203.0.113.10"), IPv6Net: netip.MustParsePrefix("2001:db8:1::/64")})
	for addr, want := range map[string]bool{
		"203.0.113.10:22": true, "[2001:db8:1::1]:22": true, "[2001:db8:1::2]:50000": true,
		"203.0.113.11:22": false, "example.org:80": false, "any.sim:80": true, "nonsense": false,
	} {
		if got := w.Net.Knows(addr); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	knock(t, w.Net, "a machine without power", "203.0.113.10:22", silent)
	w.RemoveMachine(m)
	if w.Net.Knows("203.0.113.10:22") || len(w.Machines()) != 0 {
		t.Error("still there after RemoveMachine")
	}
}

func TestNetworkExposesRealSockets(t *testing.T) {
	w := New(Options{Expose: true, Unprivileged: true})
	defer w.Close()
	answer(t, w.Net, "robot.sim:80")
	real := w.Net.RealAddr("robot.sim:80")
	c, err := net.Dial("tcp", real)
	if err != nil {
		t.Fatalf("the real address %q: %v", real, err)
	}
	defer c.Close()
	if seen, err := io.ReadAll(c); err != nil || len(seen) == 0 {
		t.Errorf("read %q, %v", seen, err)
	}
	knock(t, w.Net, "inside", "robot.sim:80", nil)
}

func TestNetworkClosesWithTheWorld(t *testing.T) {
	w := New(Options{})
	answer(t, w.Net, "robot.sim:80")
	w.Close()
	knock(t, w.Net, "after Close", "robot.sim:80", syscall.ECONNREFUSED)
}
