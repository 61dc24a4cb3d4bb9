package extension

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestTheExtensionOfTheReferenceIsFine(t *testing.T) {
	e, problems := lint(t, write(t, reference(t)), LintOptions{})
	if len(problems) > 0 {
		t.Error(problems)
	}
	if len(e.Services) != 1 || e.Services[0].ID() != "ext-hello-world" || !slices.Equal(e.Architectures, []string{"amd64"}) {
		t.Errorf("services %v for %v", e.Services, e.Architectures)
	}
}

func TestEachFaultOfAnExtensionIsSaid(t *testing.T) {
	fine := reference(t)
	change := func(name, old, text string) map[string]string {
		if !strings.Contains(fine[name], old) {
			t.Fatalf("%s has no %q", name, old)
		}
		return with(fine, name, strings.Replace(fine[name], old, text, 1))
	}
	for _, c := range []struct {
		why   string
		files map[string]string
		talos string
		want  string // "warning: " for one
		hint  string
	}{
		{"no manifest", with(fine, "manifest.yaml", ""), "", "manifest.yaml: there is no such file", "extension init"},
		{"no rootfs", map[string]string{"manifest.yaml": manifest}, "", "rootfs: there is no such folder", "make it"},
		{"another version of the manifest", change("manifest.yaml", "v1alpha1", "v1"), "", `manifest.yaml, line 1: version: "v1" is none of v1alpha1`, "v1alpha1"},
		{"no name", change("manifest.yaml", "  name: hello-world\n", ""), "", "manifest.yaml, line 3: metadata.name: it is missing", "name: NAME"},
		{"a name that no image can have", change("manifest.yaml", "name: hello-world", "name: Hello"), "", `manifest.yaml, line 3: metadata.name: "Hello" cannot be the name of an image`, "a-z"},
		{"a version that no tag can be", change("manifest.yaml", "version: v1.0.0", "version: 1.0.0+1"), "", `manifest.yaml, line 4: metadata.version: "1.0.0+1" cannot be the tag`, "v1.0.0"},
		{"a misspelt field", change("manifest.yaml", "author:", "autor:"), "", "manifest.yaml, line 5: metadata.autor: there is no such field", "write author"},
		{"no author", change("manifest.yaml", "  author: Me\n", ""), "", "warning: manifest.yaml, line 3: metadata.author: it is missing", "author: …"},
		{"no range of versions", change("manifest.yaml", ">= v1.6.0", "1.6 or newer"), "", `manifest.yaml, line 9: metadata.compatibility.talos.version: "1.6 or newer" is not a range`, ">= v1.9.0"},
		{"a range without the version", change("manifest.yaml", ">= v1.6.0", ">= v1.12.0"), "v1.11.3", `manifest.yaml: metadata.compatibility.talos.version: ">= v1.12.0" leaves out Talos v1.11.3`, ">= v1.11.0"},
		{"a range of the future", change("manifest.yaml", ">= v1.6.0", ">= v2.0.0"), "", `warning: manifest.yaml: metadata.compatibility.talos.version: ">= v2.0.0" leaves out every Talos`, ">= v1.9.0"},

		{"a file where none may be", with(fine, "rootfs/etc/passwd", "root"), "", "rootfs/etc/passwd: an extension may not have a file here", "below /usr/local"},
		{"a path of old", with(fine, "rootfs/lib/firmware/a", "x"), "", "rootfs/lib/firmware/a: an extension may not have a file here", "since Talos v1.10.0 it is /usr/lib/firmware/a"},
		{"a path of new", with(fine, "rootfs/usr/lib/firmware/a", "x"), "v1.9.6", "rootfs/usr/lib/firmware/a: an extension may not have a file here", "before Talos v1.10.0 it is /lib/firmware/a"},
		{"a whiteout", with(fine, box+".wh.hello", "x"), "", box + ".wh.hello: in an image this name removes files", "another name"},
		{"a link that leads out", with(fine, box+"out -> ../../../../../../../etc/passwd", "-"), "", box + "out: the symbolic link to ../../../../../../../etc/passwd leads out", "from the root"},
		{"a link that leads out on the way", with(fine, "rootfs/usr/local/a -> ../../../x/../usr", "-"), "", "rootfs/usr/local/a: the symbolic link to", "from the root"},

		{"a file of another kind", with(fine, "rootfs/usr/local/etc/containers/other.yml", "name: other"), "", "warning: rootfs/usr/local/etc/containers/other.yml: Talos looks only at files that end in .yaml", "other.yaml"},
		{"a service file that is somewhere else", with(with(fine, serviceFile, ""), strings.TrimSuffix(serviceFile, ".yaml")+".yaml -> /etc/passwd", "-"), "", serviceFile + ": the symbolic link leads to /etc/passwd, where the extension has no file", "itself"},
		{"the same service twice", with(fine, "rootfs/usr/local/etc/containers/x.yaml", fine[serviceFile]), "", "rootfs/usr/local/etc/containers/x.yaml: name: rootfs/usr/local/etc/containers/hello-world.yaml is called \"hello-world\" too", "another name"},
		{"no container", change(serviceFile, "name: hello-world", "name: hello"), "", serviceFile + ": name: there is no folder /usr/local/lib/containers/hello", "rootfs/usr/local/lib/containers/hello"},
		{"no program", with(fine, box+"hello", ""), "", serviceFile + ": container.entrypoint: there is no /hello in the container's root file system", "put the program at " + box + "hello"},
		{"a folder as program", with(with(fine, box+"hello", ""), box+"hello/x", "x"), "", box + "hello: the service is to run it, but it is a folder", ""},
		{"a program that nobody may run", with(fine, box+"hello", "x"), "", box + "hello: the service is to run it, but it is not executable", "chmod +x"},
		{"a program without a path", change(serviceFile, "./hello", "hello"), "", "warning: " + serviceFile + `: container.entrypoint: "hello" is looked for in PATH`, "write ./hello"},
		{"a program that needs a loader", with(fine, box+"hello", program(t, elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2")), "", box + "hello: it needs /lib64/ld-linux-x86-64.so.2", "statically"},
		{"a script that needs a shell", with(fine, box+"hello", "#!/bin/sh -e\n"), "", box + "hello: it needs /bin/sh", "mount it"},
		{"a program for other machines", with(fine, box+"hello", program(t, elf.EM_RISCV, "")), "", box + "hello: it is a program for riscv, not for amd64", "rootfs-arm64"},
		{"a program for one architecture as that of both", with(with(fine, "rootfs-amd64/usr/local/share/a", "x"), "rootfs-arm64/usr/local/share/a", "x"), "", box + "hello: it is a program for amd64, not for arm64", "rootfs-arm64"},

		{"too new for the version", with(fine, serviceFile, strings.Replace(fine[serviceFile], "depends:", "depends:\n  - configuration: true", 1)), "v1.6.8", serviceFile + ", line 8: depends[0].configuration: Talos v1.6.8 does not know it", ">= v1.7.0"},
		{"too new for the manifest", with(fine, serviceFile, strings.Replace(fine[serviceFile], "depends:", "depends:\n  - configuration: true", 1)), "", "warning: " + serviceFile + ", line 8: depends[0].configuration: Talos v1.6.0, for which the manifest says it is, does not know it", ">= v1.7.0"},
		{"ignored by the version", with(fine, serviceFile, fine[serviceFile]+"logToConsole: true\n"), "v1.8.0", "warning: " + serviceFile + ", line 11: logToConsole: Talos v1.8.0 does not know it", ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, problems := lint(t, write(t, c.files), LintOptions{Talos: c.talos})
			want, warning := strings.CutPrefix(c.want, "warning: ")
			if (problems.Err() == nil) != warning {
				t.Errorf("errors: %v", problems.Err())
			}
			for _, p := range problems {
				if p.Warning == warning && strings.HasPrefix(p.Error(), want) {
					if !strings.Contains(p.Hint, c.hint) {
						t.Errorf("the hint is %q, want %q", p.Hint, c.hint)
					}
					return
				}
			}
			t.Errorf("got %v, want %s", problems, c.want)
		})
	}
}

func TestWhatTheContainerGetsElsewhereIsNotMissed(t *testing.T) {
	fine := reference(t)
	mount := func(path string) string {
		return strings.Replace(fine[serviceFile], "  args:", "  mounts:\n    - {source: "+path+", destination: "+path+", type: bind, options: [bind, ro]}\n  args:", 1)
	}
	for _, c := range []struct {
		why   string
		files map[string]string
	}{
		{"a loader of the host", with(with(fine, serviceFile, mount("/lib64")), box+"hello", program(t, elf.EM_X86_64, "/lib64/ld.so"))},
		{"a program of the host", with(with(fine, serviceFile, strings.Replace(mount("/usr/local/bin"), "./hello", "/usr/local/bin/hello", 1)), box+"hello", "")},
		{"a loader of its own", with(with(fine, box+"hello", program(t, elf.EM_X86_64, "/lib64/ld.so")), box+"lib64/ld.so", "x")},
		{"a loader behind links", with(with(with(fine, box+"hello", program(t, elf.EM_X86_64, "/lib64/ld.so")), box+"lib64 -> /usr/lib", "-"), box+"usr/lib/ld.so", "x")},
		{"a program behind a link", with(with(with(fine, box+"hello", ""), box+"hello -> bin/../bin/real", "-"), box+"bin/real", program(t, elf.EM_X86_64, ""))},
		{"a script with its shell", with(with(fine, box+"hello", "#!/bin/sh\n"), box+"bin/sh", program(t, elf.EM_X86_64, ""))},
	} {
		if _, problems := lint(t, write(t, c.files), LintOptions{}); len(problems) > 0 {
			t.Errorf("%s: %v", c.why, problems)
		}
	}
	linked := with(with(with(fine, serviceFile, ""), strings.TrimSuffix(serviceFile, ".yaml")+".yaml -> ../../share/s.yaml", "-"), "rootfs/usr/local/share/s.yaml", fine[serviceFile])
	if e, problems := lint(t, write(t, linked), LintOptions{}); len(problems) > 0 || len(e.Services) != 1 {
		t.Errorf("a service file behind a link: %v", problems)
	}
	loop := with(with(fine, box+"hello", ""), box+"hello -> hello", "-")
	if _, problems := lint(t, write(t, loop), LintOptions{}); problems.Err() == nil {
		t.Error("a link to itself is a program")
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	dir := write(t, reference(t))
	if err := syscall.Mkfifo(filepath.Join(dir, box, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, box, "config.ini"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, problems := lint(t, dir, LintOptions{})
	if text := problems.Err().Error(); !strings.Contains(text, box+"pipe: it is a named pipe") || !strings.Contains(text, box+"config.ini: everybody may write it (mode 0666)") {
		t.Error(text)
	}
}

func TestAnExtensionWithoutServicesIsOne(t *testing.T) {
	e, problems := lint(t, write(t, map[string]string{"manifest.yaml": manifest, "rootfs/usr/lib/firmware/a.bin": "x"}), LintOptions{Talos: "1.14.1"})
	if len(problems) > 0 || len(e.Services) > 0 || !slices.Equal(e.Architectures, []string{"amd64", "arm64"}) {
		t.Error(e, problems)
	}
	if _, problems := lint(t, write(t, map[string]string{"manifest.yaml": manifest, "rootfs/lib/firmware/a.bin": "x"}), LintOptions{Talos: "v1.9.6"}); len(problems) > 0 {
		t.Errorf("as old Talos has it: %v", problems)
	}
}

func TestWhatIsNoExtensionIsNotLinted(t *testing.T) {
	if _, _, err := Lint(filepath.Join(t.TempDir(), "none"), LintOptions{}); fleet.KindOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Error(err)
	}
	if _, _, err := Lint(t.TempDir(), LintOptions{Talos: "latest"}); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}
