package factory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/imager/imageropts"
	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// keep is how many assets stay in memory; each takes some 3 MB.
const keep = 24

// asset is a file that was asked for once.
type asset struct {
	once sync.Once
	open func() io.ReadSeeker
	etag string
	err  error
}

// ImageSpec says what the images of a schematic are made of; platform and arch as in metal-amd64.
func (f *Factory) ImageSpec(id, version, platform, arch string) (world.ImageSpec, error) {
	s, err := f.schematic(id)
	if err != nil {
		return world.ImageSpec{}, err
	}
	if err := available(version); err != nil {
		return world.ImageSpec{}, err
	}
	if arch != "amd64" && arch != "arm64" {
		return world.ImageSpec{}, problem{http.StatusBadRequest, fmt.Sprintf("invalid architecture: %q", arch)}
	}
	spec := world.ImageSpec{
		Version: version, Arch: arch, Platform: platform, Schematic: id,
		KernelArgs: s.Customization.ExtraKernelArgs, Meta: map[uint8]string{},
	}
	for _, m := range s.Customization.Meta {
		spec.Meta[m.Key] = m.Value
	}
	if s.Customization.Bootloader != imageropts.BootLoaderKindNone {
		spec.Loader = s.Customization.Bootloader.String()
	}
	if spec.Extensions, err = extensionsOf(s, version); err != nil {
		return spec, err
	}
	return spec, suits(s, version)
}

// extensionsOf finds the extensions of a schematic by their names, or by the names that they have now
// (internal/profile EnhanceFromSchematic).
func extensionsOf(s Schematic, version string) ([]string, error) {
	offered := Extensions(version)
	var refs []string
	for _, name := range s.Customization.SystemExtensions.OfficialExtensions {
		i := slices.IndexFunc(offered, func(e Extension) bool { return e.Name == name })
		if i < 0 {
			i = slices.IndexFunc(offered, func(e Extension) bool { return e.Name == alias(name) })
		}
		if i < 0 {
			return nil, problem{http.StatusBadRequest, fmt.Sprintf("official extension %q is not available for Talos version %s", name, version)}
		}
		refs = append(refs, offered[i].Ref)
	}
	return refs, nil
}

// suits refuses what a version of Talos cannot do. The overlay is found by its name alone.
func suits(s Schematic, version string) error {
	can := quirks.New(version)
	switch {
	case s.Customization.EmbeddedMachineConfiguration != "" && !can.SupportsEmbeddedConfig():
		return problem{http.StatusBadRequest, fmt.Sprintf("embedding configuration is not supported for Talos version %s", version)}
	case s.Overlay.Name == "":
		return nil
	case !can.SupportsOverlay():
		return problem{http.StatusBadRequest, fmt.Sprintf("overlay is not supported for Talos version %s", version)}
	case !slices.ContainsFunc(Overlays(version), func(o Overlaid) bool { return o.Name == s.Overlay.Name }):
		return problem{http.StatusBadRequest, fmt.Sprintf("official overlay %q is not available for Talos version %s", s.Overlay.Name, version)}
	}
	return nil
}

// image serves GET and HEAD of everything under /image.
func (f *Factory) image(w http.ResponseWriter, r *http.Request) error {
	id, path := r.PathValue("schematic"), r.PathValue("path")
	if strings.HasSuffix(path, ".sha256") || strings.HasSuffix(path, ".sha512") {
		return problem{http.StatusPaymentRequired, "enterprise not enabled: checksum endpoint is not available"}
	}
	if f.fires(func(x *Faults) *int { return &x.ImageMissing }) {
		return problem{http.StatusNotFound, fmt.Sprintf("schematic ID %q not found", id)}
	}
	if f.fires(func(x *Faults) *int { return &x.ImageError }) {
		return fmt.Errorf("a fault")
	}
	if _, err := f.schematic(id); err != nil {
		return err
	}
	v, err := version(r)
	if err != nil {
		return err
	}
	a, err := f.asset(id, v, path)
	if err != nil {
		return err
	}
	if f.opts.Redirect && r.Method != http.MethodHead && strings.HasPrefix(r.URL.Path, "/image/") {
		http.Redirect(w, r, f.opts.URL+"/cdn"+strings.TrimPrefix(r.URL.Path, "/image"), http.StatusFound)
		return nil
	}
	w.Header().Set("Content-Type", contentType(path))
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s"`, path))
	w.Header().Set("ETag", a.etag)
	if r.Method == http.MethodHead {
		http.ServeContent(w, r, "", time.Time{}, a.open())
		return nil
	}
	w, content := f.spoil(w, r, a.open())
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// asset gives a file, building it if nobody asked for it lately.
func (f *Factory) asset(id, version, path string) (*asset, error) {
	key := id + "/" + version + "/" + path
	f.mu.Lock()
	a := f.assets[key]
	if a == nil {
		for old := range f.assets {
			if len(f.assets) >= keep {
				delete(f.assets, old)
			}
		}
		a = &asset{etag: tag(key)}
		f.assets[key] = a
	}
	f.mu.Unlock()
	a.once.Do(func() { a.open, a.err = f.build(id, version, path) })
	if a.err != nil {
		f.mu.Lock()
		delete(f.assets, key) // the schematic or the version may come to exist
		f.mu.Unlock()
		return nil, a.err
	}
	return a, nil
}

// tag stands for the content: images of one key are the same for ever.
func tag(key string) string {
	sum := sha256.Sum256([]byte(key))
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// build makes the file of a path; the forms are those of image-factory's internal/profile.ParseFromPath.
func (f *Factory) build(id, version, path string) (func() io.ReadSeeker, error) {
	spec := func(platform, arch string) (world.ImageSpec, error) { return f.ImageSpec(id, version, platform, arch) }
	if arch, ok := strings.CutPrefix(path, "kernel-"); ok {
		s, err := spec("metal", arch)
		return bytesOf(s.Kernel(), err)
	}
	if name, ok := strings.CutPrefix(path, "cmdline-"); ok {
		platform, arch, err := platformArch(name)
		if err != nil {
			return nil, err
		}
		s, err := spec(platform, arch)
		if err != nil {
			return nil, err
		}
		return bytesOf([]byte(s.Cmdline()), nil)
	}
	if name, ok := strings.CutPrefix(path, "initramfs-"); ok && strings.HasSuffix(name, ".xz") {
		s, err := spec("metal", strings.TrimSuffix(name, ".xz"))
		return bytesOf(s.Initramfs(), err)
	}
	if name, ok := strings.CutSuffix(path, "-uki.efi"); ok {
		platform, arch, err := platformArch(name)
		if err != nil {
			return nil, err
		}
		s, err := spec(platform, arch)
		if err != nil {
			return nil, err
		}
		return bytesOf(s.UKI(), nil)
	}
	return f.buildDisk(spec, path)
}

func (f *Factory) buildDisk(spec func(platform, arch string) (world.ImageSpec, error), path string) (func() io.ReadSeeker, error) {
	name, format, ok := strings.Cut(path, ".raw")
	if !ok || !slices.Contains([]string{"", ".zst", ".xz", ".gz"}, format) {
		return nil, problem{http.StatusBadRequest, fmt.Sprintf("invalid profile path: %q", path)}
	}
	platform, arch, err := platformArch(name)
	if err != nil {
		return nil, err
	}
	s, err := spec(platform, arch)
	if err != nil {
		return nil, err
	}
	img, err := world.BuildImage(s)
	if err != nil {
		return nil, err
	}
	if format == "" {
		return func() io.ReadSeeker { return img.Reader() }, nil
	}
	return bytesOf(pack(img, format))
}

func bytesOf(b []byte, err error) (func() io.ReadSeeker, error) {
	return func() io.ReadSeeker { return bytes.NewReader(b) }, err
}

func platformArch(s string) (platform, arch string, err error) {
	if strings.HasSuffix(s, "-secureboot") {
		return "", "", problem{http.StatusBadRequest, "secure boot is disabled"}
	}
	platform, arch, ok := strings.Cut(s, "-")
	if !ok || platform != "metal" && platform != "hcloud" {
		return "", "", problem{http.StatusBadRequest, fmt.Sprintf("invalid platform-arch: %q", s)}
	}
	return platform, arch, nil
}

// contentType as image-factory's internal/mime has it.
func contentType(path string) string {
	switch {
	case strings.HasSuffix(path, ".xz"):
		return "application/x-xz"
	case strings.HasSuffix(path, ".gz"):
		return "application/gzip"
	case strings.HasSuffix(path, ".efi"):
		return "application/efi"
	}
	return "application/octet-stream"
}
