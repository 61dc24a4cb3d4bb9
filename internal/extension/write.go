package extension

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Write writes an OCI image layout: into a folder, or into a file that ends in .tar. What is there is replaced if it is
// such a layout, and else left alone. The layout's index has the image of each architecture with its platform,
// because Talos' imager looks for them there (pkg/imager/profile ContainerAsset), and the index of them all with the
// version as its name, for tools that copy by name.
func (i *Images) Write(to string) error {
	archive := strings.HasSuffix(to, ".tar")
	if err := replaceable(to, archive); err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(to))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(parent, ".layout-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := i.layOut(temporary); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	if archive {
		return pack(temporary, to)
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(temporary, to)
}

// replaceable refuses to write over what is no image layout.
func replaceable(to string, archive bool) error {
	info, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case archive && info.Mode().IsRegular() && packed(to):
		return nil
	case archive || !info.IsDir():
		return fleet.Errorf(fleet.Conflict, "%s is something else than an image", to).WithHint("choose another name")
	}
	have, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	for _, f := range have {
		if !ofLayout(f.Name()) {
			return fleet.Errorf(fleet.Conflict, "folder %s has %s in it, which is not of an image", to, f.Name()).WithHint("choose a folder that is not there yet, or a name that ends in .tar")
		}
	}
	return nil
}

// ofLayout says whether a name is one of those in an image layout.
func ofLayout(name string) bool {
	return slices.Contains([]string{"oci-layout", "index.json", "blobs"}, name)
}

// packed says whether a file is a packed image layout, be it whole or one whose writing was cut short.
func packed(file string) bool {
	in, err := os.Open(file)
	if err != nil {
		return false
	}
	defer in.Close()
	r := tar.NewReader(in)
	for n := 0; ; n++ {
		h, err := r.Next()
		if err != nil {
			return n > 0
		}
		if first, _, _ := strings.Cut(h.Name, "/"); !ofLayout(first) {
			return false
		}
	}
}

func (i *Images) layOut(dir string) error {
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, image := range i.Each {
		if err := out.AppendImage(image.image, layout.WithPlatform(*platform(image.Architecture))); err != nil {
			return err
		}
	}
	return out.AppendIndex(i.Index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": i.Version}))
}

// pack makes a tar of a folder, of the same bytes for the same folder.
func pack(dir, to string) (err error) {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeDir, Name: filepath.ToSlash(rel) + "/", Mode: 0o755, ModTime: time.Unix(0, 0)}
		if d.IsDir() {
			return w.WriteHeader(h)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeReg, filepath.ToSlash(rel), 0o644, info.Size()
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		in, err := os.Open(at)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
		return err
	})
	return errors.Join(err, w.Close())
}

// PushOptions of Push.
type PushOptions struct {
	PlainHTTP bool // no TLS; never needed for localhost and private addresses, with which it is tried by itself
	Transport http.RoundTripper
	UserAgent string
}

// Push sends the images to a registry and gives the reference by digest. A reference without a tag gets the version as
// its tag. The login is the one of docker login: its config file and credential helpers.
func (i *Images) Push(ctx context.Context, to string, o PushOptions) (string, error) {
	ref, err := i.reference(to, o)
	if err != nil {
		return "", err
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	err = remote.WriteIndex(ref, i.Index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithTransport(o.Transport), remote.WithUserAgent(o.UserAgent))
	if err != nil {
		return "", explain(ref, err)
	}
	digest, err := i.Index.Digest()
	return ref.Context().Digest(digest.String()).String(), err
}

// reference reads where to push to. The registry must be said: Docker Hub is meant by nobody who forgets it.
func (i *Images) reference(to string, o PushOptions) (name.Reference, error) {
	options := []name.Option{name.StrictValidation}
	if o.PlainHTTP {
		options = append(options, name.Insecure)
	}
	const hint = "write it like ghcr.io/me/%s:%s"
	if strings.Contains(to, "@") {
		return nil, fleet.Errorf(fleet.Invalid, "push to %s: a digest says what is there already", to).WithHint(hint, i.Name, i.Version)
	}
	if !strings.Contains(path.Base(to), ":") {
		to += ":" + i.Version
	}
	ref, err := name.ParseReference(to, options...)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "push to %s: %w", to, err).WithHint(hint, i.Name, i.Version)
	}
	return ref, nil
}

func explain(ref name.Reference, err error) error {
	doing := "push to " + ref.String()
	kind, hint := fleet.Unavailable, "does the registry answer? For one without TLS give --plain-http"
	if e, ok := errors.AsType[*transport.Error](err); ok {
		switch e.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			kind, hint = fleet.Forbidden, "log in first: docker login "+ref.Context().RegistryStr()
		case http.StatusNotFound:
			kind, hint = fleet.NotFound, "check the name of the repository"
		default:
			hint = "try again later"
		}
	}
	return &fleet.Error{Kind: kind, Text: doing, Hint: hint, Err: err}
}
