// Package app is the wiring: the only place that builds the parts and connects them. Tests and the demo start the
// same App as serve does, with other addresses and another dialer.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/access"
	"github.com/talos-manager/talos-manager/internal/api"
	"github.com/talos-manager/talos-manager/internal/bootconfig"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/imagecache"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/provider/robot"
	"github.com/talos-manager/talos-manager/internal/reconcile"
	"github.com/talos-manager/talos-manager/internal/seal"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Options are what differs between the real world and a simulated one.
type Options struct {
	Version string // of this program
	Log     *slog.Logger
	// Dial opens every connection to machines and foreign APIs; nil is the system's network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Engine overrides the engine's defaults.
	Engine workflow.Options
}

// App is the program, built but for the listener.
type App struct {
	Settings   Settings
	Store      *store.Store
	Manager    *manage.Manager
	Operations *operation.Operations
	Reconciler *reconcile.Reconciler
	Engine     *workflow.Engine
	Access     *access.Access
	Boot       *bootconfig.Handler
	Images     *imagecache.Cache
	Key        ssh.Signer // of rescue systems
	Handler    http.Handler

	log *slog.Logger
	box *seal.Box
}

// New opens the database and builds everything; nothing runs yet. Close it.
func New(ctx context.Context, s Settings, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{Settings: s, log: o.Log}
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	if err := a.build(ctx, o); err != nil {
		return nil, errors.Join(err, a.Store.Close())
	}
	return a, nil
}

// open opens the database with the sealing key.
func (a *App) open(ctx context.Context) error {
	box, err := sealBox(a.Settings)
	if err != nil {
		return err
	}
	a.box = box
	a.Store, err = store.Open(ctx, store.Options{DataDir: a.Settings.DataDir, DatabaseURL: a.Settings.DatabaseURL, Box: box, Logger: a.log, Exclusive: true})
	return err
}

func sealBox(s Settings) (*seal.Box, error) {
	if s.SealKey != "" {
		box, err := seal.ParseBox(s.SealKey)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "setting seal-key (SEAL_KEY): %w", err)
		}
		return box, nil
	}
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "setting data-dir (DATA_DIR): %w", err)
	}
	return seal.LoadOrCreate(filepath.Join(s.DataDir, "seal.key"))
}

// build makes the parts, bottom up.
func (a *App) build(ctx context.Context, o Options) (err error) {
	client := &http.Client{Timeout: 60 * time.Second, Transport: transport(o.Dial)}
	d := &drivers{store: a.Store, settings: a.Settings, http: client, pace: a.Settings.Pace, logins: &robot.Logins{}, made: map[string]made{}}
	factory, err := imagefactory.New(a.Settings.FactoryURL, client)
	if err != nil {
		return err
	}
	if a.Key, err = a.sshKey(ctx); err != nil {
		return err
	}
	renderer := manage.NewRenderer(a.Store, factory, manage.RenderedBytes)
	a.Manager = &manage.Manager{Store: a.Store, Drivers: d, Factory: factory, Renderer: renderer, Log: o.Log, Now: time.Now}
	a.Images = a.images(o)
	a.Operations = operation.New(operation.Env{
		Store: a.Store, Drivers: d, Factory: factory, Renderer: renderer, Key: a.Key, Dial: o.Dial,
		URL: a.Settings.URL, Images: a.Settings.Images, SSHPort: a.Settings.SSHPort, Pace: a.Settings.Pace, Log: o.Log,
		ImageCache: a.Images, ViaManager: a.Settings.ViaManager,
	})
	if a.Engine, err = a.engine(o); err != nil {
		return err
	}
	a.Operations.Use(a.Engine)
	a.Reconciler = &reconcile.Reconciler{
		Store: a.Store, Drivers: d, Operations: a.Operations, Log: o.Log, Now: time.Now,
		SyncEvery: a.Settings.SyncEvery, LookEvery: a.Settings.LookEvery,
	}
	a.Manager.Sync = func(ctx context.Context, accountID string) error {
		_, err := a.Reconciler.Sync(ctx, accountID)
		return err
	}
	if a.Access, err = access.New(ctx, a.Store, a.Settings.Password, filepath.Join(a.Settings.DataDir, "password")); err != nil {
		return err
	}
	a.Access.Source = func(r *http.Request) string { return httpd.Source(r, a.Settings.Proxies) }
	a.Handler = a.routes(o, factory)
	return a.accountsOfSettings(ctx)
}

func (a *App) engine(o Options) (*workflow.Engine, error) {
	eo := o.Engine
	eo.Log = o.Log
	if db := a.Store.SQLite(); db != nil {
		eo.SingleReplica = true
		return workflow.NewEngine(riversqlite.New(db), a.Store, a.Operations.Kinds(), eo)
	}
	return workflow.NewEngine(riverpgxv5.New(a.Store.Postgres()), a.Store, a.Operations.Kinds(), eo)
}

// images opens the cache of images. Its client has no time-out of its own: an image takes as long as it takes.
func (a *App) images(o Options) *imagecache.Cache {
	t := transport(o.Dial)
	t.ResponseHeaderTimeout = 5 * time.Minute // a factory may build the image first
	return imagecache.New(imagecache.Options{
		Dir: filepath.Join(a.Settings.DataDir, "images"), MaxBytes: a.Settings.ImageBytes, Client: &http.Client{Transport: t},
		URL: a.Settings.URL, Key: a.box.Derive("addresses of images"), Log: a.log,
		Source: func(r *http.Request) string { return httpd.Source(r, a.Settings.Proxies) },
	})
}

// routes joins the surfaces. What machines ask needs no login; everything else does.
func (a *App) routes(o Options, factory *imagefactory.Client) http.Handler {
	mux := http.NewServeMux()
	a.Boot = &bootconfig.Handler{Store: a.Store, Renderer: a.Manager.Renderer, Log: o.Log, Now: time.Now, Proxies: a.Settings.Proxies}
	mux.Handle("GET /config", a.Boot)
	mux.Handle(imagecache.Route, a.Images)
	mux.HandleFunc("GET /healthz", a.healthz)
	parts := api.Parts{Version: o.Version, Manager: a.Manager, Operations: a.Operations, Reconciler: a.Reconciler, Access: a.Access, Key: a.Key, Log: o.Log}
	api.Routes(mux, parts)
	web.Routes(mux, web.Parts{Version: o.Version, Manager: a.Manager, Operations: a.Operations, Reconciler: a.Reconciler, Access: a.Access, Key: a.Key, Log: o.Log, About: a.about()})
	return mux
}

// healthz answers 200 while the database does.
func (a *App) healthz(w http.ResponseWriter, r *http.Request) {
	if err := a.Store.Ping(r.Context()); err != nil {
		http.Error(w, err.Error(), httpd.Status(fleet.KindOf(err)))
		return
	}
	w.Write([]byte("ok\n"))
}

// transport is an HTTP transport over the dialer.
func transport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if dial != nil {
		t.DialContext = dial
		t.Proxy = nil
	}
	t.MaxIdleConnsPerHost = 16
	return t
}

// Run serves on l and works until ctx ends, then stops in order: no new steps, running requests end.
func (a *App) Run(ctx context.Context, l net.Listener) error {
	if err := a.Engine.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.Reconciler.Run(ctx) })
	running.Go(func() { a.Boot.Run(ctx) })
	running.Go(func() { a.Images.Run(ctx) })
	err := httpd.Serve(ctx, l, httpd.Options{Handler: a.Handler, Log: a.log, Cert: a.Settings.TLSCert, Key: a.Settings.TLSKey})
	cancel()
	running.Wait()
	stop, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return errors.Join(err, a.Engine.Stop(stop))
}

// Close closes the database.
func (a *App) Close() error { return a.Store.Close() }
