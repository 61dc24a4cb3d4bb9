package extension

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program is the beginning of a Linux program, which is all that is looked at.
func program(t *testing.T, machine elf.Machine, loader string) string {
	t.Helper()
	var out bytes.Buffer
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64,
	}
	if loader != "" {
		h.Phoff, h.Phentsize, h.Phnum = 64, 56, 1
	}
	put := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	put(h)
	if loader != "" {
		put(elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader) + 1), Memsz: uint64(len(loader) + 1)})
		out.WriteString(loader + "\x00")
	}
	return out.String()
}

// write writes the files of an extension, by their paths; what a path says after " -> " is a symbolic link. Programs,
// and what begins with #!, are executable.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "extension")
	for name, text := range files {
		name, link, isLink := strings.Cut(name, " -> ")
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
			mode = 0o755
		}
		var err error
		if isLink {
			err = os.Symlink(link, to)
		} else {
			err = os.WriteFile(to, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const manifest = `version: v1alpha1
metadata:
  name: hello-world
  version: v1.0.0
  author: Me
  description: It says hello.
  compatibility:
    talos:
      version: ">= v1.6.0"
`

const (
	serviceFile = "rootfs/usr/local/etc/containers/hello-world.yaml"
	box         = "rootfs/usr/local/lib/containers/hello-world/"
)

// reference is the extension of Talos' documentation.
func reference(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/hello-world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"manifest.yaml": manifest, serviceFile: string(text),
		box + "hello": program(t, elf.EM_X86_64, ""), box + "config.ini": "greeting = hello\n",
	}
}

// with is a copy of the files with one changed; "" takes it away.
func with(files map[string]string, name, text string) map[string]string {
	changed := map[string]string{}
	for n, t := range files {
		changed[n] = t
	}
	if changed[name] = text; text == "" {
		delete(changed, name)
	}
	return changed
}

func lint(t *testing.T, dir string, o LintOptions) (*Extension, Problems) {
	t.Helper()
	e, problems, err := Lint(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e, problems
}
