package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// programs are the init and what it becomes without a config.
const programs = "github.com/talos-manager/talos-manager/internal/simulator/emulated/image/"

// drivers are the modules for the disks and networks of emulated machines.
func drivers() []string {
	return []string{"virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "ahci", "sd_mod", "nvme", "e1000", "e1000e"}
}

// WriteInitramfs makes an archive of our programs and the modules they need, compressed with zstd, whatever Talos calls it.
func WriteInitramfs(ctx context.Context, path, modules string) error {
	var a archive
	for _, name := range []string{"dev", "proc", "sys", "modules"} {
		a.add(name, 0o040755, nil)
	}
	for _, name := range []string{"init", "maintenance"} {
		code, err := compile(ctx, name)
		if err != nil {
			return err
		}
		a.add(name, 0o100755, code)
	}
	list, err := loadOrder(ctx, modules, drivers())
	if err != nil {
		return err
	}
	for i, m := range list {
		a.add(fmt.Sprintf("modules/%02d-%s.ko", i, m.name), 0o100644, m.code)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	return os.WriteFile(path, z.EncodeAll(a.bytes(), nil), 0o600)
}

// compile builds one of the programs for the machine, whatever this one is.
func compile(ctx context.Context, name string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "talos-manager-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, programs+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	return os.ReadFile(path)
}

// archive is a cpio archive in the form "newc".
type archive struct {
	b bytes.Buffer
	n int
}

func (a *archive) add(name string, mode int, data []byte) {
	a.n++
	fmt.Fprintf(&a.b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", a.n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad()
	a.b.Write(data)
	a.pad()
}

func (a *archive) pad() { a.b.Write(make([]byte, -a.b.Len()&3)) }

func (a *archive) bytes() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.b.Bytes()
}

// module is a kernel module, not compressed.
type module struct {
	name string
	code []byte
}

// loadOrder gives modules with those they need before them. What is built into the kernel is left out.
func loadOrder(ctx context.Context, dir string, names []string) ([]module, error) {
	files, err := moduleFiles(dir)
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	var list []module
	var visit func(name string) error
	visit = func(name string) error {
		if slices.ContainsFunc(list, func(m module) bool { return m.name == name }) {
			return nil
		}
		path, ok := files[name]
		if !ok {
			if strings.Contains(strings.ReplaceAll(string(builtin), "-", "_"), "/"+name+".ko\n") {
				return nil
			}
			return fmt.Errorf("%s has no module %s", dir, name)
		}
		code, err := readModule(ctx, path)
		if err != nil {
			return err
		}
		needed, err := dependencies(code)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, other := range needed {
			if err := visit(other); err != nil {
				return err
			}
		}
		list = append(list, module{name, code})
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// moduleFiles finds modules by their names, in which "-" is "_".
func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New("there are no kernel modules in " + dir)
	}
	return files, err
}

func readModule(ctx context.Context, path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		return exec.CommandContext(ctx, "xz", "-dc", path).Output()
	}
	return os.ReadFile(path)
}

// dependencies reads "depends=a,b" of a module.
func dependencies(code []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("it is no kernel module")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
