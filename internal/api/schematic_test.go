package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/client"
)

func TestSchematicsAreKept(t *testing.T) {
	l := open(t)
	_, err := l.CreateSchematic(t.Context(), client.NewSchematic{Name: "storage", YAML: "customisation: {}"})
	l.want(err, client.Invalid, 422, "customisation", "customization")
	s, err := l.CreateSchematic(t.Context(), client.NewSchematic{Name: "storage", YAML: "customization: {systemExtensions: {officialExtensions: [siderolabs/iscsi-tools]}}"})
	l.must(err)
	if len(s.FactoryID) != 64 || !slices.Equal(s.Parts.Extensions, []string{"siderolabs/iscsi-tools"}) {
		t.Errorf("schematic %+v", s)
	}
	if got, err := l.Schematic(t.Context(), s.ID); err != nil || cmp.Diff(s, got) != "" {
		t.Errorf("read back: %+v %v", got, err)
	}
	l.must(l.DeleteSchematic(t.Context(), "storage"))
	if all, err := l.Schematics(t.Context()); err != nil || len(all.Items) != 0 {
		t.Errorf("schematics %+v %v", all, err)
	}
}

func TestSchematicsAreEditedByParts(t *testing.T) {
	l := open(t)
	parts := client.SchematicParts{
		Extensions: []string{"siderolabs/gvisor"}, KernelArgs: []string{"quiet", "-console"}, Meta: []client.MetaValue{{Key: 12, Value: "x"}},
		Overlay:    &client.Overlay{Name: "rpi_generic", Image: "siderolabs/sbc-raspberrypi", Options: map[string]any{"memory": 1024.0, "half": 0.5, "list": []any{2.0, "a"}}},
		Bootloader: "grub", SecureBoot: &client.SecureBoot{EnrollKeys: "force"}, SectorSize: 4096, MachineConfig: "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n",
	}
	s, err := l.CreateSchematic(t.Context(), client.NewSchematic{Name: "board", Parts: &parts})
	l.must(err)
	if diff := cmp.Diff(&parts, s.Parts); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(s.YAML, "memory: 1024\n") || !strings.Contains(s.YAML, "half: 0.5\n") {
		t.Errorf("numbers are written otherwise: %s", s.YAML)
	}
	again, err := l.CreateSchematic(t.Context(), client.NewSchematic{Name: "same", YAML: "# by hand\n" + s.YAML})
	l.must(err)
	if again.FactoryID != s.FactoryID || !slices.Equal(again.SameAs, []string{"board"}) {
		t.Errorf("the same contents: %+v", again)
	}
	s.Parts.Extensions = append(s.Parts.Extensions, "drbd")
	changed, err := l.UpdateSchematic(t.Context(), "board", client.SchematicUpdate{Name: "boards", Parts: s.Parts, FactoryID: s.FactoryID})
	l.must(err)
	if changed.Name != "boards" || changed.SameAs != nil || !slices.Equal(changed.Parts.Extensions, []string{"siderolabs/gvisor", "siderolabs/drbd"}) {
		t.Errorf("changed: %+v", changed)
	}
	_, err = l.UpdateSchematic(t.Context(), "boards", client.SchematicUpdate{Parts: s.Parts, FactoryID: s.FactoryID})
	l.want(err, client.Conflict, 409, "changed meanwhile", "schematic show boards")
	empty := ""
	changed, err = l.UpdateSchematic(t.Context(), "boards", client.SchematicUpdate{YAML: &empty})
	if err != nil || cmp.Diff(&client.SchematicParts{}, changed.Parts) != "" {
		t.Errorf("emptied: %+v, %v", changed, err)
	}
	_, err = l.CreateSchematic(t.Context(), client.NewSchematic{Name: "x", Parts: &client.SchematicParts{KernelArgs: []string{"a.token=hunter2"}}})
	l.want(err, client.Refused, 412, "extraKernelArgs[0], a.token,", "machine config")
	_, err = l.CreateSchematic(t.Context(), client.NewSchematic{Name: "x", Parts: &client.SchematicParts{Bootloader: "lilo"}})
	l.want(err, client.Invalid, 422, "bootloader", "")
}

func TestWhatTheFactoryHasIsAsked(t *testing.T) {
	l := open(t)
	found, err := l.Extensions(t.Context(), client.FactoryFilter{Search: "GVISOR"})
	if err != nil || found.TalosVersion != "v1.14.1" || len(found.Items) != 2 || found.Items[0].Name != "siderolabs/gvisor" || found.Items[0].Description == "" {
		t.Errorf("found %+v, %v", found, err)
	}
	found, err = l.Extensions(t.Context(), client.FactoryFilter{TalosVersion: "1.8.4"})
	if err != nil || found.TalosVersion != "v1.8.4" || len(found.Items) < 40 {
		t.Errorf("%d of %s, %v", len(found.Items), found.TalosVersion, err)
	}
	_, err = l.Extensions(t.Context(), client.FactoryFilter{TalosVersion: "newest"})
	l.want(err, client.Invalid, 422, `"newest" is not a Talos version`, "v1.14.1")
	boards, err := l.Overlays(t.Context(), client.FactoryFilter{Search: "rpi"})
	if err != nil || len(boards.Items) == 0 || boards.Items[0].Image != "siderolabs/sbc-raspberrypi" {
		t.Errorf("boards %+v, %v", boards, err)
	}

	_, err = l.CreateSchematic(t.Context(), client.NewSchematic{Name: "storage", Parts: &client.SchematicParts{Extensions: []string{"gvisr"}}})
	l.want(err, client.Invalid, 422, "no extension siderolabs/gvisr", "siderolabs/gvisor")
	_, err = l.CreateSchematic(t.Context(), client.NewSchematic{Name: "storage", Parts: &client.SchematicParts{Extensions: []string{"drbd", "i915-ucode"}}})
	l.must(err)
	reports, err := l.CheckSchematic(t.Context(), "storage", "v1.15.0-alpha.0")
	want := []client.SchematicReport{{
		TalosVersion: "v1.15.0-alpha.0", Missing: []client.MissingPart{{Kind: "extension", Name: "siderolabs/drbd"}},
		Renamed: []client.RenamedExtension{{From: "siderolabs/i915-ucode", To: "siderolabs/i915"}},
	}}
	if err != nil || cmp.Diff(want, reports.Items) != "" {
		t.Errorf("reports %+v, %v", reports, err)
	}
	reports, err = l.CheckSchematic(t.Context(), "storage", "")
	if err != nil || len(reports.Items) != 1 || reports.Items[0].Missing != nil {
		t.Errorf("of the newest: %+v, %v", reports, err)
	}
}
