package manage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestAnExplainedConfigSaysWhoSetEachLineAndHoldsNoSecret(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	c := l.cluster(t, "prod", "worker-1")
	save := func(ref manage.LayerRef, contents fleet.Contents) {
		t.Helper()
		ok(l.SetLayer(t.Context(), "ada", ref, contents, manage.Save{}))(t)
	}
	save(onCluster("prod"), fleet.Contents{
		Patches: []fleet.Patch{
			{Name: "base", Text: sysctl("vm.a", "${level}")},
			{Name: "planes", Text: sysctl("vm.planes", "1"), Role: fleet.ControlPlane},
			{Name: "registry", Text: "machine:\n  registries:\n    config:\n      r.example.com:\n        auth:\n          username: me\n          password: ${pull}\n"},
		},
		Variables: map[string]string{"level": "1", "pull": "hunter2hunter2"},
	})
	own := manage.LayerRef{Scope: fleet.ScopeServer, Owner: "worker-1"}
	save(own, fleet.Contents{Patches: []fleet.Patch{{Name: "own", Text: sysctl("vm.a", "2")}, {Name: "again", Text: sysctl("vm.a", "2")}}, Variables: map[string]string{"level": "7"}})
	s := ok(l.Store.Server(t.Context(), "worker-1"))(t)
	e := ok(l.Explain(t.Context(), s))(t)

	by := map[string]string{}
	for _, line := range e.Lines {
		by[strings.TrimSpace(line.Text)] = line.By
	}
	for line, want := range map[string]string{
		`vm.a: "2"`: `server worker-1, patch "own"`, "username: me": `cluster prod, patch "registry"`, "type: worker": "",
	} {
		if got, there := by[line]; !there || got != want {
			t.Errorf("line %q is said to be of %q, want %q", line, got, want)
		}
	}
	text := ""
	for _, line := range e.Lines {
		text += line.Text + "\n"
	}
	bundle := string(ok(secrets())(t))
	for line := range strings.Lines(bundle) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name != "crt" && name != "id" && len(value) > 20 && strings.Contains(text, value) { // certificates are public
			t.Errorf("a secret of the cluster is in it: %.20s…", line)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the password of a patch is in it")
	}
	var names []string
	for _, p := range e.Patches {
		names = append(names, string(p.Layer.Scope)+"/"+p.Layer.Owner+" "+p.Patch)
		if p.Idle != (p.Patch == "again") {
			t.Errorf("patch %s idle: %v", p.Name, p.Idle)
		}
	}
	if want := []string{"cluster/prod base", "cluster/prod registry", "server/worker-1 own", "server/worker-1 again"}; !slices.Equal(names, want) {
		t.Errorf("patches %v, want %v", names, want)
	}
	found := map[string]manage.ShownVariable{}
	for _, v := range e.Variables {
		found[v.Name] = v
	}
	if v := found["level"]; v.Value != "7" || v.From != "server worker-1" {
		t.Errorf("variable %+v, want the server's", v)
	}
	if v := found["pull"]; v.Value == "hunter2hunter2" || v.From != "cluster prod" {
		t.Errorf("a secret variable %+v", v)
	}
	if v := found["cluster_name"]; v.Value != c.Name || v.From != "" || v.Means == "" {
		t.Errorf("a built-in variable %+v", v)
	}
	if e.TalosVersion != c.TalosVersion || e.InstallImage == "" {
		t.Errorf("versions %s, image %s", e.TalosVersion, e.InstallImage)
	}
}
