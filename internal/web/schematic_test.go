package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func (l *lab) parts(t *testing.T, name string) fleet.Customization {
	t.Helper()
	v, err := l.store.Schematic(t.Context(), name)
	must(t, err)
	c, err := l.app.Manager.Customization(v)
	must(t, err)
	return c
}

// extensionsShown are those of the list that can be seen, and of them those that are ticked.
func extensionsShown(p *page) (shown, ticked []string) {
	for _, n := range p.all(func(n *html.Node) bool { return attr(n, "name") == "extension" }) {
		li := n
		for li.Data != "li" {
			li = li.Parent
		}
		if hasAttr(li, "hidden") {
			continue
		}
		shown = append(shown, attr(n, "value"))
		if hasAttr(n, "checked") {
			ticked = append(ticked, attr(n, "value"))
		}
	}
	return shown, ticked
}

func TestExtensionsAreFilteredAndPickedWithoutJavaScript(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.get(t, "/schematics", http.StatusOK).has(t, "No schematics yet", "Create a schematic")
	p := l.get(t, "/schematics/new", http.StatusOK)
	all, _ := extensionsShown(p)
	if len(all) < 20 {
		t.Fatalf("the factory's list has %v", all)
	}
	fill := url.Values{"name": {"storage"}, "extension": {"siderolabs/zfs"}, "search": {"NVIDIA"}, "kernelArgs": {"quiet\r\n-console\r\n"}, "do": {"filter"}}
	p = l.submit(t, p, "/schematics", fill, http.StatusOK)
	shown, ticked := extensionsShown(p)
	if !slices.Equal(ticked, []string{"siderolabs/zfs"}) || len(shown) < 2 || len(shown) > 30 || !strings.Contains(strings.Join(shown[1:], " "), "nvidia") {
		t.Errorf("after a search %v are shown, %v ticked", shown, ticked)
	}
	fill.Set("do", "save")
	fill["extension"] = []string{"siderolabs/zfs", "siderolabs/iscsi-tools"}
	p = l.submit(t, p, "/schematics", fill, http.StatusOK)
	p.has(t, "Created schematic storage", "siderolabs/iscsi-tools", "-console", "Has all", "metal-installer/", "Nobody yet")
	if c := l.parts(t, "storage"); !slices.Equal(c.Extensions, []string{"siderolabs/iscsi-tools", "siderolabs/zfs"}) || !slices.Equal(c.KernelArgs, []string{"quiet", "-console"}) {
		t.Errorf("it is %+v", c)
	}
	l.get(t, p.path+"?version=v1.6.0", http.StatusOK).has(t, "Talos v1.6.0")
	fill.Set("kernelArgs", "talos.config=https://user:secret-4711@example.com/")
	fill.Set("name", "secret")
	p = l.submit(t, l.get(t, "/schematics/new", http.StatusOK), "/schematics", fill, http.StatusPreconditionFailed)
	if p.has(t, "whoever knows the schematic's id can read it"); l.isSchematic(t, "secret") {
		t.Error("a schematic with a secret is kept")
	}
}

func (l *lab) isSchematic(t *testing.T, name string) bool {
	t.Helper()
	_, err := l.store.Schematic(t.Context(), name)
	return err == nil
}

func TestASchematicIsChangedAndWhatTheFormDoesNotShowStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const yaml = "customization:\n  meta: [{key: 12, value: x}]\n  systemExtensions: {officialExtensions: [siderolabs/gvisor]}\n"
	v, err := l.app.Manager.CreateSchematic(t.Context(), "admin", manage.SchematicEdit{Name: "storage", YAML: ptr(yaml)})
	must(t, err)
	at := "/schematics/" + v.ID
	first := l.get(t, at+"/edit", http.StatusOK)
	p := l.submit(t, first, at, url.Values{"extension": {"siderolabs/zfs"}, "bootloader": {"grub"}, "do": {"save"}}, http.StatusOK)
	p.has(t, "Changed schematic storage", "siderolabs/zfs", "META key 12", "grub")
	c := l.parts(t, "storage")
	if !slices.Equal(c.Extensions, []string{"siderolabs/zfs"}) || len(c.Meta) != 1 || c.Bootloader != "grub" {
		t.Errorf("it is %+v", c)
	}
	// Somebody else has changed it since the page was made.
	l.submit(t, first, at, url.Values{"extension": {"siderolabs/drbd"}, "do": {"save"}}, http.StatusConflict).has(t, "was changed meanwhile")
	p = l.submit(t, l.get(t, at+"/edit?as=yaml", http.StatusOK), at, url.Values{"yaml": {"customization: {extraKernelArgs: [quiet]}"}, "do": {"save"}}, http.StatusOK)
	p.has(t, "quiet")
	p.hasNot(t, "siderolabs/zfs")
	p = l.submit(t, l.get(t, at+"/edit?as=yaml", http.StatusOK), at, url.Values{"yaml": {"customisation: {}"}, "do": {"save"}}, http.StatusUnprocessableEntity)
	p.has(t, "there is no field customisation", "customization")
	if typed := fieldsOf(p.form(t, at)).Get("yaml"); typed != "customisation: {}" {
		t.Errorf("what was typed is %q now", typed)
	}
}

func TestASchematicInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.withNodes(t, "control-plane-1", "worker-1")
	v, err := l.app.Manager.CreateSchematic(t.Context(), "admin", manage.SchematicEdit{Name: "storage", Parts: &fleet.Customization{Extensions: []string{"zfs"}}})
	must(t, err)
	_, err = l.app.Manager.UpdateCluster(t.Context(), "admin", c.ID, manage.ClusterChange{Schematic: &v.ID})
	must(t, err)
	p := l.get(t, "/schematics/"+v.ID, http.StatusOK)
	p.has(t, "prod", "worker-1", "given to its cluster", "It is used by prod, 2 servers")
	if p.hasForm("/schematics/" + v.ID + "/delete") {
		t.Error("what is in use can be deleted")
	}
	l.get(t, "/schematics", http.StatusOK).has(t, "prod, 2 servers")
	_, err = l.app.Manager.UpdateCluster(t.Context(), "admin", c.ID, manage.ClusterChange{Schematic: ptr("")})
	must(t, err)
	p = l.get(t, "/schematics/"+v.ID, http.StatusOK)
	l.submit(t, p, "/schematics/"+v.ID+"/delete", one("confirm", "storag"), http.StatusUnprocessableEntity).has(t, "name was not typed")
	l.submit(t, p, "/schematics/"+v.ID+"/delete", one("confirm", "storage"), http.StatusOK).has(t, "Deleted schematic storage")
	if l.isSchematic(t, "storage") {
		t.Error("it is still there")
	}
}
