package extension

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// readRoot lists the files of one root file system, and says which cannot be in an extension whatever Talos it is for.
func (e *Extension) readRoot(arch string) (Problems, error) {
	name := "rootfs"
	if arch != "" {
		name += "-" + arch
	}
	dir := filepath.Join(e.dir, name)
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return Problems{{File: name, Text: "it is not a folder"}}, nil
	}
	r, problems := root{arch: arch, name: name}, Problems(nil)
	err = filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		f := file{path: path.Join("/", filepath.ToSlash(rel)), mode: info.Mode(), size: info.Size()}
		if p := f.read(at); p != nil {
			p.File = name + strings.TrimSuffix(f.path, "/")
			problems = append(problems, *p)
		}
		r.files = append(r.files, f)
		return nil
	})
	e.roots = append(e.roots, r)
	return problems, err
}

// read completes what is known of a file.
func (f *file) read(at string) *Problem {
	switch {
	case strings.HasPrefix(path.Base(f.path), ".wh."):
		return &Problem{Text: "in an image this name removes files of the layers below", Hint: "give it another name"}
	case f.mode.Type() == fs.ModeSymlink:
		link, err := os.Readlink(at)
		if err != nil {
			return &Problem{Text: err.Error()}
		}
		f.link, f.size = link, 0
		return f.leaves()
	case f.mode.IsDir():
		f.size = 0
	case !f.mode.IsRegular():
		return &Problem{Text: "it is a " + special(f.mode) + "; Talos takes only files, folders and symbolic links", Hint: "remove it"}
	}
	if f.mode.IsRegular() {
		if f.mode.Perm()&0o002 != 0 {
			return &Problem{Text: fmt.Sprintf("everybody may write it (mode %04o)", f.mode.Perm()), Hint: "chmod o-w"}
		}
		facts, err := readELF(at)
		if err != nil {
			return &Problem{Text: err.Error(), Hint: "make it readable"}
		}
		f.elf = facts
	}
	return nil
}

// leaves says that a symbolic link climbs out of the extension; while an image is unpacked, it would point into the
// system that unpacks it.
func (f *file) leaves() *Problem {
	if path.IsAbs(f.link) {
		return nil // on Talos, from Talos' own root
	}
	depth := strings.Count(strings.Trim(path.Dir(f.path), "/"), "/") + 1
	if path.Dir(f.path) == "/" {
		depth = 0
	}
	for part := range strings.SplitSeq(f.link, "/") {
		switch part {
		case "..":
			depth--
		case "", ".":
		default:
			depth++
		}
		if depth < 0 {
			return &Problem{Text: fmt.Sprintf("the symbolic link to %s leads out of the extension", f.link), Hint: "write it from the root: a slash and the path"}
		}
	}
	return nil
}

func special(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// elfFacts are what a program says of where it runs.
type elfFacts struct {
	arch   string // amd64, arm64, or what the format calls another
	loader string // dynamic loader that it needs; "" for a static one
}

// readELF reads the facts of a program or library; nil for any other file.
func readELF(at string) (*elfFacts, error) {
	f, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	parsed, err := elf.NewFile(f)
	if err != nil {
		return nil, nil // no program
	}
	facts := &elfFacts{arch: strings.ToLower(strings.TrimPrefix(parsed.Machine.String(), "EM_"))}
	switch parsed.Machine {
	case elf.EM_X86_64:
		facts.arch = "amd64"
	case elf.EM_AARCH64:
		facts.arch = "arm64"
	}
	for _, p := range parsed.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return nil, err
		}
		facts.loader = strings.TrimRight(string(loader), "\x00")
	}
	return facts, nil
}

// interpreter is the program that a script names in its first line; "" if it is none.
func interpreter(at string) (string, error) {
	f, err := os.Open(at)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil || !strings.HasPrefix(string(head), "#!") {
		return "", err
	}
	line, _, _ := strings.Cut(string(head[2:]), "\n")
	program, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return program, nil
}
