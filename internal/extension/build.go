package extension

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Images are the images of an extension, one for each architecture, and the index of them.
type Images struct {
	Name, Version string
	Index         v1.ImageIndex
	Each          []Image
}

// Image is the one of an architecture.
type Image struct {
	Architecture string
	Digest       string
	Size         int64 // of the layer, compressed
	image        v1.Image
}

// Build makes images of an extension that Lint found nothing wrong with. The same folder always gives the same
// bytes: files are sorted, belong to root, have no time, and lose the right of group and others to write, which
// depends on who checked them out. No architectures are all that it can be built for.
func (e *Extension) Build(architectures ...string) (*Images, error) {
	if len(architectures) == 0 {
		architectures = e.Architectures
	}
	m := e.Manifest.Metadata
	images := &Images{Name: m.Name, Version: m.Version, Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	architectures = slices.Compact(slices.Sorted(slices.Values(architectures)))
	for _, arch := range architectures {
		if !slices.Contains(e.Architectures, arch) {
			return nil, fleet.Errorf(fleet.Invalid, "extension %s has no programs for %s, only for %s", m.Name, arch, strings.Join(e.Architectures, " and ")).
				WithHint("put them into rootfs-%s", arch)
		}
		image, err := e.image(arch)
		if err != nil {
			return nil, fmt.Errorf("build extension %s for %s: %w", m.Name, arch, err)
		}
		images.Each = append(images.Each, image)
		images.Index = mutate.AppendManifests(images.Index, mutate.IndexAddendum{Add: image.image, Descriptor: v1.Descriptor{Platform: platform(arch)}})
	}
	images.Index = mutate.Annotations(images.Index, e.annotations()).(v1.ImageIndex)
	return images, nil
}

func platform(arch string) *v1.Platform { return &v1.Platform{OS: "linux", Architecture: arch} }

func (e *Extension) annotations() map[string]string {
	m := e.Manifest.Metadata
	all := map[string]string{
		"org.opencontainers.image.title": m.Name, "org.opencontainers.image.version": m.Version,
		"org.opencontainers.image.authors": m.Author, "org.opencontainers.image.description": strings.TrimSpace(m.Description),
	}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

func (e *Extension) image(arch string) (Image, error) {
	tree := e.on(arch)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(e.pack(w, tree)) }() // ends when r is read or closed
		return r, nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return Image{}, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(base, &v1.ConfigFile{
		OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Labels: e.annotations()},
		Created: v1.Time{Time: time.Unix(0, 0).UTC()},
	})
	if err != nil {
		return Image{}, err
	}
	if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "talos-manager extension build", Created: v1.Time{Time: time.Unix(0, 0).UTC()}}}); err != nil {
		return Image{}, err
	}
	image = mutate.Annotations(image, e.annotations()).(v1.Image)
	digest, err := image.Digest()
	if err != nil {
		return Image{}, err
	}
	size, err := layer.Size()
	return Image{Architecture: arch, Digest: digest.String(), Size: size, image: image}, err
}

// pack writes the layer: the manifest and rootfs, as Talos' loader wants them.
func (e *Extension) pack(to io.Writer, tree map[string]placed) error {
	w := tar.NewWriter(to)
	manifest, err := os.ReadFile(filepath.Join(e.dir, ManifestFile))
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: ManifestFile, Mode: 0o644, Size: int64(len(manifest)), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	if _, err := w.Write(manifest); err != nil {
		return err
	}
	for _, at := range slices.Sorted(maps.Keys(tree)) {
		if err := e.packFile(w, tree[at]); err != nil {
			return err
		}
	}
	return w.Close()
}

func (e *Extension) packFile(w *tar.Writer, f placed) error {
	h := &tar.Header{Name: strings.TrimSuffix("rootfs"+f.path, "/"), Mode: mode(f.mode), ModTime: time.Unix(0, 0)}
	switch {
	case f.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case f.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
	default:
		h.Typeflag, h.Size = tar.TypeReg, f.size
	}
	if err := w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	in, err := os.Open(filepath.Join(e.dir, f.where()))
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(w, in)
	if err == nil && n != f.size {
		err = fmt.Errorf("%s changed while it was read", f.where())
	}
	return err
}

// mode is what an image keeps of a file's mode: all but the right of group and others to write. A folder that
// everybody writes into, as /tmp, keeps it.
func mode(m fs.FileMode) int64 {
	bits := int64(m.Perm() &^ 0o022)
	if m.IsDir() && m&fs.ModeSticky != 0 {
		bits = int64(m.Perm()) | 0o1000
	}
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	return bits
}
