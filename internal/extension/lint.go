package extension

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/talos/pkg/machinery/extensions"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Architectures that Talos runs on.
func Architectures() []string { return []string{"amd64", "arm64"} }

// Extension is one as its folder says it is.
type Extension struct {
	Manifest extensions.Manifest
	Services []Service
	// Architectures that it can be built for: those that have a folder rootfs-ARCHITECTURE, or whose programs are in
	// rootfs; all if there is neither.
	Architectures []string

	dir   string
	roots []root
}

// root is one root file system of the folder: what every architecture gets, or one.
type root struct {
	arch  string // "" for all
	name  string // rootfs, rootfs-amd64
	files []file // sorted by path
}

// file of a root file system.
type file struct {
	path string // /usr/local/…
	mode fs.FileMode
	link string // of a symbolic link
	size int64
	elf  *elfFacts
}

// LintOptions of Lint.
type LintOptions struct {
	Talos string // version that it must work on; "" takes the manifest's word
}

// Lint reads an extension and lists everything that is wrong with it. The error is only of what keeps it from being
// read at all; Problems.Err is of what was found.
func Lint(dir string, o LintOptions) (*Extension, Problems, error) {
	var talos versions
	if o.Talos != "" {
		v, err := parseTalos(o.Talos)
		if err != nil {
			return nil, nil, err
		}
		talos = versions{v, true}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil, fleet.Errorf(fleet.NotFound, "extension %s: there is no such folder", dir).
			WithHint("make one with: talos-manager extension init NAME")
	}
	e := &Extension{dir: dir}
	problems, err := e.readManifest(&talos)
	if err != nil {
		return nil, nil, err
	}
	for _, arch := range append([]string{""}, Architectures()...) {
		found, err := e.readRoot(arch)
		if err != nil {
			return nil, nil, err
		}
		problems = append(problems, found...)
	}
	if len(e.roots) == 0 {
		problems = append(problems, Problem{File: "rootfs", Text: "there is no such folder", Hint: "make it; the files of the extension go below it"})
	}
	e.Architectures = e.possible()
	problems = append(problems, e.checkPaths(talos)...)
	problems = append(problems, e.checkServices(talos)...)
	if problems.Err() == nil {
		problems = append(problems, e.askTalos(talos)...)
	}
	return e, problems, nil
}

func (e *Extension) readManifest(talos *versions) (Problems, error) {
	text, err := os.ReadFile(filepath.Join(e.dir, ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Problems{{File: ManifestFile, Text: "there is no such file", Hint: "talos-manager extension init writes one"}}, nil
	}
	if err != nil {
		return nil, err
	}
	m, d := parseManifest(text)
	e.Manifest = m
	within, err := constraint(m.Metadata.Compatibility.Talos.Version)
	if m.Metadata.Compatibility.Talos.Version == "" || err != nil {
		return d.problems, nil
	}
	at := Problem{File: ManifestFile, Field: "metadata.compatibility.talos.version"}
	switch v := talos.oldest; {
	case talos.asked && !within(semver.Version{Major: v.Major, Minor: v.Minor, Patch: v.Patch}):
		at.Text = fmt.Sprintf("%q leaves out Talos v%s", m.Metadata.Compatibility.Talos.Version, v)
		at.Hint = fmt.Sprintf("write \">= v%d.%d.0\" if it works there", v.Major, v.Minor)
		d.problems = append(d.problems, at)
	case !talos.asked:
		talos.oldest = oldest(within)
		if talos.oldest.EQ(semver.Version{}) {
			at.Warning, at.Text = true, fmt.Sprintf("%q leaves out every Talos from v1.6.0 to v1.14.0", m.Metadata.Compatibility.Talos.Version)
			at.Hint = `write it like ">= v1.9.0"`
			d.problems = append(d.problems, at)
		}
	}
	return d.problems, nil
}

// possible are the architectures that the extension can be built for.
func (e *Extension) possible() []string {
	var own, common []string
	for _, r := range e.roots {
		if r.arch != "" {
			own = append(own, r.arch)
			continue
		}
		for _, f := range r.files {
			if f.elf != nil && slices.Contains(Architectures(), f.elf.arch) && !slices.Contains(common, f.elf.arch) {
				common = append(common, f.elf.arch)
			}
		}
	}
	switch {
	case len(own) > 0:
		return own
	case len(common) > 0:
		slices.Sort(common)
		return common
	}
	return Architectures()
}

// askTalos runs the validation that Talos' own imager runs (pkg/imager/extensions).
func (e *Extension) askTalos(talos versions) Problems {
	if talos.asked && talos.oldest.LT(semver.MustParse("1.10.0")) {
		return nil // the library knows the paths of newer ones only
	}
	options := []extensions.ValidationOption{extensions.WithValidateContents()}
	if talos.asked {
		options = append(options, extensions.WithValidateConstraints(), extensions.WithTalosVersion(&talos.oldest))
	}
	var problems Problems
	for _, r := range e.roots {
		if err := extensions.New(filepath.Join(e.dir, r.name), filepath.Base(e.dir), e.Manifest).Validate(options...); err != nil {
			problems = append(problems, Problem{File: r.name, Text: "Talos refuses it: " + err.Error()})
		}
	}
	return problems
}

// on is the root file system as one architecture gets it: the files of all, and its own over them.
func (e *Extension) on(arch string) map[string]placed {
	all := map[string]placed{}
	for _, r := range e.roots {
		if r.arch != "" && r.arch != arch {
			continue
		}
		for _, f := range r.files {
			all[f.path] = placed{f, r.name}
		}
	}
	return all
}

// placed is a file and the root it is in.
type placed struct {
	file
	root string
}

// where is the file's path in the extension's folder.
func (p placed) where() string { return p.root + p.path }

// below says whether a path is in a folder or is it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
