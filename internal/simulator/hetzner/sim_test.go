package hetzner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// newWorld runs a thousand times as fast as the real one. Its rescue systems listen on port 22 and do no more.
func newWorld(t *testing.T) *world.World {
	t.Helper()
	w := world.New(world.Options{Speed: 1000, Seed: 1})
	w.BootRescue = func(m *world.Machine, r world.Rescue) world.System { return &system{m: m, rescue: &r} }
	w.BootDisk = func(m *world.Machine) world.System { return &system{m: m} }
	t.Cleanup(w.Close)
	return w
}

// system runs until its button is pressed.
type system struct {
	m      *world.Machine
	rescue *world.Rescue // nil: the installed one
}

func (s *system) Run(ctx context.Context) world.Halt {
	s.m.World.Net.Up(s.m.Addresses()...)
	defer s.m.World.Net.Down(s.m.Addresses()...)
	if l := s.listen(); l != nil {
		defer l.Close()
	}
	select {
	case <-ctx.Done():
		return world.PowerOff
	case <-s.m.Buttons():
		return world.PowerOff
	}
}

func (s *system) listen() net.Listener {
	if s.rescue == nil || !s.m.IPv4.IsValid() {
		return nil
	}
	l, err := s.m.World.Net.Listen(netip.AddrPortFrom(s.m.IPv4, 22).String())
	if err != nil {
		return nil
	}
	s.m.World.Go(func(context.Context) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	return l
}

// serve puts a handler on a name of the world and gives a client that reaches it.
func serve(t *testing.T, w *world.World, addr string, h http.Handler) *http.Client {
	t.Helper()
	l, err := w.Net.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	transport := &http.Transport{DialContext: w.Net.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// until polls.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func publicKey(t *testing.T) (line string, key ssh.PublicKey) {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err = ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " ops@example", key
}

// addMachines puts n machines into the world; the first is number 321.
func addMachines(w *world.World, kind world.Kind, project string, n int) []*world.Machine {
	var all []*world.Machine
	for i := range n {
		product, place := "AX41-NVMe", "FSN1-DC8"
		if kind == world.Cloud {
			product, place = "cx23", "fsn1"
		}
		all = append(all, w.AddMachine(world.Spec{
			Kind: kind, Number: int64(321 + i), Name: fmt.Sprintf("node-%d", i+1), Product: product,
			Location: place, Project: project, IPv4: netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}),
			IPv6Net: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x10, 0, byte(0x20 + i)}), 64),
			Gateway: netip.MustParseAddr("203.0.113.1"), Disks: []*world.Disk{{Name: "sda", SizeBytes: 1 << 30}},
		}))
	}
	return all
}
