package manage_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/hcloud"
	"github.com/talos-manager/talos-manager/internal/provider/manual"
	"github.com/talos-manager/talos-manager/internal/provider/robot"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

const (
	login    = "#ws+test"
	password = "secret"
)

var token = hetzner.Token("test")

// lab is the records over a simulated Hetzner. Nothing runs on its machines.
type lab struct {
	*manage.Manager
	sim  *simulator.Simulator
	http *http.Client
}

func newLab(t *testing.T) *lab {
	t.Helper()
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: 60, Seed: 1},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{{User: login, Password: password}}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: token}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l := &lab{sim: sim, http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: sim.Dial}}}
	t.Cleanup(l.http.CloseIdleConnections)
	factory, err := imagefactory.New(sim.FactoryURL(), l.http)
	if err != nil {
		t.Fatal(err)
	}
	st := storetest.SQLite(t).Open(t)
	renderer := manage.NewRenderer(st, factory, 1<<24)
	l.Manager = &manage.Manager{Store: st, Drivers: l, Factory: factory, Renderer: renderer, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	return l
}

// Driver implements manage.Drivers.
func (l *lab) Driver(ctx context.Context, accountID string) (provider.Driver, error) {
	a, err := l.Store.Account(ctx, accountID)
	if err != nil {
		return nil, err
	}
	return l.New(a)
}

// New implements manage.Drivers.
func (l *lab) New(a fleet.Account) (provider.Driver, error) {
	if a.Provider == fleet.Manual {
		return manual.Driver{}, nil
	}
	if a.Provider == fleet.HetznerRobot {
		return robot.New(robot.Options{User: a.User, Password: a.Password, BaseURL: l.sim.RobotURL(), HTTP: l.http}), nil
	}
	return hcloud.New(hcloud.Options{Token: a.Token, BaseURL: l.sim.CloudURL(), HTTP: l.http}), nil
}

// rent has a dedicated server of each name in an account, and in our records.
func (l *lab) rent(t *testing.T, names ...string) {
	t.Helper()
	var listed []fleet.Server
	for _, name := range names {
		m := l.sim.AddDedicated(login, name)
		listed = append(listed, fleet.Server{
			Provider: fleet.HetznerRobot, ProviderID: providerID(m), Name: name, Product: m.Product, IPv4: m.IPv4.String(), Architecture: fleet.AMD64,
		})
	}
	a := ok(l.AddAccount(t.Context(), "test", fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}))(t)
	ok(l.Store.SyncServers(t.Context(), a.ID, listed, []fleet.VSwitch{{ProviderID: "4321", Name: "lan", VLAN: 4001}}, time.Now()))(t)
}

// cluster makes a cluster, and assigns servers that are rented already to it.
func (l *lab) cluster(t *testing.T, name string, servers ...string) fleet.Cluster {
	t.Helper()
	c := ok(l.CreateCluster(t.Context(), "test", manage.NewCluster{Name: name, Endpoint: "https://203.0.113.9:6443", Secrets: ok(secrets())(t)}))(t)
	for _, s := range servers {
		ok(l.Assign(t.Context(), "test", s, manage.AssignmentChange{Cluster: &c.Name}))(t)
	}
	return c
}

// secrets are made once for all clusters: looking for RSA primes takes a second.
var secrets = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

// becomes puts a server into a state, as an operation would.
func (l *lab) becomes(t *testing.T, name string, state fleet.State) {
	t.Helper()
	s := ok(l.Store.Server(t.Context(), name))(t)
	must(t, l.Store.SetState(t.Context(), s.ID, s.State, state))
}

// said finds the newest event of a verb.
func (l *lab) said(t *testing.T, verb string) string {
	t.Helper()
	events := ok(l.Store.Events(t.Context(), store.EventFilter{Verb: verb, Limit: 1}))(t)
	if len(events) == 0 {
		t.Fatalf("no event %s", verb)
	}
	return events[0].Actor + ": " + events[0].Text
}

// ok is for calls that have to work.
func ok[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// itself is the hint of an error whose words say what to write instead.
const itself = "-"

// refused checks an error for people: its kind, its words, and that it says what to do next.
func refused(t *testing.T, why string, err error, kind fleet.Kind, text, hint string) {
	t.Helper()
	if hint == itself {
		hint = fleet.HintOf(err)
	} else if err != nil && fleet.HintOf(err) == "" && kind != fleet.NotFound {
		t.Errorf("%s: %v does not say what to do next", why, err)
	}
	if fleet.KindOf(err) != kind || err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(fleet.HintOf(err), hint) {
		t.Errorf("%s: got %s %v (hint %q), want %s with %q (hint %q)", why, fleet.KindOf(err), err, fleet.HintOf(err), kind, text, hint)
	}
}

func ptr[T any](v T) *T { return &v }
