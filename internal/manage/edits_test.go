package manage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// A change is looked at without being written: what the layer would hold, whether a save would be refused, and the config of
// a server with who set each line.
func TestAChangeOfALayerIsLookedAtWithoutBeingWritten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ref := onCluster("prod")
	l.set(t, ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")})
	c := ok(l.Edited(t.Context(), ref, false, manage.Adding(fleet.Patch{Name: "b", Text: sysctl("vm.b", "2")}, 0)))(t)
	must(t, l.CheckLayer(t.Context(), ref, c))
	p := ok(l.Preview(t.Context(), manage.Change{Layers: []manage.LayerChange{{LayerRef: ref, Contents: c}}}, "worker-1"))(t)
	at := slices.IndexFunc(strings.Split(p.YAML, "\n"), func(line string) bool { return strings.Contains(line, "vm.b:") })
	if at < 0 || p.Lines[at] != `cluster prod, patch "b"` {
		t.Errorf("line %d, by %v:\n%s", at, p.Lines, p.YAML)
	}
	if strings.Contains(l.yaml(t, "worker-1"), "vm.b") {
		t.Error("it was written")
	}
	c.Patches[0].Text = "machine:\n  sysctls: [1]\n"
	refused(t, "a list for a map", l.CheckLayer(t.Context(), ref, c), fleet.Invalid, `patch "b": line 2`, "draft")
	_, err := l.Edited(t.Context(), ref, false, manage.Removing(ref, "gone"))
	refused(t, "a patch that is not there", err, fleet.NotFound, "no patch", "it has a")
}

// Variables of a server are told with who sets them; what stands in a field for secrets is not.
func TestVariablesOfAServerAreToldWithTheirLayer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	for layer, value := range map[manage.LayerRef]string{onCluster("prod"): "of-cluster", onServer("worker-1"): "of-server"} {
		ok(l.SetVariable(t.Context(), "test", layer, "registry", value, manage.Save{}))(t)
	}
	ok(l.SetVariable(t.Context(), "test", onCluster("prod"), "pass", "hidden-one", manage.Save{}))(t)
	ok(l.AddPatch(t.Context(), "test", onCluster("prod"), fleet.Patch{Name: "env", Text: "machine:\n  env:\n    PASSWORD: ${pass}\n"}, -1, manage.Save{}))(t)
	got := map[string]manage.VariableValue{}
	for _, v := range ok(l.Variables(t.Context(), "worker-1"))(t) {
		got[v.Name] = v
	}
	if v := got["registry"]; v.Value != "of-server" || v.By != "server worker-1" {
		t.Errorf("the later layer wins: %+v", v)
	}
	if v := got["pass"]; v.Value != diff.Secret || v.By != "cluster prod" {
		t.Errorf("a secret: %+v", v)
	}
	if v := got["server_name"]; v.Value != "worker-1" || v.By != "" || v.Means == "" {
		t.Errorf("a built-in one: %+v", v)
	}
}

func TestLayersAreListedWithWhoUsesThem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1", "worker-2")
	l.cluster(t, "prod", "control-plane-1", "worker-1", "worker-2")
	config := ok(l.SaveConfig(t.Context(), "test", fleet.Config{Name: "base", Contents: all(sysctl("vm.a", "1"))}))(t)
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Config: &config.Name}))(t)
	ok(l.AddPatch(t.Context(), "test", onServer("worker-2"), fleet.Patch{Name: "own", Text: sysctl("vm.b", "1")}, -1, manage.Save{Draft: true}))(t)
	var got []string
	for _, s := range ok(l.LayerList(t.Context()))(t) {
		line := s.What + ":" + strings.Repeat(" server", s.Servers) + " " + strings.Join(s.Patches, ",")
		if s.Draft != "" {
			line += "draft"
		}
		got = append(got, line)
	}
	want := []string{
		"config base: server all", "cluster prod: server server server ", "role controlplane of prod: server ", "role worker of prod: server server ",
		"server worker-2: server draft",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	users, versions, err := l.Users(t.Context(), onConfig("base"))
	if err != nil || len(users) != 1 || users[0].Name != "worker-1" || !slices.Equal(versions, ok(l.TalosVersions(t.Context(), onConfig("base")))(t)) {
		t.Errorf("used by %v, for %v, %v", users, versions, err)
	}
}
