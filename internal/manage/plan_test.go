package manage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

func layerChange(ref manage.LayerRef, patches ...fleet.Patch) manage.Change {
	return manage.Change{Layers: []manage.LayerChange{{LayerRef: ref, Contents: fleet.Contents{Patches: patches}}}}
}

// groups says in words what a plan changes.
func groups(p manage.Plan) (all []string) {
	for _, g := range p.Groups {
		var names, changes []string
		for _, s := range g.Servers {
			names = append(names, s.Name)
		}
		for _, d := range g.Diff.Documents {
			for _, c := range d.Changes {
				changes = append(changes, fmt.Sprintf("%s %v->%v", c.Path, c.Old, c.New))
			}
		}
		effect := "nothing"
		if g.Verdict != nil {
			effect = string(g.Verdict.Effect)
		}
		all = append(all, fmt.Sprintf("%s from %s: %s, %s", strings.Join(names, " "), g.From, strings.Join(changes, " "), effect))
	}
	return all
}

func TestAPlanSaysWhatAChangeDoesToWhichServers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1", "worker-2", "worker-3", "spare")
	l.cluster(t, "prod", "control-plane-1", "worker-1", "worker-2", "worker-3")
	ctx := t.Context()
	l.set(t, onServer("worker-3"), fleet.Patch{Name: "own", Text: sysctl("vm.a", "own")})
	l.set(t, onServer("worker-2"), fleet.Patch{Name: "own", Text: sysctl("vm.b", "2")})

	p := ok(l.Plan(ctx, layerChange(onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "1"), Role: fleet.Worker}), manage.PlanOptions{}))(t)
	got := strings.Join(groups(p), "\n")
	if len(p.Groups) != 1 || !strings.HasPrefix(got, `worker-1 worker-2 from records: `) || !strings.Contains(got, "vm.a") || !strings.HasSuffix(got, ", immediate") {
		t.Errorf("plan:\n%s", got)
	}
	if len(p.Unchanged) != 2 || p.Unchanged[0].Name != "control-plane-1" || p.Unchanged[1].Name != "worker-3" || len(p.Broken) != 0 {
		t.Errorf("unchanged %+v, broken %+v", p.Unchanged, p.Broken)
	}
	if layer, _, _ := l.Layer(ctx, onCluster("prod")); !layer.Empty() {
		t.Error("a plan was saved")
	}

	p = ok(l.Plan(ctx, layerChange(onRole("prod", fleet.Worker), fleet.Patch{Name: "a", Text: "machine: {nonsense: 1}"}), manage.PlanOptions{}))(t)
	if len(p.Groups) != 0 || len(p.Broken) != 1 || len(p.Broken[0].Servers) != 3 || !strings.Contains(p.Broken[0].Reason, "nonsense") {
		t.Errorf("broken %+v", p.Broken)
	}
	p = ok(l.Plan(ctx, manage.Change{Cluster: &manage.ClusterUpdate{Cluster: "prod", ClusterChange: manage.ClusterChange{KubernetesVersion: ptr("v1.36.0")}}}, manage.PlanOptions{}))(t)
	if len(p.Groups) != 2 || len(p.Groups[0].Servers) != 3 || len(p.Groups[1].Servers) != 1 {
		t.Errorf("a version: %s", groups(p))
	}
	p = ok(l.Plan(ctx, manage.Change{Assign: []manage.ServerAssign{{Server: "spare", AssignmentChange: manage.AssignmentChange{Cluster: ptr("prod"), Patch: ptr(sysctl("vm.x", "1"))}}}}, manage.PlanOptions{}))(t)
	if len(p.Groups) != 1 || p.Groups[0].From != manage.FromNothing || p.Groups[0].Verdict != nil || !strings.Contains(groups(p)[0], "vm.x") {
		t.Errorf("a new server: %s", groups(p))
	}
	p = ok(l.Plan(ctx, manage.Change{}, manage.PlanOptions{}))(t)
	if len(p.Unchanged) != 4 || len(p.Groups) != 0 {
		t.Errorf("nothing changes: %+v", p)
	}
	ok(l.SetLayer(ctx, "test", onCluster("prod"), fleet.Contents{Patches: []fleet.Patch{{Name: "d", Text: sysctl("vm.d", "1")}}}, manage.Save{Draft: true}))(t)
	p = ok(l.Plan(ctx, manage.Change{Publish: []manage.LayerRef{onCluster("prod")}}, manage.PlanOptions{Servers: []string{"worker-1"}}))(t)
	if len(p.Groups) != 1 || len(p.Groups[0].Servers) != 1 || !strings.Contains(groups(p)[0], "vm.d") {
		t.Errorf("a draft, for one server: %s", groups(p))
	}
	d := ok(l.DiffServers(ctx, "worker-1", "worker-2"))(t)
	if text := fmt.Sprint(d.Documents); !strings.Contains(text, "vm.b") || !strings.Contains(text, "worker-2") || strings.Contains(text, "token") {
		t.Errorf("two servers: %s", text)
	}
	_, err := l.Plan(ctx, layerChange(onCluster("nope")), manage.PlanOptions{})
	refused(t, "no such cluster", err, fleet.NotFound, "nope", "")
	_, err = l.Plan(ctx, manage.Change{}, manage.PlanOptions{Servers: []string{"nope"}})
	refused(t, "no such server", err, fleet.NotFound, "nope", "")
}

func TestAPlanComparesWithWhatNodesRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1", "worker-2", "worker-3")
	l.cluster(t, "prod", "worker-1", "worker-2", "worker-3")
	ctx := t.Context()
	runs := []byte(l.yaml(t, "worker-1"))
	l.becomes(t, "worker-1", fleet.Ready)
	l.becomes(t, "worker-2", fleet.Ready)
	l.set(t, onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")})
	asked := make(chan string, 9)
	p := ok(l.Plan(ctx, manage.Change{}, manage.PlanOptions{Running: func(_ context.Context, s fleet.Server) ([]byte, error) {
		asked <- s.Name
		if s.Name == "worker-2" {
			return nil, fleet.Errorf(fleet.Unavailable, "node %s does not answer", s.Address())
		}
		return runs, nil
	}}))(t)
	if len(asked) != 2 {
		t.Errorf("%d servers were asked; worker-3 is no node", len(asked))
	}
	if len(p.Groups) != 1 || p.Groups[0].From != manage.FromRunning || p.Groups[0].Servers[0].Name != "worker-1" || !p.Groups[0].Servers[0].Node || !strings.Contains(groups(p)[0], "vm.a") {
		t.Errorf("groups %s", groups(p))
	}
	if len(p.Silent) != 1 || p.Silent[0].Servers[0] != "worker-2" || !strings.Contains(p.Silent[0].Reason, "does not answer") || len(p.Unchanged) != 2 {
		t.Errorf("silent %+v, unchanged %+v", p.Silent, p.Unchanged)
	}
}

// secretsOf lists every secret of a bundle: each text of it that is long enough to be one.
func secretsOf(t *testing.T, bundle []byte) (all []string) {
	t.Helper()
	var n yaml.Node
	must(t, yaml.Unmarshal(bundle, &n))
	var visit func(n *yaml.Node, name string)
	visit = func(n *yaml.Node, name string) {
		if n.Kind == yaml.ScalarNode && len(n.Value) > 10 && name != "crt" && name != "id" {
			all = append(all, n.Value)
		}
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue // a key
			}
			if n.Kind == yaml.MappingNode {
				name = n.Content[i-1].Value
			}
			visit(c, name)
		}
	}
	visit(&n, "")
	if len(all) < 6 {
		t.Fatalf("%d secrets in a bundle", len(all))
	}
	return all
}

func TestNoSecretOfTheBundleIsSaid(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	c := l.cluster(t, "prod", "control-plane-1", "worker-1")
	ctx := t.Context()
	var said []string
	keep := func(what string, v any, err error) {
		if err != nil {
			v = []any{err.Error(), fleet.HintOf(err)}
			if b, yes := errors.AsType[*manage.Breaks](err); yes {
				v = []any{v, b.Error(), b}
			}
		}
		text := ok(json.Marshal(v))(t)
		said = append(said, what+": "+string(text))
	}
	all := secretsOf(t, c.Secrets)
	for i, secret := range all {
		quoted := string(ok(json.Marshal(secret))(t))
		for j, text := range []string{
			"machine: {sysctls: {vm.secret: " + quoted + "}}\n",          // where none belongs, but well
			"machine: {sysctls: {vm.secret: [" + quoted + "]}}\n",        // of a wrong type
			"machine: {" + quoted + ": 1}\n",                             // as a key that nobody knows
			"machine: {install: {wipe: " + quoted + "}}\n",               // of another wrong type
			"[{op: replace, path: /nowhere/x, value: " + quoted + "}]\n", // a JSON patch without a target
			"machine: [" + quoted + "\n",                                 // not YAML
			"machine: {sysctls: {vm.secret: ${" + strings.Repeat("x", 3) + "}}} # " + strings.ReplaceAll(secret, "\n", " ") + "\n", // a comment of a patch with an unknown variable
			"cluster: {token: " + quoted + "}\n", // where it belongs
		} {
			if i > 2 && j > 1 && j != i%8 {
				continue // each kind of mistake with some secrets, each secret with some mistakes
			}
			patch := fleet.Patch{Name: "p", Text: text}
			ref := onCluster("prod")
			p, err := l.Plan(ctx, layerChange(ref, patch), manage.PlanOptions{})
			keep("plan", p, err)
			_, err = l.SetLayer(ctx, "test", ref, fleet.Contents{Patches: []fleet.Patch{patch}}, manage.Save{Why: "because of " + secret})
			keep("save", nil, err)
			_, err = l.SetLayer(ctx, "test", ref, fleet.Contents{Patches: []fleet.Patch{patch}}, manage.Save{Draft: true, Why: "draft of " + secret})
			keep("draft", nil, err)
			d, err := l.DiffRevisions(ctx, ref, "current", "draft")
			keep("difference", d, err)
			_, err = l.Publish(ctx, "test", ref, manage.Save{Why: secret})
			keep("publish", nil, err)
			_, err = l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: &text})
			keep("assign", nil, err)
			_, err = l.SaveConfigAs(ctx, "test", fleet.Config{Name: fmt.Sprintf("c-%d-%d", i, j), Contents: fleet.Contents{Patches: []fleet.Patch{patch}}}, manage.Save{Why: secret})
			keep("config", nil, err)
			b, err := l.Blame(ctx, ref)
			keep("blame", b, err)
			ok(l.SetLayer(ctx, "test", ref, fleet.Contents{}, manage.Save{}))(t)
			ok(l.SetLayer(ctx, "test", onServer("worker-1"), fleet.Contents{}, manage.Save{}))(t)
		}
		_, err := l.SetVariable(ctx, "test", onCluster("prod"), "pool", secret, manage.Save{Why: secret})
		keep("variable", nil, err)
		p, err := l.Plan(ctx, layerChange(onRole("prod", fleet.Worker), fleet.Patch{Name: "p", Text: "machine: {sysctls: {vm.pool: \"${pool}\"}, install: {wipe: \"${pool}\"}}"}), manage.PlanOptions{})
		keep("plan with a variable", p, err)
		p, err = l.Plan(ctx, layerChange(onRole("prod", fleet.Worker), fleet.Patch{Name: "p", Text: "machine: {sysctls: {vm.pool: \"${pool}\"}}"}), manage.PlanOptions{})
		keep("plan with a variable", p, err)
		_, err = l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{PrivateMTU: ptr(1400 + i), Why: secret})
		keep("cluster", nil, err)
	}
	for _, r := range ok(l.Revisions(ctx, onCluster("prod")))(t) {
		said = append(said, "revision: "+r.Why)
	}
	for _, e := range ok(l.Store.Events(ctx, store.EventFilter{}))(t) {
		said = append(said, "event: "+e.Text)
	}
	for _, text := range said {
		for _, secret := range all {
			quoted := string(ok(json.Marshal(secret))(t))
			if strings.Contains(text, secret) || strings.Contains(text, quoted[1:len(quoted)-1]) {
				t.Errorf("a secret is said: %.300s", text)
				break
			}
		}
	}
}
