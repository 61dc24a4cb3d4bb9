package extension

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/siderolabs/talos/pkg/machinery/extensions"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func build(t *testing.T, dir string, architectures ...string) *Images {
	t.Helper()
	e, problems := lint(t, dir, LintOptions{})
	if problems.Err() != nil {
		t.Fatal(problems.Err())
	}
	images, err := e.Build(architectures...)
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// forTalos finds the image of an architecture as Talos' imager does (pkg/imager/profile/input.go pullFromOCI): in the
// index of the layout, by the platform of the descriptor.
func forTalos(t *testing.T, dir, arch string) v1.Image {
	t.Helper()
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	all, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == arch {
			image, err := path.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
	}
	t.Fatalf("no image for %s in %+v", arch, all)
	return nil
}

// unpack extracts an image as Talos does (pkg/archiver/untar.go), which takes nothing but files, folders and symbolic
// links, and lists what was in it.
func unpack(t *testing.T, image v1.Image, to string) map[string]*tar.Header {
	t.Helper()
	if err := validate.Image(image); err != nil {
		t.Fatal(err)
	}
	r := mutate.Extract(image)
	defer r.Close()
	all := map[string]*tar.Header{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = h
		at := filepath.Join(to, h.Name)
		mode := fs.FileMode(h.Mode).Perm()
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(at, mode|0o700)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, at)
		case tar.TypeReg:
			var text []byte
			if text, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(at, text, mode)
			}
		default:
			t.Errorf("%s is of kind %c", h.Name, h.Typeflag)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheReferencesExtensionIsBuiltAndTalosTakesIt(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image")
	files := with(with(reference(t), box+"link -> hello", "-"), box+"share/deep/file", "x")
	images := build(t, write(t, files))
	if err := images.Write(out); err != nil {
		t.Fatal(err)
	}
	image := forTalos(t, out, "amd64")
	unpacked := filepath.Join(t.TempDir(), "hello-world")
	content := unpack(t, image, unpacked)
	want := []string{
		"manifest.yaml", "rootfs", "rootfs/usr", "rootfs/usr/local", "rootfs/usr/local/etc", "rootfs/usr/local/etc/containers",
		serviceFile, "rootfs/usr/local/lib", "rootfs/usr/local/lib/containers", strings.TrimSuffix(box, "/"), box + "config.ini", box + "hello", box + "link",
		box + "share", box + "share/deep", box + "share/deep/file",
	}
	if got := slices.Sorted(maps.Keys(content)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("it has %q", got)
	}
	if h := content[box+"hello"]; h.Mode != 0o755 || h.Uid != 0 || !h.ModTime.Equal(time.Unix(0, 0)) {
		t.Errorf("hello has %+v", h)
	}
	e, err := extensions.Load(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	version := semver.MustParse("1.14.1")
	if err := e.Validate(extensions.WithValidateConstraints(), extensions.WithValidateContents(), extensions.WithTalosVersion(&version)); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(e.RootfsPath(), ServiceFiles, "hello-world.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if s, problems := ParseService("", text); len(problems) > 0 || s.ID() != "ext-hello-world" {
		t.Error(s, problems)
	}
	config, err := image.ConfigFile()
	if err != nil || config.Architecture != "amd64" || config.OS != "linux" || config.Config.Labels["org.opencontainers.image.title"] != "hello-world" {
		t.Errorf("config %+v, %v", config, err)
	}
	if digest, err := image.Digest(); err != nil || digest.String() != images.Each[0].Digest {
		t.Errorf("digest %s, want %s", digest, images.Each[0].Digest)
	}
}

func TestEachArchitectureGetsItsOwn(t *testing.T) {
	files := with(reference(t), box+"hello", "")
	amd, arm := program(t, elf.EM_X86_64, ""), program(t, elf.EM_AARCH64, "")
	files["rootfs-amd64"+strings.TrimPrefix(box, "rootfs")+"hello"] = amd
	files["rootfs-arm64"+strings.TrimPrefix(box, "rootfs")+"hello"] = arm
	dir := write(t, files)
	out := filepath.Join(t.TempDir(), "image")
	if err := build(t, dir).Write(out); err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[string]string{"amd64": amd, "arm64": arm} {
		to := filepath.Join(t.TempDir(), "x")
		unpack(t, forTalos(t, out, arch), to)
		if got, err := os.ReadFile(filepath.Join(to, box, "hello")); err != nil || string(got) != want {
			t.Errorf("%s has another program, %v", arch, err)
		}
		if _, err := extensions.Load(to); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
	}
	if images := build(t, dir, "arm64", "arm64"); len(images.Each) != 1 || images.Each[0].Architecture != "arm64" {
		t.Errorf("only arm64: %+v", images.Each)
	}
	e, _ := lint(t, write(t, reference(t)), LintOptions{})
	if _, err := e.Build("arm64"); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(fleet.HintOf(err), "rootfs-arm64") {
		t.Errorf("programs that are not there: %v", err)
	}
}

func TestTheSameFolderGivesTheSameBytes(t *testing.T) {
	var digests []string
	for i := range 3 {
		dir := write(t, with(reference(t), box+"a/b", "x"))
		switch i {
		case 1: // checked out by somebody else, later
			err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err != nil {
					return err
				}
				if err := os.Chmod(at, info.Mode().Perm()|0o020); err != nil {
					return err
				}
				return os.Chtimes(at, time.Now(), time.Now().Add(-time.Hour))
			})
			if err != nil {
				t.Fatal(err)
			}
		case 2: // what is beside it is not in it
			if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		images := build(t, dir)
		digest, err := images.Index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		tarred := filepath.Join(t.TempDir(), "x.tar")
		if err := images.Write(tarred); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(tarred)
		if err != nil {
			t.Fatal(err)
		}
		hash, _, err := v1.SHA256(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String()+" "+hash.String())
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Errorf("digests %q", digests)
	}
	other := build(t, write(t, with(reference(t), box+"a/b", "y")))
	if digest, err := other.Index.Digest(); err != nil || strings.HasPrefix(digests[0], digest.String()) {
		t.Errorf("another folder has the same digest, %v", err)
	}
}

func TestOnlyAnImageIsWrittenOver(t *testing.T) {
	images := build(t, write(t, reference(t)))
	dir := t.TempDir()
	for _, to := range []string{"image", "image", "image.tar", "image.tar", "new/folder/image"} {
		if err := images.Write(filepath.Join(dir, to)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	mine := filepath.Join(dir, "mine")
	if err := os.MkdirAll(filepath.Join(mine, "letters"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := images.Write(mine); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("over a folder of letters: %v", err)
	}
	if _, err := os.Stat(filepath.Join(mine, "letters")); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".layout-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if _, err := layout.FromPath(filepath.Join(dir, "image")); err != nil {
		t.Error(err)
	}
}

// A name that ends in .tar may be somebody's backup.
func TestAnArchiveThatIsNoImageIsLeftAlone(t *testing.T) {
	images := build(t, write(t, reference(t)))
	for why, text := range map[string]string{"not even an archive": "my notes", "empty": "", "an archive of other files": archiveOf(t, "home/me/letter.txt", "oci-layout")} {
		t.Run(why, func(t *testing.T) {
			mine := filepath.Join(t.TempDir(), "backup.tar")
			if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := images.Write(mine); fleet.KindOf(err) != fleet.Conflict {
				t.Error(err)
			}
			if left, err := os.ReadFile(mine); err != nil || string(left) != text {
				t.Errorf("%d bytes are left, %v", len(left), err)
			}
		})
	}
}

func archiveOf(t *testing.T, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
