package extension

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
)

// checkPaths says which files are where Talos allows none. Like Talos it compares only how paths begin.
func (e *Extension) checkPaths(talos versions) Problems {
	allowed := talos.allowed()
	var problems Problems
	for _, r := range e.roots {
		for _, f := range r.files {
			if f.mode.IsDir() || slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(f.path, p) }) {
				continue
			}
			p := Problem{File: r.name + f.path, Text: "an extension may not have a file here", Hint: "put it below /usr/local"}
			for _, m := range newerPaths() {
				switch {
				case m.before != "" && below(f.path, m.before):
					p.Hint = "since Talos v" + m.since + " it is " + m.path + strings.TrimPrefix(f.path, m.before)
				case below(f.path, m.path) && m.before != "":
					p.Hint = "before Talos v" + m.since + " it is " + m.before + strings.TrimPrefix(f.path, m.path)
				}
			}
			problems = append(problems, p)
		}
	}
	return problems
}

// checkServices reads the service files of each architecture, and looks whether their containers are there. What
// several architectures have in common is said once.
func (e *Extension) checkServices(talos versions) Problems {
	var problems Problems
	seen := map[string]bool{}
	for _, arch := range e.Architectures {
		for _, p := range e.servicesOn(arch, talos) {
			if !seen[p.Error()] {
				seen[p.Error()] = true
				problems = append(problems, p)
			}
		}
	}
	return problems
}

func (e *Extension) servicesOn(arch string, talos versions) Problems {
	tree := e.on(arch)
	var problems Problems
	names := map[string]string{}
	for _, at := range slices.Sorted(maps.Keys(tree)) {
		f := tree[at]
		if path.Dir(at) != ServiceFiles || f.mode.IsDir() {
			continue
		}
		if path.Ext(at) != ".yaml" {
			problems = append(problems, Problem{Warning: true, File: f.where(), Text: "Talos looks only at files that end in .yaml", Hint: "call it " + strings.TrimSuffix(path.Base(at), path.Ext(at)) + ".yaml"})
			continue
		}
		real, where := follow(tree, "/", at) // as on Talos, not as on this machine
		if real == nil || !real.mode.IsRegular() {
			problems = append(problems, Problem{File: f.where(), Text: "the symbolic link leads to " + where + ", where the extension has no file", Hint: "put the file itself here"})
			continue
		}
		text, err := os.ReadFile(filepath.Join(e.dir, real.where()))
		if err != nil {
			problems = append(problems, Problem{File: f.where(), Text: err.Error()})
			continue
		}
		s, found := parseService(f.where(), text, talos)
		problems = append(problems, found...)
		if other := names[s.Name]; other != "" && s.Name != "" {
			problems = append(problems, Problem{File: f.where(), Field: "name", Text: fmt.Sprintf("%s is called %q too, and Talos takes only the first", other, s.Name), Hint: "give one of them another name"})
		}
		names[s.Name] = f.where()
		if !slices.ContainsFunc(e.Services, func(have Service) bool { return have.File == s.File }) {
			e.Services = append(e.Services, s)
		}
		if s.Name != "" && s.Container.Entrypoint != "" {
			problems = append(problems, e.checkProgram(s, tree, arch)...)
		}
	}
	return problems
}

// checkProgram looks whether what a service runs is there and can run.
func (e *Extension) checkProgram(s Service, tree map[string]placed, arch string) Problems {
	box := path.Join(Containers, s.Name)
	if s.RunnerMode == services.RunnerModeHost {
		box = "/"
	} else if f, ok := tree[box]; !ok || !f.mode.IsDir() {
		p := Problem{File: s.File, Field: "name", Text: "there is no folder " + box, Hint: fmt.Sprintf("the container's root file system goes into rootfs%s", box)}
		return Problems{p}
	}
	program := s.Container.Entrypoint
	if !strings.Contains(program, "/") {
		return Problems{{Warning: true, File: s.File, Field: "container.entrypoint", Text: fmt.Sprintf("%q is looked for in PATH, which the container has not unless its environment sets it", program), Hint: "write ./" + program}}
	}
	at := path.Join("/", program)
	f, where := follow(tree, box, at)
	switch {
	case mounted(s, where):
		return nil // of the host
	case f == nil && (box != "/" || below(where, "/usr/local")):
		return Problems{{File: s.File, Field: "container.entrypoint", Text: fmt.Sprintf("there is no %s in the %s", where, place(s, arch, e)), Hint: "put the program at rootfs" + path.Join(box, where)}}
	case f == nil:
		return nil
	case f.mode.IsDir():
		return Problems{{File: f.where(), Text: "the service is to run it, but it is a folder"}}
	case f.mode.Perm()&0o111 == 0:
		return Problems{{File: f.where(), Text: "the service is to run it, but it is not executable", Hint: "chmod +x " + f.where()}}
	}
	return e.checkRuns(s, tree, box, *f, arch)
}

// place names where a program is looked for.
func place(s Service, arch string, e *Extension) string {
	text := "container's root file system"
	if s.RunnerMode == services.RunnerModeHost {
		text = "extension"
	}
	if len(e.roots) > 1 {
		text += " for " + arch
	}
	return text
}

// checkRuns looks whether a program is of the architecture, and whether what it needs to start is there.
func (e *Extension) checkRuns(s Service, tree map[string]placed, box string, f placed, arch string) Problems {
	needs := ""
	switch {
	case f.elf != nil && f.elf.arch != arch:
		return Problems{{File: f.where(), Text: fmt.Sprintf("it is a program for %s, not for %s", f.elf.arch, arch), Hint: "put the program of each architecture into rootfs-amd64 and rootfs-arm64"}}
	case f.elf != nil:
		needs = f.elf.loader
	default:
		script, err := interpreter(filepath.Join(e.dir, f.where()))
		if err != nil {
			return Problems{{File: f.where(), Text: err.Error()}}
		}
		if needs = script; needs == "" {
			return Problems{{File: f.where(), Text: "it is neither a program for Linux nor a script that begins with #!, so it cannot be run"}}
		}
	}
	if needs == "" || s.RunnerMode == services.RunnerModeHost {
		return nil
	}
	if found, where := follow(tree, box, needs); found != nil || mounted(s, where) {
		return nil
	}
	return Problems{{File: f.where(), Text: fmt.Sprintf("it needs %s, which is not in the container's root file system", needs), Hint: "link it statically, put what it needs there, or mount it from the host"}}
}

// follow looks for a path in a container, through symbolic links as the kernel does inside of it: its root is theirs.
// It says where the path leads, even if nothing is there.
func follow(tree map[string]placed, box, at string) (*placed, string) {
	done, rest := "/", strings.Split(strings.Trim(path.Clean(at), "/"), "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		f, ok := tree[path.Join(box, next)]
		if !ok {
			return nil, path.Join(next, path.Join(rest[1:]...))
		}
		rest = rest[1:]
		if f.link == "" {
			done = next
			continue
		}
		if links++; links > 40 {
			return nil, next
		}
		target := f.link
		if !path.IsAbs(target) {
			target = path.Join(done, target)
		}
		done, rest = "/", append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
	}
	f := tree[path.Join(box, done)]
	return &f, done
}

// mounted says whether a path of a container comes from a mount.
func mounted(s Service, at string) bool {
	return slices.ContainsFunc(s.Container.Mounts, func(m specs.Mount) bool { return m.Destination != "" && below(at, m.Destination) })
}
