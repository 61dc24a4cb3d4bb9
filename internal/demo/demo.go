// Package demo does the whole job on a simulated Hetzner: it starts an app as serve does, only with the simulator's
// addresses and dialer, and then is nothing but a client of its API. What it shows is what the product does.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Options of a demo. Zero values: five servers, no faults, 20 times faster than life.
type Options struct {
	Servers int           // how many to install
	Faults  uint64        // seed of injected faults; 0: none
	Dir     string        // where it keeps its data and writes talosconfig, kubeconfig and env.sh
	Once    bool          // end when the cluster is healthy, instead of staying up
	Expose  bool          // every simulated API on loopback addresses
	Speed   float64       // of the simulated world
	Listen  string        // of the manager; "": 127.0.0.1:8080, or a free port if that is taken
	Within  time.Duration // the job must be done by then; 0: 10 min
	Out     io.Writer
	Version string
	Log     *slog.Logger // nil: to DIR/manager.log
}

// marker tells a folder of ours from one whose contents somebody needs.
const marker = ".talos-manager-demo"

// Run runs the demo. With Once its error says why the cluster is not healthy; without it, it returns when ctx ends.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if o.Servers < 1 || o.Servers > 2000 {
		return fleet.Errorf(fleet.Invalid, "--servers %d", o.Servers).WithHint("1 to 2000")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	o.Dir = dir
	release, err := prepare(o.Dir)
	if err != nil {
		return err
	}
	defer release()
	if o.Log == nil {
		f, err := os.Create(filepath.Join(o.Dir, "manager.log"))
		if err != nil {
			return err
		}
		defer f.Close()
		o.Log = slog.New(slog.NewTextHandler(f, nil))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stage, err := raise(ctx, o)
	if err != nil {
		return err
	}
	defer stage.drop()
	err = stage.perform(ctx)
	if o.Once || err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() == nil {
		fmt.Fprintln(o.Out, "\nIt stays up: press Ctrl-C to end it.")
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-stage.ended:
		return err
	}
}

func (o Options) withDefaults() Options {
	if o.Servers == 0 {
		o.Servers = 5
	}
	if o.Dir == "" {
		o.Dir = "talos-manager-demo"
	}
	if o.Speed <= 0 {
		o.Speed = 20
	}
	if o.Within <= 0 {
		o.Within = 10 * time.Minute
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	return o
}

// prepare makes the folder anew, and keeps others out until release. One that is not empty and not ours is refused.
func prepare(dir string) (release func(), err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fleet.Errorf(fleet.Invalid, "--dir: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); err != nil && len(entries) > 0 {
		return nil, fleet.Errorf(fleet.Refused, "--dir %s is not empty and no demo made it", dir).WithHint("name another folder")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "--dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, marker), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "--dir: %w", err)
	}
	if !lock(f) {
		f.Close()
		return nil, fleet.Errorf(fleet.Conflict, "a demo runs in --dir %s", dir).WithHint("end it first, or name another folder")
	}
	if err := renew(dir, f); err != nil {
		f.Close()
		return nil, fleet.Errorf(fleet.Invalid, "--dir: %w", err)
	}
	return func() { f.Close() }, nil
}

// renew removes what an earlier demo left.
func renew(dir string, f *os.File) error {
	for _, name := range []string{"data", "talosconfig", "kubeconfig", "env.sh", "manager.log"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		return err
	}
	_, err := f.WriteString("made by talos-manager demo; it may delete what is in here\n")
	return err
}

// stage is the manager and its pretend world.
type stage struct {
	o        Options
	world    *cast
	sim      *simulator.Simulator
	app      *app.App
	client   *client.Client
	url      string
	password string
	token    string
	begun    time.Time
	ended    chan error // the manager's end
	stop     context.CancelFunc
}

// raise starts the simulator and the manager.
func raise(ctx context.Context, o Options) (*stage, error) {
	s := &stage{o: o, begun: time.Now(), ended: make(chan error, 1)}
	var err error
	if s.sim, s.world, err = populate(o); err != nil {
		return nil, err
	}
	l, err := listen(ctx, o.Listen)
	if err != nil {
		s.sim.Close()
		return nil, err
	}
	s.url = "http://" + l.Addr().String()
	settings, err := app.Read(map[string]string{
		"data-dir": filepath.Join(o.Dir, "data"), "host": s.url, "listen": l.Addr().String(),
		"robot-url": s.sim.RobotURL(), "cloud-url": s.sim.CloudURL(), "factory-url": s.sim.FactoryURL(),
		"sync-every": "5m", "look-every": "2s", "pace": fmt.Sprint(o.Speed),
	}, func(string) string { return "" }, "")
	if err == nil {
		s.app, err = app.New(ctx, settings, app.Options{
			Version: o.Version, Log: o.Log, Dial: s.sim.Dial,
			Engine: workflow.Options{Poll: 100 * time.Millisecond, Backoff: 200 * time.Millisecond},
		})
	}
	if err != nil {
		l.Close()
		s.sim.Close()
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	s.stop = stop
	go func() { s.ended <- s.app.Run(running, l) }()
	if err := s.login(ctx); err != nil {
		s.drop()
		return nil, err
	}
	return s, nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	if addr != "" {
		l, err := config.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "--listen: %w", err).WithHint("choose another address, or none: then a free port is taken")
		}
		return l, nil
	}
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:8080")
	if err != nil {
		return config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return l, nil
}

// login makes an API token with the generated password, as a person would.
func (s *stage) login(ctx context.Context) error {
	password, err := os.ReadFile(s.app.Access.PasswordFile)
	if err != nil {
		return err
	}
	s.password = string(password[:len(password)-1])
	first, err := client.New(client.Options{URL: s.url, Password: s.password})
	if err != nil {
		return err
	}
	made, err := first.CreateToken(ctx, client.NewToken{Name: "demo"})
	if err != nil {
		return err
	}
	s.token = made.Token
	s.client, err = client.New(client.Options{URL: s.url, Token: s.token})
	return err
}

// drop ends the manager, then its world.
func (s *stage) drop() {
	s.stop()
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
	}
	s.app.Close()
	s.sim.Close()
}
