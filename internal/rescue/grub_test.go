package rescue

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// grubConfigs are grub.cfg as Talos writes it: by a template until 1.10, line by line since. Source: talos
// internal/app/machined/pkg/runtime/v1alpha1/bootloader/grub/encode.go at v1.6.8, v1.9.6, v1.10.9, v1.11.6, v1.14.0.
func grubConfigs() map[string]string {
	entry := func(name, dir, args string) string {
		return fmt.Sprintf("menuentry \"%s\" {\n  set gfxmode=auto\n  set gfxpayload=text\n  linux /%s/vmlinuz %s\n  initrd /%s/initramfs.xz\n}\n", name, dir, args, dir)
	}
	head := "set default=\"A - Talos v1.6.8\"\n%s\nset timeout=3\n\ninsmod all_video\n\nterminal_input console\nterminal_output console\n\n"
	const args = "talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge pti=on printk.devkmsg=on"
	const reset = "Reset Talos installation and return to maintenance mode"
	return map[string]string{
		"1.6, by template": fmt.Sprintf(head, "") + entry("A - Talos v1.6.8", "A", args),
		"1.9, upgraded":    fmt.Sprintf(head, `set fallback="B - Talos v1.9.5"`) + entry("A - Talos v1.9.6", "A", args) + entry("B - Talos v1.9.5", "B", args+" talos.config=http://old/\\$\\{uuid\\}"),
		"1.10, with reset": fmt.Sprintf(head, "") + entry("A - Talos v1.10.9", "A", args) + entry(reset, "A", args+" talos.experimental.wipe=system:EPHEMERAL,STATE"),
		"1.14, line by line": strings.Replace(fmt.Sprintf(head, ""), "\n\nset timeout", "\nset timeout", 1) + entry("A - Talos v1.14.0", "A", args+" talos.config=http://old/?a=1\\&b=2 quiet") +
			entry(reset, "A", args+" talos.experimental.wipe=system:EPHEMERAL,STATE"),
	}
}

// The script is run by the bash and sed of this machine, only what mounts is a stand-in.
func TestGrubConfigsOfAllVersionsAreEditedByARealShell(t *testing.T) {
	const argument = `talos.config=https://h/config?uuid=${uuid}&code=${code}&x=a|b\c;<>"d`
	const escaped = `talos.config=https://h/config?uuid=\$\{uuid\}\&code=\$\{code\}\&x=a\|b\\c\;\<\>\"d`
	script, err := Scripts.ReadFile("scripts/kernel-argument.sh")
	if err != nil {
		t.Fatal(err)
	}
	for why, before := range grubConfigs() {
		t.Run(why, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "mnt", "grub", "grub.cfg")
			write(t, config, before)
			for _, tool := range []string{"mount", "umount", "mountpoint", "blockdev"} {
				write(t, filepath.Join(dir, "bin", tool), "#!/bin/sh\n[ "+tool+" != mountpoint ]\n")
			}
			text := strings.NewReplacer("/mnt/talos-manager", filepath.Join(dir, "mnt"), "/run/talos-manager", dir).Replace(string(script))
			for range 2 { // once more changes nothing
				c := exec.CommandContext(t.Context(), "bash", "-s", "--", argument, "/dev/boot", "")
				c.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
				c.Stdin = strings.NewReader(text)
				if out, err := c.CombinedOutput(); err != nil || string(out) != "grub\n" {
					t.Fatalf("%v: %s", err, out)
				}
			}
			after, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			checkGrub(t, before, string(after), escaped)
		})
	}
}

// checkGrub wants each kernel line to have the argument once, at its end, but for the one of the reset entry; and
// nothing else changed.
func checkGrub(t *testing.T, before, after, escaped string) {
	t.Helper()
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	if len(was) != len(is) {
		t.Fatalf("%d lines became %d:\n%s", len(was), len(is), after)
	}
	reset := false
	for i, line := range is {
		reset = strings.HasPrefix(line, `menuentry "Reset`) || reset && line != "}"
		if !strings.HasPrefix(line, "  linux ") || reset {
			if line != was[i] {
				t.Errorf("line %q became %q", was[i], line)
			}
			continue
		}
		var kept []string
		for _, arg := range strings.Split(was[i], " ") {
			if !strings.HasPrefix(arg, "talos.config=") {
				kept = append(kept, arg)
			}
		}
		if want := strings.Join(kept, " ") + " " + escaped; line != want {
			t.Errorf("kernel line\n%s, want\n%s", line, want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
