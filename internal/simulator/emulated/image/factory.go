package image

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Factory is an image factory whose images boot. It builds metal images for amd64 of any schematic, on request; everything else
// it leaves to the simulated factory. It implements http.Handler.
type Factory struct {
	simulated *factory.Factory
	parts     Parts
	dir       string

	mu    sync.Mutex // one image at a time: building one takes a second
	built map[string]Image
}

// NewFactory makes a factory that keeps its files in a directory. The world is where the simulated one lives.
func NewFactory(ctx context.Context, dir string, p Parts, w *world.World) (*Factory, error) {
	if p.Initramfs == "" {
		p.Initramfs = filepath.Join(dir, "initramfs-amd64.xz")
		if err := WriteInitramfs(ctx, p.Initramfs, p.Modules); err != nil {
			return nil, err
		}
	}
	return &Factory{simulated: factory.New(w, factory.Options{}), parts: p, dir: dir, built: map[string]Image{}}, nil
}

// ServeHTTP answers.
func (f *Factory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.Handle("/", f.simulated)
	for _, name := range []string{"metal-amd64.raw.zst", "metal-amd64.raw", "kernel-amd64", "initramfs-amd64.xz", "metal-amd64-uki.efi", "cmdline-metal-amd64"} {
		mux.HandleFunc("GET /image/{schematic}/{version}/"+name, func(w http.ResponseWriter, r *http.Request) {
			if err := f.serve(w, r, name); err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
			}
		})
	}
	mux.ServeHTTP(w, r)
}

func (f *Factory) serve(w http.ResponseWriter, r *http.Request, name string) error {
	i, err := f.Image(r.Context(), r.PathValue("schematic"), r.PathValue("version"))
	if err != nil {
		return err
	}
	if name == "cmdline-metal-amd64" {
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader([]byte(i.Cmdline)))
		return nil
	}
	file, err := os.Open(map[string]string{
		"metal-amd64.raw.zst": i.Raw + ".zst", "metal-amd64.raw": i.Raw, "kernel-amd64": i.Kernel,
		"initramfs-amd64.xz": i.Initramfs, "metal-amd64-uki.efi": i.UKI,
	}[name])
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("ETag", fmt.Sprintf("%q", r.URL.Path))
	http.ServeContent(w, r, name, time.Time{}, file)
	return nil
}

// Image gives the image of a schematic, which is built if nobody asked for it before.
func (f *Factory) Image(ctx context.Context, schematic, version string) (Image, error) {
	spec, err := f.simulated.ImageSpec(schematic, version, "metal", "amd64")
	if err != nil {
		return Image{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := schematic + "-" + version
	if i, ok := f.built[key]; ok {
		return i, nil
	}
	dir := filepath.Join(f.dir, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Image{}, err
	}
	i, err := Build(context.WithoutCancel(ctx), dir, f.parts, Options{Version: version, KernelArgs: spec.KernelArgs, Meta: spec.Meta})
	if err == nil {
		_, err = i.Compress()
	}
	if err == nil {
		f.built[key] = i
	}
	return i, err
}
