package manage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
)

func extensions(names ...string) *fleet.Customization { return &fleet.Customization{Extensions: names} }

func TestASchematicIsMadeOfParts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "gpu", Parts: &fleet.Customization{
		Extensions: []string{"gvisor", "siderolabs/zfs"}, KernelArgs: []string{"quiet", "-console"},
		Meta: []fleet.MetaValue{{Key: 12, Value: "x"}}, Overlay: fleet.Overlay{Name: "rpi_generic"},
	}}))(t)
	want := fleet.Customization{
		Extensions: []string{"siderolabs/gvisor", "siderolabs/zfs"}, KernelArgs: []string{"quiet", "-console"},
		Meta: []fleet.MetaValue{{Key: 12, Value: "x"}}, Overlay: fleet.Overlay{Name: "rpi_generic", Image: "siderolabs/sbc-raspberrypi"},
	}
	if diff := cmp.Diff(want, ok(imagefactory.Read(s.YAML))(t)); diff != "" {
		t.Error(diff)
	}
	both := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "both", YAML: ptr("customization: {extraKernelArgs: [quiet]}\n"), Parts: extensions("gvisor")}))(t)
	if got := ok(imagefactory.Read(both.YAML))(t); !slices.Equal(got.KernelArgs, []string{"quiet"}) || !slices.Equal(got.Extensions, []string{"siderolabs/gvisor"}) {
		t.Errorf("parts are added to %+v", got)
	}
	written := "# kept as it is\ncustomization: {extraKernelArgs: [quiet]}\n"
	if s := ok(l.AddSchematic(t.Context(), "test", fleet.Schematic{Name: "written", YAML: written}))(t); s.YAML != written {
		t.Errorf("got %q", s.YAML)
	}
	if said := l.said(t, "schematic.create"); said != "test: created written" {
		t.Error(said)
	}
}

func TestOnlyWhatTheFactoryHasIsTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, c := range []struct {
		why  string
		edit manage.SchematicEdit
		kind fleet.Kind
		text string
		hint string
	}{
		{"misspelt", manage.SchematicEdit{Parts: extensions("gvisr")}, fleet.Invalid, "has for Talos v1.14.1 no extension siderolabs/gvisr", "siderolabs/gvisor"},
		{"misspelt in YAML", manage.SchematicEdit{YAML: ptr("customization: {systemExtensions: {officialExtensions: [siderolabs/zsf]}}")}, fleet.Invalid, "no extension siderolabs/zsf", "siderolabs/zfs"},
		{"like nothing else", manage.SchematicEdit{Parts: extensions("quantum")}, fleet.Invalid, "no extension siderolabs/quantum", "schematic extensions --talos-version v1.14.1"},
		{"not in that version", manage.SchematicEdit{Parts: extensions("drbd"), TalosVersion: "v1.15.0-alpha.0"}, fleet.Invalid, "has for Talos v1.15.0-alpha.0 no extension siderolabs/drbd", "schematic extensions"},
		{"no such version", manage.SchematicEdit{Parts: extensions("drbd"), TalosVersion: "v1.14.77"}, fleet.NotFound, "v1.14.77", "Talos version"},
		{"no such board", manage.SchematicEdit{Parts: &fleet.Customization{Overlay: fleet.Overlay{Name: "rpi-generic"}}}, fleet.Invalid, "no overlay rpi-generic", "rpi_generic"},
		{"a secret", manage.SchematicEdit{Parts: &fleet.Customization{KernelArgs: []string{"siderolink.api=https://x?jointoken=hunter2"}}}, fleet.Refused, "a join token of SideroLink", "SideroLinkConfig"},
		{"a secret in YAML, with parts that have none", manage.SchematicEdit{YAML: ptr("customization: {extraKernelArgs: [a.password=hunter2]}"), Parts: extensions("gvisor")}, fleet.Refused, "a.password", "machine config"},
		{"an empty name of an extension", manage.SchematicEdit{Parts: extensions("")}, fleet.Invalid, `"" is not the name of an extension`, "siderolabs/gvisor"},
		{"a boot loader of old", manage.SchematicEdit{Parts: &fleet.Customization{Bootloader: "lilo"}}, fleet.Invalid, "lilo", "dual-boot"},
	} {
		c.edit.Name = "x"
		_, err := l.CreateSchematic(t.Context(), "test", c.edit)
		refused(t, c.why, err, c.kind, c.text, c.hint)
		c.edit.Unchecked = true
		if _, err := l.CreateSchematic(t.Context(), "test", c.edit); (err == nil) != strings.Contains(c.text, "no extension") && c.kind == fleet.Invalid && c.why != "no such board" {
			t.Errorf("%s, unchecked: %v", c.why, err)
		}
		if err := l.DeleteSchematic(t.Context(), "test", "x"); err != nil && fleet.KindOf(err) != fleet.NotFound {
			t.Fatal(err)
		}
	}
	l.sim.Factory.Fault(func(f *factory.Faults) { f.Outage = -1 })
	ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "args", Parts: &fleet.Customization{KernelArgs: []string{"quiet"}}}))(t)
	_, err := l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "x", Parts: extensions("gvisor"), TalosVersion: "v1.13.0"})
	refused(t, "the factory is down", err, fleet.Unavailable, "v1.13.0", "try again later")
	ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "x", Parts: extensions("gvisor"), TalosVersion: "v1.13.0", Unchecked: true}))(t)
}

func TestASchematicIsChanged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "gpu", Parts: extensions("gvisor")}))(t)
	ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "other", Parts: extensions("zfs")}))(t)
	first := ok(l.Factory.SchematicID(s.YAML))(t)
	s = ok(l.UpdateSchematic(t.Context(), "test", "gpu", manage.SchematicEdit{Name: "sandbox", Parts: extensions("gvisor", "drbd"), Based: first}))(t)
	if said := l.said(t, "schematic.update"); !strings.HasPrefix(said, "test: renamed gpu to sandbox: "+first[:12]+" -> ") {
		t.Error(said)
	}
	_, err := l.UpdateSchematic(t.Context(), "test", "sandbox", manage.SchematicEdit{Parts: extensions("gvisor"), Based: first})
	refused(t, "somebody was faster", err, fleet.Conflict, "was changed meanwhile", "schematic show sandbox")
	_, err = l.UpdateSchematic(t.Context(), "test", "sandbox", manage.SchematicEdit{Name: "other"})
	refused(t, "a name that is taken", err, fleet.Conflict, "other", itself)
	_, err = l.UpdateSchematic(t.Context(), "test", "none", manage.SchematicEdit{Name: "x"})
	refused(t, "no such schematic", err, fleet.NotFound, "none", itself)

	l.rent(t, "worker-1")
	c := ok(l.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.9:6443", TalosVersion: "v1.13.9", KubernetesVersion: "1.35.0", Schematic: "sandbox", Secrets: ok(secrets())(t)}))(t)
	_, err = l.UpdateSchematic(t.Context(), "test", "sandbox", manage.SchematicEdit{Parts: extensions("hyperv-guest-agent")})
	refused(t, "what the version of a cluster that uses it lacks", err, fleet.Invalid, "for Talos v1.13.9 no extension siderolabs/hyperv-guest-agent", itself)
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: &c.Name}))(t)
	server := ok(l.Store.Server(t.Context(), "worker-1"))(t)
	o := fleet.Operation{ID: fleet.NewID(), Kind: manage.InstallKind, ServerID: server.ID, ClusterID: c.ID, Actor: "test", State: fleet.Pending, CreatedAt: l.Now()}
	must(t, l.Store.CreateOperation(t.Context(), o, nil))
	_, err = l.UpdateSchematic(t.Context(), "test", "sandbox", manage.SchematicEdit{Parts: extensions("zfs")})
	refused(t, "while a server is installed with it", err, fleet.Conflict, "a server of cluster prod is being installed with it", "operation cancel "+o.ID)
	ok(l.UpdateSchematic(t.Context(), "test", "sandbox", manage.SchematicEdit{Name: "sandboxes"}))(t)
}

func TestWhatAVersionLacksIsSaid(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "storage", Parts: extensions("drbd", "siderolabs/i915-ucode")}))(t)
	renamed := []fleet.Renamed{{From: "siderolabs/i915-ucode", To: "siderolabs/i915"}}
	missing := []fleet.Missing{{Kind: "extension", Name: "siderolabs/drbd"}}
	for _, c := range []struct {
		why, version string
		want         []fleet.SchematicReport
	}{
		{"of the newest", "", []fleet.SchematicReport{{TalosVersion: "v1.14.1", Renamed: renamed}}},
		{"of the one that is asked for", "v1.15.0-alpha.0", []fleet.SchematicReport{{TalosVersion: "v1.15.0-alpha.0", Missing: missing, Renamed: renamed}}},
	} {
		if diff := cmp.Diff(c.want, ok(l.CheckSchematic(t.Context(), "storage", c.version))(t)); diff != "" {
			t.Errorf("%s: %s", c.why, diff)
		}
	}
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Schematic: ptr("storage")}))(t)
	got := ok(l.CheckSchematic(t.Context(), s.ID, ""))(t)
	if len(got) != 1 || !slices.Equal(got[0].UsedBy, []string{"server worker-1"}) {
		t.Errorf("used by %+v", got)
	}
	_, err := l.CheckSchematic(t.Context(), "storage", "v1.14.77")
	refused(t, "a version that is not built", err, fleet.NotFound, "v1.14.77", itself)
}

func TestAClusterGetsNoVersionThatItsSchematicLacks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "hyperv", Parts: extensions("hyperv-guest-agent")}))(t)
	ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "board", Parts: &fleet.Customization{Overlay: fleet.Overlay{Name: "rpi_generic"}}}))(t)
	n := manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.9:6443", TalosVersion: "v1.13.9", KubernetesVersion: "1.35.0", Schematic: "hyperv", Secrets: ok(secrets())(t)}
	_, err := l.CreateCluster(t.Context(), "test", n)
	refused(t, "when it is made", err, fleet.Invalid, "cluster prod with schematic hyperv: the image factory has for Talos v1.13.9 no extension siderolabs/hyperv-guest-agent", itself)
	n.TalosVersion = "v1.14.1"
	ok(l.CreateCluster(t.Context(), "test", n))(t)
	_, err = l.UpdateCluster(t.Context(), "test", "prod", manage.ClusterChange{TalosVersion: ptr("v1.13.9")})
	refused(t, "when its version is changed", err, fleet.Invalid, "for Talos v1.13.9 no extension siderolabs/hyperv-guest-agent", itself)
	ok(l.UpdateCluster(t.Context(), "test", "prod", manage.ClusterChange{TalosVersion: ptr("v1.13.9"), Schematic: ptr("")}))(t)
	_, err = l.UpdateCluster(t.Context(), "test", "prod", manage.ClusterChange{Schematic: ptr("hyperv")})
	refused(t, "when its schematic is changed", err, fleet.Invalid, "cluster prod with schematic hyperv", itself)

	l.rent(t, "worker-1")
	_, err = l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Schematic: ptr("hyperv")})
	refused(t, "when a server has one of its own", err, fleet.Invalid, "server worker-1 with schematic hyperv", itself)
	_, err = l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Schematic: ptr("board")})
	refused(t, "a board of another architecture", err, fleet.Invalid, "its overlay rpi_generic is for boards with arm64, and this is amd64", "without an overlay")
	l.sim.Factory.Fault(func(f *factory.Faults) { f.Outage = -1 })
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: ptr("prod")}))(t)
}

func TestTheSameContentsAreRecognised(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := ok(l.AddSchematic(t.Context(), "test", fleet.Schematic{Name: "a", YAML: "# by hand\ncustomization: {extraKernelArgs: [quiet]}\n"}))(t)
	b := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "b", Parts: &fleet.Customization{KernelArgs: []string{"quiet"}}}))(t)
	c := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "c", Parts: &fleet.Customization{KernelArgs: []string{"loud"}}}))(t)
	twins := ok(l.SchematicTwins(t.Context()))(t)
	if !slices.Equal(twins[a.ID], []string{"b"}) || !slices.Equal(twins[b.ID], []string{"a"}) || twins[c.ID] != nil {
		t.Error(twins)
	}
}
