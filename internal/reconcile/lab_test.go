package reconcile_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/reconcile"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
)

const (
	login    = "#ws+test"
	password = "secret"
)

var token = hetzner.Token("test")

// lab is the whole program on a simulated Hetzner. Its loops do not run: a test calls what they would.
type lab struct {
	*reconcile.Reconciler
	sim *simulator.Simulator
	app *app.App
}

func newLab(t *testing.T) *lab {
	t.Helper()
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: 120, Seed: 1},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{{User: login, Password: password}}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: token}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := app.Read(map[string]string{
		"data-dir": t.TempDir(), "password": "x", "host": "http://" + l.Addr().String(), "pace": "120",
		"robot-url": sim.RobotURL(), "cloud-url": sim.CloudURL(), "factory-url": sim.FactoryURL(),
	}, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), settings, app.Options{Version: "test", Log: slog.New(slog.DiscardHandler), Dial: sim.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	server := &http.Server{Handler: a.Handler, ReadHeaderTimeout: time.Second}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l) //nolint:errcheck // ends with Close
	return &lab{Reconciler: a.Reconciler, sim: sim, app: a}
}

func (l *lab) account(t *testing.T, a fleet.Account) fleet.Account {
	t.Helper()
	kept, err := l.app.Manager.AddAccount(t.Context(), "test", a)
	must(t, err)
	return kept
}

func (l *lab) robot(t *testing.T) fleet.Account {
	t.Helper()
	return l.account(t, fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password})
}

func (l *lab) cloud(t *testing.T) fleet.Account {
	t.Helper()
	return l.account(t, fleet.Account{Name: "cloud", Provider: fleet.HetznerCloud, Token: token})
}

func (l *lab) server(t *testing.T, name string) fleet.Server {
	t.Helper()
	s, err := l.Store.Server(t.Context(), name)
	must(t, err)
	return s
}

// running installs a control plane and a worker.
func (l *lab) running(t *testing.T) fleet.Cluster {
	t.Helper()
	plane := l.sim.AddCloud(token, "control-plane-1")
	l.sim.AddCloud(token, "worker-1")
	l.cloud(t)
	c, err := l.app.Manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "prod", Endpoint: "https://" + plane.IPv4.String() + ":6443"})
	must(t, err)
	must(t, l.app.Engine.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(t, l.app.Engine.Stop(ctx))
	})
	var ids []string
	for _, name := range []string{"control-plane-1", "worker-1"} {
		_, err := l.app.Manager.Assign(t.Context(), "test", name, manage.AssignmentChange{Cluster: &c.Name})
		must(t, err)
		op, err := l.app.Operations.Install(t.Context(), "test", name, operation.InstallOptions{})
		must(t, err)
		ids = append(ids, op.ID)
	}
	for _, id := range ids {
		until(t, "an install to end", func() error {
			op, err := l.Store.Operation(t.Context(), id)
			if err == nil && op.State != fleet.Succeeded {
				return fleet.Errorf(fleet.Unavailable, "it is %s at %q: %s", op.State, op.Step, op.Error)
			}
			return err
		})
	}
	return c
}

// kubernetes is the cluster's API as an administrator has it.
func (l *lab) kubernetes(t *testing.T, c fleet.Cluster) kubernetes.Interface {
	t.Helper()
	text, err := l.app.Operations.Kubeconfig(t.Context(), c.ID)
	must(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	must(t, err)
	config.Dial = l.sim.Dial
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

// said are the texts of a server's events of a verb, newest first.
func (l *lab) said(t *testing.T, verb string) (texts []string) {
	t.Helper()
	events, err := l.Store.Events(t.Context(), store.EventFilter{Verb: verb})
	must(t, err)
	for _, e := range events {
		texts = append(texts, e.Text)
	}
	return texts
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until asks until there is no error.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
