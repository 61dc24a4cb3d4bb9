package manage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Wherever a patch has a secret, whatever form the patch has, what is said about the layer does not hold it.
func TestSecretsOfPatchesAreHiddenInEveryForm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	layer := manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "prod"}
	for _, c := range []struct {
		why       string
		text      string
		variables map[string]string
		kept      string // what is no secret
	}{
		{"a field of a merge patch", "machine:\n  registries:\n    config:\n      r.io: {auth: {username: u, password: open-sesame}} # for ci\n", nil, "# for ci"},
		{"an operation on the field itself", `[{"op": "add", "path": "/machine/registries/config/r.io/auth/password", "value": "open-sesame"}]`, nil, "r.io"},
		{"an operation on what is around it", "- op: add\n  path: /machine/registries/config/r.io\n  value:\n    auth: {username: u, password: open-sesame}\n", nil, "username: u"},
		{"an operation on an element of a list", "- op: add\n  path: /machine/network/interfaces/-\n  value: {interface: wg0, wireguard: {privateKey: open-sesame}}\n", nil, "wg0"},
		{"an operation on an escaped path", `[{"op": "add", "path": "/cluster/extraManifestHeaders/a~1b", "value": "open-sesame"}]`, nil, "a~1b"},
		{"a draft that cannot be read", "machine:\n  registries:\n   config:\n  x: [\n  password: open-sesame\n", nil, "registries"},
		{"a variable whose name says so", "machine:\n  sysctls: {a: \"1\"}\n", map[string]string{"registry_password": "open-sesame", "zone": "fsn1"}, "fsn1"},
		{"a variable that stands in a field for secrets", "machine:\n  registries:\n    config:\n      r.io: {auth: {username: u, password: \"${opener}\"}}\n", map[string]string{"opener": "open-sesame"}, "${opener}"},
		{"such a variable of an operation", `[{"op": "add", "path": "/machine/registries/config/r.io/auth/password", "value": "${opener}"}]`, map[string]string{"opener": "open-sesame"}, "${opener}"},
	} {
		ok(l.SetLayer(ctx, "test", layer, fleet.Contents{Patches: []fleet.Patch{{Name: "p", Text: c.text}}, Variables: c.variables}, manage.Save{Draft: strings.Contains(c.why, "draft") || strings.Contains(c.why, "operation"), Why: "not open-sesame"}))(t)
		contents, draft, err := l.Layer(ctx, layer)
		must(t, err)
		shown := contents.Contents
		if contents.Draft != "" {
			shown = draft
		}
		whole := shown.Clone()
		hid := ok(l.Hide(ctx, &shown))(t)
		text := fmt.Sprint(shown)
		if !hid[0] || strings.Contains(text, "sesame") || !strings.Contains(text, c.kept) || strings.Count(shown.Patches[0].Text, "\n") != strings.Count(whole.Patches[0].Text, "\n") {
			t.Errorf("%s: shown as %s", c.why, text)
		}
		// Handed back as it was shown it stays as it is; changed, it is refused.
		back := shown.Clone()
		back.Patches = append(back.Patches, fleet.Patch{Name: "another", Text: sysctl("vm.z", "1")})
		saved := ok(l.SetLayer(ctx, "test", layer, back, manage.Save{Draft: true, Base: contents.Draft}))(t)
		_, draft, _ = l.Layer(ctx, layer)
		if draft.Text("p") != c.text || draft.Patch("another") != 1 || fmt.Sprint(draft.Variables) != fmt.Sprint(whole.Variables) {
			t.Errorf("%s: handed back it is %+v", c.why, draft)
		}
		if strings.Contains(shown.Patches[0].Text, "[secret]") {
			back.Patches[0].Text += "\n# mine\n"
			_, err = l.SetLayer(ctx, "test", layer, back, manage.Save{Draft: true, Base: saved.Draft})
			refused(t, c.why+", changed as shown", err, fleet.Invalid, "taken out", "secret itself")
		}
		contents.Draft = saved.Draft
		d := ok(l.DiffRevisions(ctx, layer, first(t, l, layer), manage.RevisionCurrent))(t)
		b := ok(l.Blame(ctx, layer))(t)
		p, err := l.Plan(ctx, manage.Change{Layers: []manage.LayerChange{{LayerRef: layer}}}, manage.PlanOptions{})
		must(t, err)
		revisions := ok(l.Revisions(ctx, layer))(t)
		if said := fmt.Sprint(d, b, groups(p), revisions, l.said(t, "cluster.patches."+revisions[0].Verb)); strings.Contains(said, "sesame") {
			t.Errorf("%s: said %s", c.why, said)
		}
		if contents.Draft != "" {
			ok(l.Discard(ctx, "test", layer, manage.Save{}))(t)
		}
	}
	// Contents without a secret are shown as they are.
	plain := fleet.Contents{Patches: []fleet.Patch{{Name: "p", Text: "machine: {sysctls: {a: '${zone}'}}\n\n# end"}}, Variables: map[string]string{"zone": "fsn1"}}
	shown := plain.Clone()
	if hid := ok(l.Hide(ctx, &shown))(t); hid[0] || fmt.Sprint(shown) != fmt.Sprint(plain) {
		t.Errorf("shown as %+v", shown)
	}
}

// first is the oldest revision of a layer.
func first(t *testing.T, l *lab, layer manage.LayerRef) string {
	t.Helper()
	all := ok(l.Revisions(t.Context(), layer))(t)
	return all[len(all)-1].Revision
}

// The page of a server sends its whole form, the patch as it was shown.
func TestAnAssignmentKeepsTheSecretsOfAPatchAsShown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	const own = "apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: r.io\nusername: u\npassword: open-sesame # mine\n"
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: ptr(own)}))(t)
	layer, _, err := l.Layer(ctx, onServer("worker-1"))
	must(t, err)
	shown := layer.Clone()
	ok(l.Hide(ctx, &shown))(t)
	text := shown.Text(fleet.PatchOwn)
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: &text, Hostname: ptr("db-1")}))(t)
	if layer, _, _ = l.Layer(ctx, onServer("worker-1")); layer.Text(fleet.PatchOwn) != own || !strings.Contains(text, "[secret] # mine") {
		t.Errorf("shown as %q, kept as %q", text, layer.Text(fleet.PatchOwn))
	}
	text = strings.Replace(text, "username: u", "username: v", 1)
	_, err = l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: &text})
	refused(t, "changed as shown", err, fleet.Invalid, "taken out", "secret itself")
}
