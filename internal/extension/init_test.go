package extension

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func programFile(t *testing.T, text string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWhatInitLaysOutLacksOnlyTheProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hello-world")
	files, err := Init(dir, Template{Name: "hello-world", Author: `A "quoted" name`, Description: "Says:\nhello # and more"})
	if err != nil || !slices.Equal(files, []string{"manifest.yaml", serviceFile}) {
		t.Fatal(files, err)
	}
	e, problems := lint(t, dir, LintOptions{})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "there is no /hello-world in the container") {
		t.Error(problems)
	}
	if m := e.Manifest.Metadata; m.Name != "hello-world" || m.Version != "v1.0.0" || m.Author != `A "quoted" name` || m.Description != "Says:\nhello # and more" {
		t.Errorf("%+v", m)
	}
	if err := os.WriteFile(filepath.Join(dir, box, "hello-world"), []byte(program(t, elf.EM_AARCH64, "")), 0o755); err != nil {
		t.Fatal(err)
	}
	e, problems = lint(t, dir, LintOptions{})
	if len(problems) > 0 || !slices.Equal(e.Architectures, []string{"arm64"}) {
		t.Error(e.Architectures, problems)
	}
}

func TestInitPlacesPrograms(t *testing.T) {
	amd, arm, script := programFile(t, program(t, elf.EM_X86_64, "")), programFile(t, program(t, elf.EM_AARCH64, "")), programFile(t, "#!/bin/sh\n")
	for _, c := range []struct {
		why      string
		programs []string
		want     []string // architectures; none: refused
	}{
		{"one", []string{arm}, []string{"arm64"}},
		{"one of each", []string{arm, amd}, []string{"amd64", "arm64"}},
		{"two of one", []string{amd, amd}, nil},
		{"a script and a program", []string{script, amd}, nil},
		{"none there", []string{amd + "x"}, nil},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		_, err := Init(dir, Template{Name: "hello", Programs: c.programs})
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: taken", c.why)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s: something is laid out", c.why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		e, problems := lint(t, dir, LintOptions{})
		if len(problems) > 0 || !slices.Equal(e.Architectures, c.want) {
			t.Errorf("%s: %v, %v", c.why, e.Architectures, problems)
		}
	}
}

func TestInitWritesOverNothing(t *testing.T) {
	dir := write(t, map[string]string{"letter": "x"})
	if _, err := Init(dir, Template{Name: "hello"}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("over a letter: %v", err)
	}
	for _, c := range []Template{{Name: "Hello"}, {Name: ""}, {Name: "a/b"}, {Name: "-a"}, {Name: "a", Talos: "new"}, {Name: "a", Version: "1 0"}} {
		if _, err := Init(filepath.Join(t.TempDir(), "x"), c); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
