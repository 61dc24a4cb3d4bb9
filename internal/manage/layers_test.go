package manage_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

func sysctl(name, value string) string {
	return "machine:\n  sysctls:\n    " + name + ": \"" + value + "\"\n"
}

func onCluster(name string) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeCluster, Owner: name}
}

func onServer(name string) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeServer, Owner: name}
}

func onConfig(name string) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeConfig, Owner: name}
}

func onRole(name string, role fleet.Role) manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeRole, Owner: name, Role: role}
}

// yaml is a server's machine config as it is now.
func (l *lab) yaml(t *testing.T, name string) string {
	t.Helper()
	return string(ok(l.Renderer.MachineConfig(t.Context(), ok(l.Store.Server(t.Context(), name))(t)))(t).YAML)
}

func (l *lab) set(t *testing.T, ref manage.LayerRef, patches ...fleet.Patch) fleet.Layer {
	t.Helper()
	return ok(l.SetLayer(t.Context(), "test", ref, fleet.Contents{Patches: patches}, manage.Save{}))(t)
}

func TestLaterLayersWinAndLimitsHold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	l.cluster(t, "prod", "control-plane-1", "worker-1")
	config := ok(l.SaveConfig(t.Context(), "test", fleet.Config{Name: "base", Contents: all(sysctl("vm.a", "config"))}))(t)
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Config: &config.Name}))(t)
	l.set(t, onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "cluster")}, fleet.Patch{Name: "b", Text: sysctl("vm.b", "first")}, fleet.Patch{Name: "c", Text: sysctl("vm.b", "second")})
	l.set(t, onRole("prod", fleet.Worker), fleet.Patch{Name: "a", Text: sysctl("vm.a", "role")}, fleet.Patch{Name: "only", Text: sysctl("vm.r", "worker")})
	l.set(t, onServer("worker-1"),
		fleet.Patch{Name: "arm", Architecture: fleet.ARM64, Text: sysctl("vm.arm", "1")},
		fleet.Patch{Name: "cloud", Provider: fleet.HetznerCloud, Text: sysctl("vm.cloud", "1")},
		fleet.Patch{Name: "plane", Role: fleet.ControlPlane, Text: sysctl("vm.plane", "1")},
		fleet.Patch{Name: "off", Off: true, Text: sysctl("vm.off", "1")},
		fleet.Patch{Name: "robot", Provider: fleet.HetznerRobot, Architecture: fleet.AMD64, Role: fleet.Worker, Text: sysctl("vm.robot", "1")})
	worker, plane := l.yaml(t, "worker-1"), l.yaml(t, "control-plane-1")
	for _, tc := range []struct {
		why, config, text string
		there             bool
	}{
		{"the config comes after cluster and role", worker, "vm.a: config", true},
		{"the later patch of a layer wins", worker, "vm.b: second", true},
		{"a role's layer is for its servers", worker, "vm.r: worker", true},
		{"and for no others", plane, "vm.r", false},
		{"without a config the cluster's layer stays", plane, "vm.a: cluster", true},
		{"all limits are met", worker, "vm.robot", true},
		{"another architecture", worker, "vm.arm", false},
		{"another provider", worker, "vm.cloud", false},
		{"another role", worker, "vm.plane", false},
		{"switched off", worker, "vm.off", false},
	} {
		if got := strings.Contains(strings.ReplaceAll(tc.config, `"`, ""), tc.text); got != tc.there {
			t.Errorf("%s: %q is there: %t", tc.why, tc.text, got)
		}
	}
	if _, err := l.MovePatch(t.Context(), "test", onCluster("prod"), "c", 0, manage.Save{}); err != nil || !strings.Contains(l.yaml(t, "control-plane-1"), "first") {
		t.Errorf("moved to the front, it is not overridden: %v", err)
	}
}

func TestPatchesAreAddedChangedMovedSwitchedAndRemoved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, "prod")
	ctx, ref := t.Context(), onCluster("prod")
	names := func(layer fleet.Layer, err error) func(want ...string) {
		return func(want ...string) {
			t.Helper()
			must(t, err)
			got := []string{}
			for _, p := range layer.Patches {
				name := p.Name
				if p.Off {
					name += " off"
				}
				got = append(got, name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("patches (-want +got):\n%s", diff)
			}
		}
	}
	patch := func(name string) fleet.Patch { return fleet.Patch{Name: name, Text: sysctl("vm."+name, "1")} }
	names(l.AddPatch(ctx, "ada", ref, patch("b"), -1, manage.Save{}))("b")
	names(l.AddPatch(ctx, "ada", ref, patch("a"), 0, manage.Save{Why: "first things first"}))("a", "b")
	if got := l.said(t, "cluster.patches.save"); !strings.HasPrefix(got, "ada: cluster prod, revision ") || !strings.HasSuffix(got, ": patch a added (first things first)") {
		t.Error(got)
	}
	names(l.AddPatch(ctx, "ada", ref, patch("c"), 99, manage.Save{}))("a", "b", "c")
	names(l.MovePatch(ctx, "ada", ref, "a", 99, manage.Save{}))("b", "c", "a")
	names(l.SwitchPatch(ctx, "ada", ref, "c", false, manage.Save{}))("b", "c off", "a")
	names(l.UpdatePatch(ctx, "ada", ref, "b", func(p *fleet.Patch) { p.Name, p.Role = "b2", fleet.Worker }, manage.Save{}))("b2", "c off", "a")
	names(l.RemovePatch(ctx, "ada", ref, "a", manage.Save{}))("b2", "c off")

	_, err := l.AddPatch(ctx, "test", ref, patch("b2"), -1, manage.Save{})
	refused(t, "the name is taken", err, fleet.Conflict, "b2", "another name")
	_, err = l.RemovePatch(ctx, "test", ref, "nope", manage.Save{})
	refused(t, "no such patch", err, fleet.NotFound, `no patch "nope"`, "it has b2, c")
	_, err = l.AddPatch(ctx, "test", manage.LayerRef{Scope: "planet", Owner: "prod"}, patch("x"), -1, manage.Save{})
	refused(t, "no such scope", err, fleet.Invalid, "planet", "use cluster, role, config or server")
	_, err = l.AddPatch(ctx, "test", onRole("prod", "boss"), patch("x"), -1, manage.Save{})
	refused(t, "no such role", err, fleet.Invalid, "boss", "controlplane")
	_, err = l.AddPatch(ctx, "test", onCluster("nope"), patch("x"), -1, manage.Save{})
	refused(t, "no such cluster", err, fleet.NotFound, "nope", "")
	for _, tc := range []struct {
		why  string
		p    fleet.Patch
		text string
	}{
		{"no name", fleet.Patch{Text: "a: 1"}, "DNS label"},
		{"empty", fleet.Patch{Name: "x", Text: "  \n"}, "is empty"},
		{"an unknown role", fleet.Patch{Name: "x", Text: "a: 1", Role: "boss"}, "unknown role"},
		{"an unknown architecture", fleet.Patch{Name: "x", Text: "a: 1", Architecture: "mips"}, "unknown architecture"},
		{"an unknown provider", fleet.Patch{Name: "x", Text: "a: 1", Provider: "aws"}, "unknown provider"},
		{"a zero byte", fleet.Patch{Name: "x", Text: "a: \x00"}, "zero byte"},
		{"not YAML", fleet.Patch{Name: "x", Text: "machine: [\n"}, `patch "x"`},
		{"nothing that Talos knows, though for servers that nobody has", fleet.Patch{Name: "x", Text: "machine: {nonsense: 1}", Architecture: fleet.ARM64}, "nonsense"},
	} {
		_, err := l.AddPatch(ctx, "test", ref, tc.p, -1, manage.Save{})
		refused(t, tc.why, err, fleet.Invalid, tc.text, itself)
	}
}

func TestOwnVariablesOfLaterScopesWin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1", "worker-2")
	l.cluster(t, "prod", "worker-1", "worker-2")
	ctx := t.Context()
	_, err := l.SetVariable(ctx, "test", onCluster("prod"), "hostname", "x", manage.Save{})
	refused(t, "a built in name", err, fleet.Invalid, "built in", "another name")
	_, err = l.SetVariable(ctx, "test", onCluster("prod"), "Not-A-Name", "x", manage.Save{})
	refused(t, "no name", err, fleet.Invalid, "Not-A-Name", "a-z")
	ok(l.SetVariable(ctx, "test", onCluster("prod"), "pool", "blue", manage.Save{}))(t)
	if got := l.said(t, "cluster.patches.save"); strings.Contains(got, "blue") || !strings.HasSuffix(got, ": variable pool set") {
		t.Errorf("the event says %q", got)
	}
	ok(l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{PrivateNetwork: ptr("10.0.0.0/22")}))(t)
	l.set(t, onRole("prod", fleet.Worker), fleet.Patch{Name: "pool", Text: sysctl("vm.pool", "${pool}-${private_prefix}")})
	ok(l.SetVariable(ctx, "test", onServer("worker-2"), "pool", "green", manage.Save{}))(t)
	for name, want := range map[string]string{"worker-1": "vm.pool: blue-22", "worker-2": "vm.pool: green-22"} {
		if got := l.yaml(t, name); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q", name, want)
		}
	}
	_, err = l.UnsetVariable(ctx, "test", onCluster("prod"), "pool", manage.Save{})
	refused(t, "worker-1 needs it", err, fleet.Invalid, "cluster prod would break server worker-1: role worker of prod, patch \"pool\"", "draft")
	_, err = l.UnsetVariable(ctx, "test", onCluster("prod"), "nope", manage.Save{})
	refused(t, "there is none", err, fleet.NotFound, "nope", itself)
}

func TestASaveThatWouldBreakServersNamesThem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	names := []string{"worker-1", "worker-2", "worker-3", "worker-4", "worker-5", "worker-6", "worker-7", "worker-8", "control-plane-1"}
	l.rent(t, names...)
	c := l.cluster(t, "prod", names...)
	l.cluster(t, "other")
	ctx := t.Context()
	ok(l.SetVariable(ctx, "test", onServer("worker-8"), "pool", "blue", manage.Save{}))(t)
	_, err := l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "pool", Text: "machine:\n  sysctls:\n    vm.pool: ${pool}\n", Role: fleet.Worker}, -1, manage.Save{})
	refused(t, "seven of nine", err, fleet.Invalid, "cluster prod would break 7 of 9 servers: worker-1, worker-2, worker-3, worker-4, worker-5 and 2 more: cluster prod, patch \"pool\": line 3", "draft")
	breaks, yes := errors.AsType[*manage.Breaks](err)
	if !yes || len(breaks.Groups) != 1 || len(breaks.Groups[0].Servers) != 7 || breaks.Of != 9 {
		t.Fatalf("breaks %+v", breaks)
	}
	if layer, _, err := l.Layer(ctx, onCluster("prod")); err != nil || !layer.Empty() {
		t.Errorf("it was saved: %+v, %v", layer, err)
	}
	_, err = l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{KubernetesVersion: ptr("v1.20.0")})
	refused(t, "a version that Talos does not run", err, fleet.Invalid, "1.20.0", itself)
	ok(l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "trim", Text: "apiVersion: v1alpha1\nkind: TrimConfig\nname: all\nschedule: weekly\n"}, -1, manage.Save{Draft: true}))(t)
	_, err = l.SetLayer(ctx, "test", onCluster("prod"), fleet.Contents{Patches: []fleet.Patch{{Name: "host", Text: "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: \"off\"\nhostname: x\n"}}}, manage.Save{})
	must(t, err)
	_, err = l.UpdateCluster(ctx, "test", c.ID, manage.ClusterChange{TalosVersion: ptr("v1.11.0"), KubernetesVersion: ptr("v1.33.0")})
	refused(t, "a document that is too new for the version", err, fleet.Invalid, "this change of cluster prod would break all 9 servers", "")
	if strings.Contains(fleet.HintOf(err), "draft") {
		t.Errorf("hint %q: a cluster's record has no draft", fleet.HintOf(err))
	}
	_, err = l.AddPatch(ctx, "test", onCluster("other"), fleet.Patch{Name: "x", Text: "machine: {nonsense: 1}"}, -1, manage.Save{})
	refused(t, "a cluster without servers", err, fleet.Invalid, "cluster other", "draft")
}

func TestAServerThatIsBrokenAlreadyDoesNotKeepOthersFromBeingChanged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1", "worker-2")
	l.cluster(t, "prod", "worker-1", "worker-2")
	ctx := t.Context()
	l.set(t, onCluster("prod"), fleet.Patch{Name: "mac", Text: sysctl("vm.product", "${product}")})
	worker := ok(l.Store.Server(ctx, "worker-1"))(t)
	worker.Product = "" // its provider says nothing of it any more
	two := ok(l.Store.Server(ctx, "worker-2"))(t)
	ok(l.Store.SyncServers(ctx, worker.AccountID, []fleet.Server{worker, two}, nil, time.Now()))(t)
	if _, err := l.Renderer.MachineConfig(ctx, ok(l.Store.Server(ctx, "worker-1"))(t)); err == nil {
		t.Fatal("worker-1 is not broken")
	}
	ok(l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "other", Text: sysctl("vm.x", "1")}, -1, manage.Save{}))(t)
	_, err := l.UpdatePatch(ctx, "test", onCluster("prod"), "mac", func(p *fleet.Patch) { p.Text = sysctl("vm.product", "${nobody}") }, manage.Save{})
	refused(t, "the patch at fault becomes no better", err, fleet.Invalid, "would break all 2 servers", "")
	ok(l.UpdatePatch(ctx, "test", onCluster("prod"), "mac", func(p *fleet.Patch) { p.Text = sysctl("vm.product", "x") }, manage.Save{}))(t)
}

func TestADraftIsInEffectNowhereUntilItIsPublished(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx, ref := t.Context(), onCluster("prod")
	ok(l.AddPatch(ctx, "ada", ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")}, -1, manage.Save{}))(t)
	broken := fleet.Patch{Name: "b", Text: "machine: {nonsense: 1}\n"}
	layer := ok(l.AddPatch(ctx, "ada", ref, broken, -1, manage.Save{Draft: true}))(t)
	if layer.Draft == "" || layer.Draft == layer.Revision || strings.Contains(l.yaml(t, "worker-1"), "nonsense") {
		t.Fatalf("layer %+v", layer)
	}
	_, draft, err := l.Layer(ctx, ref)
	if err != nil || len(draft.Patches) != 2 {
		t.Errorf("the draft has %d patches, %v", len(draft.Patches), err)
	}
	_, err = l.Publish(ctx, "ada", ref, manage.Save{})
	refused(t, "it is broken", err, fleet.Invalid, "nonsense", "")
	ok(l.UpdatePatch(ctx, "bob", ref, "b", func(p *fleet.Patch) { p.Text = sysctl("vm.b", "1") }, manage.Save{Draft: true}))(t)
	if all := ok(l.Drafts(ctx))(t); len(all) != 1 || all[0].What != "cluster prod" || all[0].LayerRef != ref || all[0].Stale {
		t.Errorf("drafts %+v", all)
	}
	ok(l.AddPatch(ctx, "eve", ref, fleet.Patch{Name: "c", Text: sysctl("vm.c", "1")}, -1, manage.Save{}))(t)
	if all := ok(l.Drafts(ctx))(t); len(all) != 1 || !all[0].Stale {
		t.Errorf("drafts %+v", all)
	}
	_, err = l.Publish(ctx, "ada", ref, manage.Save{})
	refused(t, "eve's change would be lost", err, fleet.Conflict, "changed since its draft", "or discard it")
	_, err = l.SwitchPatch(ctx, "bob", ref, "a", false, manage.Save{Draft: true})
	refused(t, "nor does bob take it back by the way", err, fleet.Conflict, "changed since its draft", "difference between draft and current")
	current, _, _ := l.Layer(ctx, ref)
	ok(l.AddPatch(ctx, "bob", ref, fleet.Patch{Name: "c", Text: sysctl("vm.c", "1")}, -1, manage.Save{Draft: true, Base: current.Revision}))(t)
	published := ok(l.Publish(ctx, "ada", ref, manage.Save{Why: "tested"}))(t)
	if published.Draft != "" || len(published.Patches) != 3 || !strings.Contains(l.yaml(t, "worker-1"), "vm.b") {
		t.Errorf("published %+v", published)
	}
	if got := l.said(t, "cluster.patches.publish"); !strings.HasPrefix(got, "ada: cluster prod, draft published, revision ") || !strings.HasSuffix(got, "(tested)") {
		t.Error(got)
	}
	_, err = l.Publish(ctx, "ada", ref, manage.Save{})
	refused(t, "there is none any more", err, fleet.NotFound, "no draft", itself)
	ok(l.RemovePatch(ctx, "ada", ref, "a", manage.Save{Draft: true}))(t)
	if layer = ok(l.Discard(ctx, "ada", ref, manage.Save{}))(t); layer.Draft != "" || len(layer.Patches) != 3 {
		t.Errorf("discarded %+v", layer)
	}
	var verbs []string
	for _, r := range ok(l.Revisions(ctx, ref))(t) {
		verbs = append(verbs, r.Actor+" "+r.Verb)
	}
	if diff := cmp.Diff([]string{"ada discard", "ada draft", "ada publish", "bob draft", "eve save", "bob draft", "ada draft", "ada save"}, verbs); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestANewConfigMayBeADraft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, "prod")
	ctx := t.Context()
	c := ok(l.SaveConfigAs(ctx, "ada", fleet.Config{Name: "base", Contents: all("machine: {nonsense: 1}")}, manage.Save{Draft: true}))(t)
	if c.Draft == "" || c.Revision != "" || !c.Empty() {
		t.Errorf("config %+v", c)
	}
	c = ok(l.Store.Config(ctx, "base"))(t)
	if c.Draft == "" || !c.Empty() || c.UpdatedAt.IsZero() {
		t.Errorf("config %+v", c)
	}
	ok(l.UpdatePatch(ctx, "ada", onConfig("base"), "all", func(p *fleet.Patch) { p.Text = sysctl("vm.a", "1") }, manage.Save{Draft: true}))(t)
	ok(l.Publish(ctx, "ada", onConfig("base"), manage.Save{}))(t)
	if c = ok(l.Store.Config(ctx, "base"))(t); c.Text("all") == "" || c.Draft != "" {
		t.Errorf("config %+v", c)
	}
}

func TestAnAssignmentMayBeADraft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	c := l.cluster(t, "prod")
	ctx := t.Context()
	patch := "machine: {nonsense: 1}\n"
	_, err := l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Cluster: &c.Name, Patch: &patch})
	refused(t, "it would not render", err, fleet.Invalid, "server worker-1: ", "draft")
	s := ok(l.Assign(ctx, "ada", "worker-1", manage.AssignmentChange{Cluster: &c.Name, Patch: &patch, Draft: true}))(t)
	if !s.Assignment.Draft || s.Assignment.ClusterID != c.ID {
		t.Errorf("assignment %+v", s.Assignment)
	}
	if got := l.said(t, "server.assign"); !strings.HasPrefix(got, "ada: draft: worker-1 is to be a worker") {
		t.Error(got)
	}
	// It keeps nobody from changing the cluster's patches.
	ok(l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")}, -1, manage.Save{}))(t)
	s = ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: ptr("")}))(t)
	if s.Assignment.Draft {
		t.Error("an assignment that works is a draft still")
	}
	// Who leaves takes no patches along.
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Patch: ptr(sysctl("vm.b", "1"))}))(t)
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Cluster: ptr("")}))(t)
	if layer, _, err := l.Layer(ctx, onServer("worker-1")); err != nil || !layer.Empty() {
		t.Errorf("its layer is %+v, %v", layer, err)
	}
}

func TestWhoSavesOnAnOldRevisionIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, "prod")
	ctx, ref := t.Context(), onCluster("prod")
	first := l.set(t, ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")})
	second := l.set(t, ref, fleet.Patch{Name: "a", Text: sysctl("vm.a", "2")})
	_, err := l.RemovePatch(ctx, "test", ref, "a", manage.Save{Base: first.Revision})
	refused(t, "on the first", err, fleet.Conflict, "meanwhile", "save again")
	ok(l.SwitchPatch(ctx, "test", ref, "a", false, manage.Save{Base: second.Revision}))(t)
	third, _, _ := l.Layer(ctx, ref)
	ok(l.RemovePatch(ctx, "test", ref, "a", manage.Save{Base: third.Revision[:12]}))(t) // as it is shown
}

func TestTwoSavesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	// A second program on the same database: its changes are seen by no lock of the first.
	other := &manage.Manager{Store: l.Store, Drivers: l, Factory: l.Factory, Renderer: manage.NewRenderer(l.Store, l.Factory, 1<<20), Log: l.Log, Now: l.Now}
	var wait sync.WaitGroup
	for i, m := range []*manage.Manager{l.Manager, other, l.Manager, other, l.Manager, other} {
		wait.Go(func() {
			name := string(rune('a' + i))
			ref := []manage.LayerRef{onCluster("prod"), onServer("worker-1")}[i%2]
			if _, err := m.AddPatch(t.Context(), "test", ref, fleet.Patch{Name: name, Text: sysctl("vm."+name, "1")}, -1, manage.Save{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	text := l.yaml(t, "worker-1")
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if !strings.Contains(text, "vm."+name) {
			t.Errorf("the patch %s is lost", name)
		}
	}
}

// Two changes, each of which works alone, and which together would break a server: one of them is refused.
func TestTwoChangesThatDoNotGoTogetherAreNotBothSaved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	ok(l.SetVariable(ctx, "test", onCluster("prod"), "pool", "blue", manage.Save{}))(t)
	other := &manage.Manager{Store: l.Store, Drivers: l, Factory: l.Factory, Renderer: manage.NewRenderer(l.Store, l.Factory, 1<<20), Log: l.Log, Now: l.Now}
	refused := 0
	_, err := other.EditLayer(ctx, "test", onServer("worker-1"), manage.Save{}, func(c *fleet.Contents) error {
		// Between the check of this change and its writing, the variable goes.
		if refused++; refused == 1 {
			if _, err := l.UnsetVariable(ctx, "test", onCluster("prod"), "pool", manage.Save{}); err != nil {
				return err
			}
		}
		c.Patches = []fleet.Patch{{Name: "pool", Text: sysctl("vm.pool", "${pool}")}}
		return nil
	})
	if fleet.KindOf(err) != fleet.Invalid || refused != 2 {
		t.Errorf("after %d checks: %v", refused, err)
	}
}

func TestNothingIsWrittenWhenTheDatabaseFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	before := l.yaml(t, "worker-1")
	events := len(ok(l.Store.Events(ctx, store.EventFilter{}))(t))
	if _, err := l.Store.SQLite().ExecContext(ctx, `CREATE TRIGGER broken BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk on fire'); END`); err != nil {
		t.Fatal(err)
	}
	for name, save := range map[string]func() error{
		"a layer": func() error {
			_, err := l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")}, -1, manage.Save{})
			return err
		},
		"a config": func() error {
			_, err := l.SaveConfig(ctx, "test", fleet.Config{Name: "base"})
			return err
		},
		"an assignment": func() error {
			_, err := l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Hostname: ptr("other"), Patch: ptr(sysctl("vm.b", "1"))})
			return err
		},
		"a cluster": func() error {
			_, err := l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{PrivateNetwork: ptr("10.0.0.0/8")})
			return err
		},
	} {
		if err := save(); err == nil || !strings.Contains(err.Error(), "disk on fire") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Store.SQLite().ExecContext(ctx, `DROP TRIGGER broken`); err != nil {
		t.Fatal(err)
	}
	if l.yaml(t, "worker-1") != before || len(ok(l.Store.Configs(ctx))(t)) != 0 || len(ok(l.Revisions(ctx, onCluster("prod")))(t)) != 0 || len(ok(l.Store.Events(ctx, store.EventFilter{}))(t)) != events {
		t.Error("something was written")
	}
}

func TestTheVersionsOfAClusterChangeOnlyBeforeItRuns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	c := l.cluster(t, "prod", "control-plane-1", "worker-1")
	ctx := t.Context()
	change := manage.ClusterChange{TalosVersion: ptr("v1.13.0"), KubernetesVersion: ptr("v1.36.0"), Why: "as the others"}
	got := ok(l.UpdateCluster(ctx, "ada", "prod", change))(t)
	if got.TalosVersion != "v1.13.0" || ok(l.Store.Cluster(ctx, "prod"))(t).KubernetesVersion != "v1.36.0" || !strings.Contains(l.yaml(t, "worker-1"), "kubelet:v1.36.0") {
		t.Errorf("cluster %+v", got)
	}
	if said := l.said(t, "cluster.update"); said != "ada: prod: Talos "+c.TalosVersion+" -> v1.13.0, Kubernetes "+c.KubernetesVersion+" -> v1.36.0 (as the others)" {
		t.Error(said)
	}
	older := manage.ClusterChange{KubernetesVersion: ptr("v1.35.0")}
	l.becomes(t, "worker-1", fleet.Installing)
	_, err := l.UpdateCluster(ctx, "test", "prod", older)
	refused(t, "a server is being installed", err, fleet.Refused, "server worker-1 is installing", "upgrade")
	l.becomes(t, "worker-1", fleet.Known)
	plane := ok(l.Store.Server(ctx, "control-plane-1"))(t)
	ok(l.Store.ClaimBootstrap(ctx, c.ID, plane.ID))(t)
	_, err = l.UpdateCluster(ctx, "test", "prod", older)
	refused(t, "it is about to run", err, fleet.Refused, "is chosen", "upgrade")
	must(t, l.Store.MarkBootstrapped(ctx, c.ID, time.Now()))
	_, err = l.UpdateCluster(ctx, "test", "prod", older)
	refused(t, "it runs", err, fleet.Refused, "it runs already", "upgrade")
	ok(l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{PrivateNetwork: ptr("10.0.0.0/16"), PrivateMTU: ptr(1400)}))(t)
	for _, tc := range []struct {
		why    string
		change manage.ClusterChange
		text   string
	}{
		{"no network", manage.ClusterChange{PrivateNetwork: ptr("10.0.0.1/16")}, "private network"},
		{"no MTU", manage.ClusterChange{PrivateMTU: ptr(1)}, "MTU 1"},
	} {
		_, err := l.UpdateCluster(ctx, "test", "prod", tc.change)
		refused(t, tc.why, err, fleet.Invalid, tc.text, "")
	}
	_, err = l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{PrivateIP: ptr("192.168.0.1")})
	refused(t, "an address of another network", err, fleet.Invalid, "not in the private network 10.0.0.0/16", "address of the network")
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{PrivateIP: ptr("10.0.0.7")}))(t)
	_, err = l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{PrivateNetwork: ptr("192.168.0.0/24")})
	refused(t, "its servers are not in that network", err, fleet.Invalid, "worker-1", "")
}

// A cluster whose default config asks for what no made up server has does not keep anybody from changing its patches.
func TestAMistakeElsewhereIsNotThisChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ctx := t.Context()
	ok(l.SetVariable(ctx, "test", onServer("worker-1"), "pool", "blue", manage.Save{}))(t)
	config := ok(l.SaveConfig(ctx, "test", fleet.Config{Name: "base", Contents: all(sysctl("vm.pool", "${pool}"))}))(t)
	ok(l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{Config: &config.Name}))(t)
	ok(l.Assign(ctx, "test", "worker-1", manage.AssignmentChange{Cluster: ptr("")}))(t) // the variable is nowhere now
	ok(l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "a", Text: sysctl("vm.a", "1")}, -1, manage.Save{}))(t)
	_, err := l.AddPatch(ctx, "test", onCluster("prod"), fleet.Patch{Name: "b", Text: "machine: {nonsense: 1}"}, -1, manage.Save{})
	refused(t, "its own mistakes count", err, fleet.Invalid, "nonsense", "draft")
	_, err = l.SetLayer(ctx, "test", onRole("prod", fleet.Worker), fleet.Contents{Patches: []fleet.Patch{{Name: "b", Text: "machine: {nonsense: 1}"}}}, manage.Save{})
	refused(t, "a role's too", err, fleet.Invalid, "nonsense", "draft")
}
