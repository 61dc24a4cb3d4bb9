// Package factory is the Image Factory of the pretend world: its HTTP API as the real one answers it
// (siderolabs/image-factory v1.5.0, internal/frontend/http and docs/api.md), serving small real Talos images.
// Schematics are content-addressed by the real computation, so ids equal those of factory.talos.dev. It does not serve the OCI registry, secure boot assets, installers as tar or sign anything.
package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Vanilla is the id of the schematic without any customisation; every factory knows it.
const Vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// Faults of the factory. The zero value is a good factory. Counts fire that often; a negative one always.
type Faults struct {
	Outage         int   // requests answered 503
	ImageMissing   int   // image requests answered 404
	ImageError     int   // image requests answered 500
	Corrupt        int   // images with a flipped byte in their middle
	Truncated      int   // images whose connection breaks after their half
	BytesPerSecond int64 // of the world, for images; 0: no limit
}

// Options of a factory.
type Options struct {
	// URL is its own address in the answers that name it; default http://factory.sim.
	URL string
	// Redirect answers image requests with a 302 to a path of its own, as the real factory does to its CDN.
	Redirect bool
	Faults   Faults
}

// Factory is an Image Factory. It implements http.Handler.
type Factory struct {
	world *world.World
	opts  Options
	mux   *http.ServeMux

	mu         sync.Mutex
	faults     Faults
	schematics map[string]Schematic
	assets     map[string]*asset
}

// New makes a factory that knows the vanilla schematic.
func New(w *world.World, o Options) *Factory {
	if o.URL == "" {
		o.URL = "http://factory.sim"
	}
	f := &Factory{
		world: w, opts: o, faults: o.Faults, mux: http.NewServeMux(),
		schematics: map[string]Schematic{Vanilla: {}}, assets: map[string]*asset{},
	}
	f.handle("GET /healthz", func(http.ResponseWriter, *http.Request) error { return nil })
	f.handle("POST /schematics", f.createSchematic)
	f.handle("GET /schematics/{schematic}", f.getSchematic)
	f.handle("GET /versions", f.listVersions)
	f.handle("GET /version/{version}/extensions/official", f.listExtensions)
	f.handle("GET /version/{version}/overlays/official", f.listOverlays)
	f.handle("GET /image/{schematic}/{version}/{path}", f.image)
	f.handle("GET /cdn/{schematic}/{version}/{path}", f.image)
	f.handle("GET /pxe/{schematic}/{version}/{path}", f.pxe)
	f.handle("GET /talosctl/{version}", f.listTalosctl)
	return f
}

// ServeHTTP answers.
func (f *Factory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.fires(func(x *Faults) *int { return &x.Outage }) {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Server", "Image Factory v1.5.0")
	f.mux.ServeHTTP(w, r)
}

// Fault changes the faults.
func (f *Factory) Fault(change func(*Faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.faults)
}

// fires says whether a fault happens now, and counts it.
func (f *Factory) fires(count func(*Faults) *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := count(&f.faults)
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// problem is an error with its HTTP status; any other error is a 500 that does not say why.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

func (f *Factory) handle(pattern string, h func(http.ResponseWriter, *http.Request) error) {
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		var p problem
		switch {
		case err == nil:
		case errors.As(err, &p):
			http.Error(w, p.text, p.status)
		default:
			http.Error(w, "internal server error", http.StatusInternalServerError)
		}
	})
}

func (f *Factory) createSchematic(w http.ResponseWriter, r *http.Request) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	s, err := readSchematic(data)
	if err != nil {
		return err
	}
	id, err := f.Put(s)
	if err != nil {
		return err
	}
	_, text, err := s.id()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(map[string]string{"id": id, "schematic": string(text)})
}

// Put stores a schematic and gives its id.
func (f *Factory) Put(s Schematic) (string, error) {
	id, _, err := s.id()
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.schematics[id] = s
	return id, nil
}

func (f *Factory) schematic(id string) (Schematic, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.schematics[id]
	if !ok {
		return s, problem{http.StatusNotFound, fmt.Sprintf("schematic ID %q not found", id)}
	}
	return s, nil
}

func (f *Factory) getSchematic(w http.ResponseWriter, r *http.Request) error {
	s, err := f.schematic(r.PathValue("schematic"))
	if err != nil {
		return problem{http.StatusNotFound, "schematic not found"}
	}
	_, data, err := s.id()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, err = w.Write(data)
	return err
}

// listVersions lists what is offered, or with ?broken=true what is known not to work: nothing here.
func (f *Factory) listVersions(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("broken") == "true" {
		return json.NewEncoder(w).Encode([]string{})
	}
	return json.NewEncoder(w).Encode(Versions())
}

// version reads the path's version, with or without its v; a malformed one is a 500, as in reality.
func version(r *http.Request) (string, error) {
	v, err := semver.Parse(strings.TrimPrefix(r.PathValue("version"), "v"))
	if err != nil {
		return "", fmt.Errorf("error parsing version: %w", err)
	}
	return "v" + v.String(), nil
}

// available refuses a version that is not offered.
func available(v string) error {
	if !slices.Contains(Versions(), v) {
		return problem{http.StatusNotFound, fmt.Sprintf("version %s is not available", strings.TrimPrefix(v, "v"))}
	}
	return nil
}

func (f *Factory) listExtensions(w http.ResponseWriter, r *http.Request) error {
	v, err := version(r)
	if err != nil {
		return err
	}
	if err := available(v); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(Extensions(v))
}

func (f *Factory) listOverlays(w http.ResponseWriter, r *http.Request) error {
	v, err := version(r)
	if err != nil {
		return err
	}
	if !quirks.New(v).SupportsOverlay() {
		return json.NewEncoder(w).Encode([]Overlaid{})
	}
	if err := available(v); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(Overlays(v))
}

func (f *Factory) listTalosctl(w http.ResponseWriter, r *http.Request) error {
	v, err := version(r)
	if err != nil {
		return err
	}
	if err := available(v); err != nil {
		return err
	}
	var urls []string
	for _, name := range []string{"darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64.exe"} {
		urls = append(urls, fmt.Sprintf("%s/talosctl/%s/talosctl-%s", f.opts.URL, v, name))
	}
	return json.NewEncoder(w).Encode(urls)
}

// pxe answers the script of internal/frontend/http/standard.ipxe.
func (f *Factory) pxe(w http.ResponseWriter, r *http.Request) error {
	id, path := r.PathValue("schematic"), r.PathValue("path")
	v, err := version(r)
	if err != nil {
		return err
	}
	platform, arch, ok := strings.Cut(path, "-")
	if !ok {
		return problem{http.StatusBadRequest, fmt.Sprintf("invalid platform-arch: %q", path)}
	}
	spec, err := f.ImageSpec(id, v, platform, arch)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "#!ipxe\n\nimgfree\nkernel %[1]s/image/%[2]s/%[3]s/kernel-%[4]s %[5]s\ninitrd %[1]s/image/%[2]s/%[3]s/initramfs-%[4]s.xz\nboot\n",
		f.opts.URL, id, v, arch, spec.Cmdline())
	return err
}
