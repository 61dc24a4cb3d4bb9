package api_test

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/client"
)

// The layers of each scope are edited one way; what would break a server is refused, and kept as a draft if wanted.
func TestPatchesOfEveryScopeAreEditedPlannedAndExplained(t *testing.T) {
	l := open(t)
	l.assigned()
	ctx := t.Context()
	_, err := l.CreateConfig(ctx, client.NewConfig{Name: "base"})
	l.must(err)
	_, err = l.AssignServer(ctx, "worker-1", client.AssignmentChange{Cluster: new("prod"), Config: new("base")})
	l.must(err)
	for _, c := range []struct {
		layer string
		value string
	}{{"cluster/prod", "1"}, {"role/prod/worker", "2"}, {"config/base", "3"}, {"server/worker-1", "4"}} {
		ref, err := client.ParseLayer(c.layer)
		l.must(err)
		v, err := l.AddPatch(ctx, ref, client.NewPatch{Patch: client.Patch{Name: "swap", Text: "machine: {sysctls: {vm.swappiness: \"" + c.value + "\"}}"}})
		l.must(err)
		if v.Scope != ref.Scope || v.Owner.Name == "" || v.Role != ref.Role || len(v.Patches) != 1 || v.Revision == "" {
			t.Errorf("%s after a patch was added: %+v", c.layer, v)
		}
		m, err := l.MachineConfig(ctx, "worker-1", false)
		l.must(err)
		if !strings.Contains(m.YAML, "vm.swappiness: \""+c.value+"\"") {
			t.Errorf("the patch of %s does not win over earlier scopes", c.layer)
		}
	}
	server := client.LayerRef{Scope: client.ScopeServer, Owner: "worker-1"}
	e, err := l.ExplainMachineConfig(ctx, "worker-1")
	l.must(err)
	found := false
	for i, line := range strings.Split(strings.TrimSuffix(e.YAML, "\n"), "\n") {
		found = found || strings.Contains(line, "vm.swappiness") && strings.Contains(e.Lines[i], "server worker-1")
	}
	if !found || strings.Contains(e.YAML, "PRIVATE KEY") {
		t.Errorf("explained: %v\n%s", e.Lines, e.YAML)
	}

	// A plan says what a change would do, and changes nothing.
	p, err := l.Plan(ctx, client.PlanRequest{Layers: []client.PlannedLayer{{LayerRef: server}}})
	l.must(err)
	if len(p.Groups) != 1 || p.Groups[0].Servers[0].Name != "worker-1" || !strings.Contains(p.Groups[0].Text, "vm.swappiness") || len(p.Groups[0].Documents) != 1 {
		t.Errorf("the plan to take the server's patches away is %+v", p)
	}

	// What would break a server is refused with its place, or kept as a draft.
	bad := "machine:\n  sysctls:\n    a: ${nobody}\n"
	_, err = l.ChangePatch(ctx, server, "swap", client.PatchChange{Text: &bad})
	l.want(err, client.Invalid, 422, "line 3", "variable")
	v, err := l.ChangePatch(ctx, server, "swap", client.PatchChange{LayerSave: client.LayerSave{Draft: true, Why: "later"}, Text: &bad})
	l.must(err)
	if v.Draft == nil || v.Draft.Patches[0].Text != bad || v.Patches[0].Text == bad {
		t.Errorf("the draft is %+v, in effect is %+v", v.Draft, v.Patches)
	}
	drafts, err := l.Drafts(ctx)
	l.must(err)
	if len(drafts.Items) != 1 || drafts.Items[0].Scope != client.ScopeServer || drafts.Items[0].Revision != v.Draft.Revision || drafts.Items[0].Stale {
		t.Errorf("drafts %+v", drafts.Items)
	}
	_, err = l.PublishLayer(ctx, server, client.LayerSave{})
	l.want(err, client.Invalid, 422, "nobody", "")
	_, err = l.SetVariable(ctx, client.LayerRef{Scope: client.ScopeCluster, Owner: "prod"}, "nobody", client.VariableChange{Value: "x: y"})
	l.must(err)
	v, err = l.PublishLayer(ctx, server, client.LayerSave{Why: "now"})
	l.must(err)
	if v.Draft != nil || v.Patches[0].Text != bad {
		t.Errorf("published: %+v", v)
	}
	_, err = l.UnsetVariable(ctx, client.LayerRef{Scope: client.ScopeCluster, Owner: "prod"}, "nobody", client.LayerSave{})
	l.want(err, client.Invalid, 422, "worker-1", "")

	// The history says who did what, and gives it back.
	all, err := l.LayerRevisions(ctx, server)
	l.must(err)
	if len(all.Items) != 3 || all.Items[1].Why != "later" || all.Items[1].Verb != "draft" {
		t.Errorf("revisions %+v", all.Items)
	}
	d, err := l.DiffLayer(ctx, server, all.Items[2].Revision, "current")
	l.must(err)
	if len(d.Patches) != 1 || d.Patches[0].Op != "changed" {
		t.Errorf("diff %+v", d)
	}
	blame, err := l.BlameLayer(ctx, server)
	l.must(err)
	if len(blame.Items) != 1 || blame.Items[0].Lines[2].Why != "now" {
		t.Errorf("blame %+v", blame.Items)
	}
	v, err = l.RevertLayer(ctx, server, client.LayerRevert{Revision: all.Items[2].Revision[:12]})
	l.must(err)
	if v.Revision != all.Items[2].Revision {
		t.Errorf("reverted to %+v", v)
	}
	off, first := true, 0
	_, err = l.ChangePatch(ctx, server, "swap", client.PatchChange{Off: &off})
	l.must(err)
	_, err = l.ChangePatch(ctx, server, "swap", client.PatchChange{Off: &off, Place: &first})
	l.want(err, client.Invalid, 422, "two changes", "")
	if v, err = l.RemovePatch(ctx, server, "swap", client.LayerSave{Base: "0000"}); err == nil {
		t.Errorf("removed on an old base: %+v", v)
	}
	v, err = l.RemovePatch(ctx, server, "swap", client.LayerSave{})
	l.must(err)
	if len(v.Patches) != 0 {
		t.Errorf("after the removal: %+v", v)
	}
	_, err = l.Layer(ctx, client.LayerRef{Scope: client.ScopeRole, Owner: "prod", Role: "boss"})
	l.want(err, client.Invalid, 422, "role", "")
	_, err = l.Layer(ctx, client.LayerRef{Scope: client.ScopeConfig, Owner: "nothing"})
	l.want(err, client.NotFound, 404, "nothing", "config list")

	one, err := l.DiffMachineConfigs(ctx, "worker-1", "cp-1")
	l.must(err)
	if len(one.Documents) == 0 || one.Text == "" {
		t.Errorf("two servers differ in %+v", one)
	}
}
