package hcloud

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

	api "github.com/hetznercloud/hcloud-go/v2/hcloud"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/wait"
)

func TestContract(t *testing.T) {
	providertest.Driver(t, providertest.Provider{Open: func(t *testing.T, n int) providertest.Account {
		return open(t, n, hetzner.CloudOptions{}).account()
	}})
}

// sim is a Cloud project in a pretend data centre where a boot takes 40 ms.
type sim struct {
	t        *testing.T
	world    *world.World
	cloud    *hetzner.Cloud
	machines []*world.Machine
	http     *http.Client
	requests atomic.Int64
	token    string
}

func open(t *testing.T, n int, o hetzner.CloudOptions) *sim {
	t.Helper()
	w := world.New(world.Options{Speed: 100})
	t.Cleanup(w.Close)
	w.BootDisk = func(*world.Machine) world.System { return idle{} }
	w.BootRescue = func(_ *world.Machine, r world.Rescue) world.System { return idle{&r} }
	s := &sim{t: t, world: w, token: hetzner.Token("test")}
	for i := range n {
		s.machines = append(s.machines, w.AddMachine(spec(i, s.token)))
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
	o.Projects = []hetzner.Project{{Token: s.token, ReadOnly: []string{hetzner.Token("read-only")}}}
	s.cloud = hetzner.NewCloud(w, o)
	l, err := w.Net.Listen("cloud.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s.cloud}
	w.Go(func(context.Context) { srv.Serve(l) })
	t.Cleanup(func() { srv.Close() })
	s.http = &http.Client{Transport: counter{&s.requests, &http.Transport{DialContext: w.Net.DialContext}}}
	return s
}

func spec(i int, token string) world.Spec {
	s := world.Spec{
		Kind: world.Cloud, Number: int64(4711 + i), Name: "node-" + strconv.Itoa(i+1), Product: "cx23",
		Location: "fsn1", Project: token, OldSystem: true, BootTime: 4 * time.Second,
		IPv4:    netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}),
		IPv6Net: netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:%x::/64", i+1)),
	}
	switch i {
	case 1:
		s.IPv4 = netip.Addr{}
	case 2:
		s.Product, s.Arch = "cax11", "arm64"
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
	return Options{Token: s.token, BaseURL: "http://cloud.sim:80/v1", HTTP: s.http, PollEvery: 10 * time.Millisecond}
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
			o.Token = hetzner.Token("wrong")
			return New(o)
		},
		Fail:     s.fail,
		Requests: func() int { return int(s.requests.Load()) },
		Keys: func() int {
			keys, err := New(s.options()).api.SSHKey.All(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			return len(keys)
		},
		TakeName: func(name string, key ssh.PublicKey) {
			data := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			_, _, err := New(s.options()).api.SSHKey.Create(s.t.Context(), api.SSHKeyCreateOpts{Name: name, PublicKey: data})
			if err != nil {
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
	if f == providertest.SecondAnswer {
		s.http.Transport = secondPageFails{s.http.Transport}
		return
	}
	s.cloud.Inject(map[providertest.Fault]hetzner.Fault{
		providertest.Outage:    {Times: times, Status: 503, Code: "unavailable", Message: "service unavailable"},
		providertest.Broken:    {Times: times, Status: 500},
		providertest.Malformed: {Times: times, Body: hetzner.Malformed},
		providertest.Truncated: {Times: times, Body: hetzner.Truncated},
		providertest.Dropped:   {Times: times, Body: hetzner.Dropped},
		providertest.Busy: {
			Times: times, Method: "POST", Path: "/servers/*/actions/enable_rescue", Status: 423,
			Code: "locked", Message: "cannot perform operation because server is locked",
		},
		providertest.RateLimited: {Times: times, Status: 429, Code: "rate_limit_exceeded", Message: "limit reached"},
		providertest.Hanging:     {Times: times, Delay: 5 * time.Minute},
	}[f])
}

// secondPageFails answers for a load balancer that lost its backend.
type secondPageFails struct{ next http.RoundTripper }

func (s secondPageFails) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("page") == "2" {
		return answer(r, http.StatusBadGateway, "text/html", "<html>502"), nil
	}
	return s.next.RoundTrip(r)
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
	return providertest.Rescue{Running: true, Keys: system.rescue.Keys}
}
