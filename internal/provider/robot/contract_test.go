package robot

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/wait"
)

func TestContract(t *testing.T) {
	providertest.Driver(t, providertest.Provider{HostKeys: true, Open: func(t *testing.T, n int) providertest.Account {
		return open(t, n, hetzner.RobotOptions{}).account()
	}})
}

// sim is a Robot account in a pretend data centre where a boot takes 40 ms.
type sim struct {
	t        *testing.T
	world    *world.World
	robot    *hetzner.Robot
	machines []*world.Machine
	http     *http.Client
	requests atomic.Int64
}

const (
	user     = "#ws+test"
	password = "secret"
	address  = "http://robot.sim:80"
)

func open(t *testing.T, n int, o hetzner.RobotOptions) *sim {
	t.Helper()
	w := world.New(world.Options{Speed: 100})
	t.Cleanup(w.Close)
	w.BootDisk = func(*world.Machine) world.System { return idle{} }
	w.BootRescue = func(_ *world.Machine, r world.Rescue) world.System { return idle{&r} }
	s := &sim{t: t, world: w}
	for i := range n {
		s.machines = append(s.machines, w.AddMachine(spec(i)))
	}
	for _, m := range s.machines {
		m.PowerOn()
	}
	// A machine that is still starting would take a rescue activation with it.
	err := wait.Until(t.Context(), "the machines to run", time.Millisecond, func(context.Context) (bool, error) {
		return !slices.ContainsFunc(s.machines, func(m *world.Machine) bool { return m.System() == nil }), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Logins = []hetzner.Login{{User: user, Password: password}}
	s.robot = hetzner.NewRobot(w, o)
	l, err := w.Net.Listen("robot.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s.robot}
	w.Go(func(context.Context) { srv.Serve(l) })
	t.Cleanup(func() { srv.Close() })
	s.http = &http.Client{Transport: counter{&s.requests, &http.Transport{DialContext: w.Net.DialContext}}}
	return s
}

func spec(i int) world.Spec {
	s := world.Spec{
		Kind: world.Dedicated, Number: int64(321 + i), Name: "node-" + strconv.Itoa(i+1), Product: "AX41-NVMe",
		Location: "FSN1-DC8", Project: user, OldSystem: true, BootTime: 4 * time.Second,
		IPv4:    netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}),
		IPv6Net: netip.MustParsePrefix(fmt.Sprintf("2001:db8:10:%x::/64", i+1)),
	}
	switch i {
	case 1:
		s.IPv4 = netip.Addr{}
	case 2:
		s.Product, s.Arch = "RX170", "arm64"
	}
	return s
}

// idle is a system that does nothing, in rescue or not.
type idle struct{ rescue *world.Rescue }

func (idle) Run(ctx context.Context) world.Halt {
	<-ctx.Done()
	return world.PowerOff
}

// counter counts the calls that are made.
type counter struct {
	n    *atomic.Int64
	next http.RoundTripper
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

func (s *sim) options() Options {
	return Options{User: user, Password: password, BaseURL: address, HTTP: s.http, RetryEvery: 10 * time.Millisecond}
}

func (s *sim) account() providertest.Account {
	a := providertest.Account{
		Driver: func(b provider.Budget) provider.Driver {
			o := s.options()
			o.Budget = b
			return New(o)
		},
		WrongLogin: func() provider.Driver {
			o := s.options()
			o.Password = "wrong"
			return New(o)
		},
		Fail:     s.fail,
		Requests: func() int { return int(s.requests.Load()) },
		Keys: func() int {
			keys, err := list[keyAnswer](s.t.Context(), NewClient(s.options()), "/key", "NOT_FOUND")
			if err != nil {
				s.t.Fatal(err)
			}
			return len(keys)
		},
		TakeName: func(name string, key ssh.PublicKey) {
			data := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			if err := NewClient(s.options()).CreateKey(s.t.Context(), name, data); err != nil {
				s.t.Fatal(err)
			}
		},
		PowerOff: func(id string) { s.machine(id).PowerCut() },
		Rescue:   func(id string) providertest.Rescue { return running(s.machine(id)) },
	}
	for _, m := range s.machines {
		a.Servers = append(a.Servers, strconv.FormatInt(m.Number, 10))
	}
	return a
}

func (s *sim) fail(f providertest.Fault, times int) {
	s.robot.Inject(map[providertest.Fault]hetzner.Fault{
		providertest.Outage:       {Times: times, Status: 503},
		providertest.Broken:       {Times: times, Status: 500, Code: "INTERNAL_ERROR", Message: "Internal error"},
		providertest.Malformed:    {Times: times, Body: hetzner.Malformed},
		providertest.Truncated:    {Times: times, Body: hetzner.Truncated},
		providertest.Dropped:      {Times: times, Body: hetzner.Dropped},
		providertest.SecondAnswer: {Times: times, Path: "/vswitch", Status: 503},
		providertest.Busy: {
			Times: times, Method: "POST", Path: "/boot/*/rescue", Status: 500,
			Code: "BOOT_ACTIVATION_FAILED", Message: "Activation failed due to an internal error",
		},
		providertest.RateLimited: {Times: times, Status: 403, Code: "RATE_LIMIT_EXCEEDED", Message: "rate limit exceeded"},
		providertest.Hanging:     {Times: times, Delay: 5 * time.Minute},
	}[f])
}

func (s *sim) machine(id string) *world.Machine {
	for _, m := range s.machines {
		if strconv.FormatInt(m.Number, 10) == id {
			return m
		}
	}
	s.t.Fatalf("no machine %s", id)
	return nil
}

// running tells of the rescue system on a machine.
func running(m *world.Machine) providertest.Rescue {
	system, _ := m.System().(idle)
	if system.rescue == nil {
		return providertest.Rescue{}
	}
	r := providertest.Rescue{Running: true, Keys: system.rescue.Keys}
	for _, k := range system.rescue.HostKeys {
		r.HostKeys = append(r.HostKeys, ssh.FingerprintSHA256(k.PublicKey()))
	}
	return r
}
