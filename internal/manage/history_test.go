package manage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

const (
	threeLines = "machine:\n  sysctls:\n    vm.a: \"1\"\n"
	fourLines  = "machine:\n  sysctls:\n    vm.a: \"1\"\n    vm.b: \"2\"\n"
	changed    = "machine:\n  sysctls:\n    vm.a: \"9\"\n    vm.b: \"2\"\n"
)

func TestEachLineHasTheSaveThatBroughtIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, "prod")
	ctx, ref := t.Context(), onCluster("prod")
	save := func(actor, why string, draft bool, patches ...fleet.Patch) {
		t.Helper()
		ok(l.SetLayer(ctx, actor, ref, fleet.Contents{Patches: patches}, manage.Save{Why: why, Draft: draft}))(t)
	}
	save("ada", "begin", false, fleet.Patch{Name: "a", Text: threeLines})
	save("bob", "more", false, fleet.Patch{Name: "a", Text: fourLines})
	save("eve", "nobody publishes it", true, fleet.Patch{Name: "a", Text: sysctl("vm.eve", "1")})
	save("carol", "nine", false, fleet.Patch{Name: "first", Text: sysctl("vm.first", "1")}, fleet.Patch{Name: "a", Text: changed})
	save("dan", "a better name", false, fleet.Patch{Name: "renamed", Text: changed}, fleet.Patch{Name: "first", Text: sysctl("vm.first", "1")})
	var got []string
	for _, b := range ok(l.Blame(ctx, ref))(t) {
		for _, line := range b.Lines {
			got = append(got, fmt.Sprintf("%s %s %q %s", b.Patch, line.Actor, strings.TrimSpace(line.Text), line.Why))
			if len(line.Revision) != 64 || line.At.IsZero() {
				t.Errorf("line %+v", line)
			}
		}
	}
	want := []string{
		`renamed ada "machine:" begin`, `renamed ada "sysctls:" begin`, `renamed carol "vm.a: \"9\"" nine`, `renamed bob "vm.b: \"2\"" more`,
		`first carol "machine:" nine`, `first carol "sysctls:" nine`, `first carol "vm.first: \"1\"" nine`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("blame (-want +got):\n%s", diff)
	}
}

func TestOldContentsComeBackAsANewRevision(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx, ref := t.Context(), onCluster("prod")
	first := l.set(t, ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "first")})
	l.set(t, ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "second")})
	back := ok(l.Revert(ctx, "ada", ref, first.Revision[:8], manage.Save{Why: "it was better"}))(t)
	if back.Revision != first.Revision || !strings.Contains(l.yaml(t, "worker-1"), "first") {
		t.Errorf("reverted to %s", back.Revision)
	}
	all := ok(l.Revisions(ctx, ref))(t)
	if len(all) != 3 || all[0].Verb != "revert" || all[0].Actor != "ada" || all[0].Why != "it was better" || all[0].Revision != all[2].Revision {
		t.Errorf("history %+v", all)
	}
	_, err := l.Revert(ctx, "ada", ref, "0000", manage.Save{})
	refused(t, "no such revision", err, fleet.NotFound, `no revision "0000"`, itself)

	// What once worked may not any more: it is checked like any save.
	ok(l.SetVariable(ctx, "test", ref, "pool", "blue", manage.Save{}))(t)
	old := ok(l.UpdatePatch(ctx, "test", ref, "a", func(p *fleet.Patch) { p.Text = sysctl("vm.a", "${pool}") }, manage.Save{}))(t)
	l.set(t, ref)
	l.set(t, onServer("worker-1"), fleet.Patch{Name: "own", Text: sysctl("vm.own", "1")})
	ok(l.Revert(ctx, "test", ref, old.Revision, manage.Save{}))(t)
	l.set(t, ref)
	_, err = l.AddPatch(ctx, "test", onServer("worker-1"), fleet.Patch{Name: "pool", Text: sysctl("vm.p", "${pool}")}, -1, manage.Save{})
	refused(t, "the variable is gone", err, fleet.Invalid, "pool", "")
	ok(l.Revert(ctx, "test", ref, old.Revision, manage.Save{}))(t)
	ok(l.AddPatch(ctx, "test", onServer("worker-1"), fleet.Patch{Name: "pool", Text: sysctl("vm.p", "${pool}")}, -1, manage.Save{}))(t)
	_, err = l.Revert(ctx, "test", ref, first.Revision, manage.Save{})
	refused(t, "a revision without the variable that a server needs now", err, fleet.Invalid, "cluster prod would break server worker-1", "draft")
	ok(l.Revert(ctx, "test", ref, first.Revision, manage.Save{Draft: true}))(t)
}

func TestRevisionsAreCompared(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, "prod")
	ctx, ref := t.Context(), onCluster("prod")
	password := "correct-horse-battery"
	auth := "apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: registry.example.com\nusername: me\npassword: "
	one := ok(l.SetLayer(ctx, "test", ref, fleet.Contents{
		Patches: []fleet.Patch{
			{Name: "auth", Text: auth + password + "\n"}, {Name: "a", Text: fourLines}, {Name: "gone", Text: threeLines}, {Name: "limited", Text: threeLines},
		},
		Variables: map[string]string{"pool": "blue", "db_password": password},
	}, manage.Save{}))(t)
	two := ok(l.SetLayer(ctx, "test", ref, fleet.Contents{
		Patches: []fleet.Patch{
			{Name: "new", Text: threeLines}, {Name: "a", Text: changed}, {Name: "auth", Text: auth + password + "-2\n"}, {Name: "limited", Text: threeLines, Role: fleet.Worker, Off: true},
		},
		Variables: map[string]string{"pool": "green", "db_password": password + "-2"},
	}, manage.Save{}))(t)
	d := ok(l.DiffRevisions(ctx, ref, one.Revision[:10], manage.RevisionCurrent))(t)
	if d.From != one.Revision || d.To != two.Revision {
		t.Errorf("from %s to %s", d.From, d.To)
	}
	var got []string
	for _, p := range d.Patches {
		text := fmt.Sprintf("%s %s %s -> %s:", p.Name, p.Op, p.From, p.To)
		for _, line := range p.Lines {
			if line.Op != "" {
				text += fmt.Sprintf(" %s %s;", line.Op, strings.TrimSpace(line.Text))
			}
		}
		got = append(got, text)
	}
	for _, f := range d.Fields {
		got = append(got, f.Name+" "+f.Old+" "+f.New)
	}
	want := []string{
		`new added  -> 1. all: added machine:; added sysctls:; added vm.a: "1";`,
		`a changed 2. all -> 2. all: removed vm.a: "1"; added vm.a: "9";`,
		`auth changed 1. all -> 3. all: removed password: [secret]; added password: [secret];`,
		`limited changed 4. all -> 4. worker, off:`,
		`gone removed 3. all -> : removed machine:; removed sysctls:; removed vm.a: "1";`,
		"variable db_password [secret] [secret]", "variable pool blue green",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if same := ok(l.DiffRevisions(ctx, ref, two.Revision, "current"))(t); !same.Empty() {
		t.Errorf("a revision differs from itself: %+v", same)
	}
	_, err := l.DiffRevisions(ctx, ref, "current", "draft")
	refused(t, "there is no draft", err, fleet.NotFound, "no draft", itself)
	reordered := ok(l.MovePatch(ctx, "test", ref, "a", 0, manage.Save{}))(t)
	d = ok(l.DiffRevisions(ctx, ref, two.Revision, reordered.Revision))(t)
	if len(d.Patches) != 2 || d.Patches[0].Op != diff.Moved || d.Patches[0].From != "2. all" || d.Patches[0].To != "1. all" {
		t.Errorf("moved: %+v", d.Patches)
	}
}
