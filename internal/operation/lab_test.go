package operation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/bootconfig"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/hcloud"
	"github.com/talos-manager/talos-manager/internal/provider/manual"
	"github.com/talos-manager/talos-manager/internal/provider/robot"
	"github.com/talos-manager/talos-manager/internal/reconcile"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// speed of the simulated world in these tests.
const speed = 60 / slower

const (
	login    = "#ws+test"
	password = "secret"
)

var token = hetzner.Token("test")

// lab is a simulated Hetzner with everything of ours on it but the surfaces.
type lab struct {
	sim       *simulator.Simulator
	store     *store.Store
	manager   *manage.Manager
	ops       *operation.Operations
	reconcile *reconcile.Reconciler
	http      *http.Client
	config    *httptest.Server
	speed     float64
	ahead     atomic.Int64    // of the time, for our program: nanoseconds
	budget    provider.Budget // of all accounts; nil: each driver has one of its own
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return newLabWith(t, speed, rescuehost.Options{})
}

// newLabWith has a world that runs so many times faster than ours, and special rescue systems.
func newLabWith(t *testing.T, speed float64, rescue rescuehost.Options) *lab {
	t.Helper()
	sim, err := simulator.New(simulator.Options{
		World:  world.Options{Speed: speed, Seed: 1},
		Robot:  hetzner.RobotOptions{Logins: []hetzner.Login{{User: login, Password: password}}, SoftwareReset: oldBoard},
		Cloud:  hetzner.CloudOptions{Projects: []hetzner.Project{{Token: token}}},
		Rescue: rescue,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l := &lab{sim: sim, store: storetest.SQLite(t).Open(t), speed: speed}
	l.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: sim.Dial}}
	t.Cleanup(l.http.CloseIdleConnections)
	factory, err := imagefactory.New(sim.FactoryURL(), l.http)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	renderer := manage.NewRenderer(l.store, factory, 1<<24)
	l.config = httptest.NewServer(&bootconfig.Handler{Store: l.store, Renderer: renderer, Log: log, Now: l.now})
	t.Cleanup(l.config.Close)
	l.manager = &manage.Manager{Store: l.store, Drivers: l, Factory: factory, Renderer: renderer, Log: log, Now: time.Now}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	l.ops = operation.New(operation.Env{Store: l.store, Drivers: l, Factory: factory, Renderer: renderer, Key: key, Dial: l.dial, URL: l.config.URL, Pace: speed, Log: log, Now: l.now})
	l.reconcile = &reconcile.Reconciler{Store: l.store, Drivers: l, Operations: l.ops, Log: log, Now: time.Now}
	return l
}

// oldBoard says which machines have the buttons of older boards: Ctrl-Alt-Del and reset, and no word of the power.
func oldBoard(m *world.Machine) bool { return strings.Contains(m.Name, "old-board") }

// now is the time as our program sees it.
func (l *lab) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

// dial gives up on a machine that is dark sooner than in the real world, where that takes seconds: here they are minutes.
func (l *lab) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, slower*500*time.Millisecond)
	defer cancel()
	return l.sim.Dial(ctx, network, addr)
}

// plainImages makes the operations write an image of the settings instead of the factory's.
func (l *lab) plainImages(url string) {
	env := l.ops.Env
	env.Images = map[fleet.Architecture]string{fleet.AMD64: url}
	l.ops = operation.New(env)
	l.reconcile.Operations = l.ops
}

// Driver implements manage.Drivers.
func (l *lab) Driver(ctx context.Context, accountID string) (provider.Driver, error) {
	a, err := l.store.Account(ctx, accountID)
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
		return robot.New(robot.Options{User: a.User, Password: a.Password, BaseURL: l.sim.RobotURL(), HTTP: l.http, Budget: l.budget, Members: true, RetryEvery: l.pause()}), nil
	}
	return hcloud.New(hcloud.Options{Token: a.Token, BaseURL: l.sim.CloudURL(), HTTP: l.http, Budget: l.budget, PollEvery: l.pause()}), nil
}

// pause is a second of the world.
func (l *lab) pause() time.Duration { return time.Duration(float64(time.Second) / l.speed) }

// engine runs the operations until the test ends.
func (l *lab) engine(t *testing.T, o workflow.Options) *workflow.Engine {
	t.Helper()
	e, err := l.newEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (l *lab) newEngine(o workflow.Options) (*workflow.Engine, error) {
	o.SingleReplica = true
	e, err := workflow.NewEngine(riversqlite.New(l.store.SQLite()), l.store, l.ops.Kinds(), o)
	if err == nil {
		l.ops.Use(e)
	}
	return e, err
}

// secrets are made once for all clusters: looking for RSA primes takes a second.
var secrets = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

// cluster rents servers and makes a cluster of them: names that say control-plane become control planes. They have booted
// what they were delivered with: a boot that is under way takes an activation of the rescue system with it.
func (l *lab) cluster(t *testing.T, dedicated, cloud []string) fleet.Cluster {
	t.Helper()
	ctx := t.Context()
	endpoint := ""
	for _, name := range dedicated {
		m := l.sim.AddDedicated(login, name)
		if endpoint == "" {
			endpoint = m.IPv4.String()
		}
	}
	for _, name := range cloud {
		m := l.sim.AddCloud(token, name)
		if endpoint == "" {
			endpoint = m.IPv4.String()
		}
	}
	for _, a := range []fleet.Account{{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}, {Name: "cloud", Provider: fleet.HetznerCloud, Token: token}} {
		if _, err := l.manager.AddAccount(ctx, "test", a); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.reconcile.SyncAll(ctx); err != nil {
		t.Fatal(err)
	}
	bundle, err := secrets()
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.manager.CreateCluster(ctx, "test", manage.NewCluster{Name: "prod", Endpoint: "https://" + endpoint + ":6443", Secrets: bundle})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(dedicated, cloud...) {
		l.assign(t, name, c)
		l.up(t, name)
	}
	return c
}

func (l *lab) assign(t *testing.T, name string, c fleet.Cluster) {
	t.Helper()
	change := manage.AssignmentChange{Cluster: &c.Name}
	s, err := l.store.Server(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if s.Provider == fleet.HetznerRobot {
		change.InstallDisk = &l.machine(t, name).Disks[0].WWN
	}
	if _, err := l.manager.Assign(t.Context(), "test", name, change); err != nil {
		t.Fatal(err)
	}
}

// finish waits for the end of an operation and gives it.
func (l *lab) finish(t *testing.T, id string, within time.Duration) fleet.Operation {
	t.Helper()
	deadline := time.After(within)
	for {
		op, err := l.store.Operation(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if op.State.Final() || op.State == fleet.Asking {
			return op
		}
		select {
		case <-deadline:
			l.dump(t, op)
			t.Fatalf("operation %s did not end within %s: step %q, waiting for %s", op.Kind, within, op.Step, op.WaitingFor)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *lab) dump(t *testing.T, op fleet.Operation) {
	t.Helper()
	lines, err := l.store.OperationLog(t.Context(), op.ID, 0, 0)
	if err != nil {
		t.Error(err)
	}
	for _, s := range op.Steps {
		t.Logf("%-28s %-10s %d %s", s.Name, s.State, s.Attempts, s.Error)
	}
	for _, line := range lines {
		t.Logf("%s %s: %s", line.At.Format("15:04:05.000"), line.Step, line.Text)
	}
	t.Logf("error: %s; hint: %s", op.Error, op.Hint)
}

func (l *lab) machine(t *testing.T, name string) *world.Machine {
	t.Helper()
	for _, m := range l.sim.World.Machines() {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no machine %s", name)
	return nil
}
