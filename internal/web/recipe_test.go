package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
)

// node is a cluster prod with servers in it.
func (l *lab) withNodes(t *testing.T, names ...string) fleet.Cluster {
	t.Helper()
	l.accounts(t)
	l.rent(t, names...)
	c := l.prod(t)
	for _, name := range names {
		l.assign(t, name, c)
	}
	return c
}

func (l *lab) layerOf(t *testing.T, ref manage.LayerRef) fleet.Layer {
	t.Helper()
	layer, _, err := l.app.Manager.Layer(t.Context(), ref)
	must(t, err)
	return layer
}

func TestARecipeIsLookedAtBeforeItIsApplied(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.withNodes(t, "control-plane-1", "worker-1")
	workers := manage.LayerRef{Scope: fleet.ScopeRole, Owner: "prod", Role: fleet.Worker}
	const to = "/recipes/kubespan"

	p := l.get(t, to+"?layer=role/prod/worker", http.StatusOK)
	p.has(t, "WireGuard", "Risks to know", "The MTU must be 80 less", "Empty: 1320")
	if p.hasForm("apply") || strings.Contains(p.text(), "Put it into") {
		t.Error("it can be applied before it was looked at")
	}
	p = l.submit(t, p, to, url.Values{"p_mtu": {"1400"}, "do": {"preview"}}, http.StatusOK)
	p.has(t, "What it does to workers of prod", "kind: KubeSpanConfig", "mtu: 1400", "worker-1", "+ KubeSpanConfig", "talosctl get kubespanpeerstatuses", "Put it into workers of prod")
	if changes := textOf(p.byID("recipe-preview")); strings.Contains(changes, "control-plane-1") {
		t.Errorf("a server of another role is said to change: %s", changes)
	}
	p.has(t, "recipe apply kubespan --layer role/prod/worker --set mtu=1400")
	if n := len(l.layerOf(t, workers).Patches); n != 0 {
		t.Fatalf("looking has made %d patches", n)
	}
	// What was not looked at is not applied.
	p = l.submit(t, p, to, url.Values{"p_mtu": {"1380"}, "do": {"apply"}}, http.StatusOK)
	p.has(t, "Nothing is saved yet", "mtu: 1380")
	if n := len(l.layerOf(t, workers).Patches); n != 0 {
		t.Fatalf("a changed form was applied unseen: %d patches", n)
	}
	p = l.submit(t, p, to, url.Values{"do": {"apply"}}, http.StatusOK)
	p.has(t, "Recipe kubespan: workers of prod has kubespan now")
	if text := l.layerOf(t, workers).Text("kubespan"); !strings.Contains(text, "mtu: 1380") {
		t.Errorf("the patch is\n%s", text)
	}
	l.get(t, "/recipes", http.StatusOK).has(t, "In use: workers of prod")
}

func TestWhatIsWrongWithAParameterStandsBesideIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.submit(t, l.get(t, "/recipes/kubespan", http.StatusOK), "/recipes/kubespan", url.Values{"p_mtu": {"9"}, "do": {"preview"}}, http.StatusUnprocessableEntity)
	if said := textOf(p.byID("recipe-p_mtu-problem")); !strings.Contains(said, "too small") || !strings.Contains(said, "1280 to 8920") {
		t.Errorf("beside the field stands %q", said)
	}
	if other := textOf(p.byID("recipe-p_endpoint_filters-problem")); other != "" {
		t.Errorf("beside another field stands %q", other)
	}
	if typed := fieldsOf(p.form(t, "/recipes/kubespan")).Get("p_mtu"); typed != "9" {
		t.Errorf("what was typed is %q now", typed)
	}
	l.submit(t, p, "/recipes/kubespan", url.Values{"p_mtu": {""}, "layer": {"server/"}, "do": {"preview"}}, http.StatusUnprocessableEntity).
		has(t, "names no config, cluster or server")
	l.get(t, "/recipes/kubspan", http.StatusNotFound).has(t, "did you mean kubespan?")
}

func TestASecretOfARecipeIsInNoPage(t *testing.T) {
	t.Parallel()
	const to, secret = "/recipes/registry-auth", "open-sesame-4711"
	l := newLab(t)
	l.withNodes(t, "control-plane-1")
	fill := url.Values{"p_registry": {"r.example.com"}, "p_username": {"ci"}, "p_password": {secret}, "layer": {"cluster/prod"}, "do": {"preview"}}
	p := l.submit(t, l.get(t, to, http.StatusOK), to, fill, http.StatusOK)
	p.has(t, "r.example.com", "redacted", "Put it into cluster prod", "password=@FILE")
	if strings.Contains(p.source, secret) {
		t.Error("the preview holds the password")
	}
	p = l.submit(t, p, to, url.Values{"p_registry": {"no host"}, "p_password": {secret}, "do": {"preview"}}, http.StatusUnprocessableEntity)
	if strings.Contains(p.source, secret) {
		t.Error("a refused form shows the password")
	}
	fill.Set("do", "apply")
	p = l.submit(t, l.submit(t, p, to, url.Values{"p_registry": {"r.example.com"}, "p_password": {secret}, "do": {"preview"}}, http.StatusOK), to, fill, http.StatusOK)
	layer := l.layerOf(t, manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "prod"})
	if len(layer.Patches) != 1 || !strings.Contains(layer.Patches[0].Text, secret) || strings.Contains(p.source, secret) {
		t.Errorf("%d patches; the password is lost, or shown", len(layer.Patches))
	}
}

func TestRecipesAreFoundByWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.get(t, "/recipes", http.StatusOK)
	p.has(t, "Network", "Disks", "GPUs", "md RAID: mirror two disks", "Talos 1.14 and newer")
	p = l.get(t, "/recipes?search=RAID+mirror&version=v1.14.1", http.StatusOK)
	p.has(t, "md RAID: mirror two disks")
	p.hasNot(t, "KubeSpan")
	l.get(t, "/recipes?search=RAID+mirror&version=v1.13.0", http.StatusOK).has(t, "No recipe matches")
	rows := strings.Count(l.get(t, "/recipes?group=gpu&export=csv", http.StatusOK).source, "nvidia-")
	if rows < 3 {
		t.Errorf("the sheet has %d recipes for GPUs", rows)
	}
	p = l.get(t, "/recipes/registry-mirrors?example", http.StatusOK)
	if filled := fieldsOf(p.form(t, "/recipes/registry-mirrors")); len(filled.Get("p_mirrors")) == 0 {
		t.Errorf("the example fills in nothing: %v", filled)
	}
}

func TestARecipesExtensionsGoIntoASchematic(t *testing.T) {
	t.Parallel()
	const to = "/recipes/nvidia-open"
	l := newLab(t)
	l.withNodes(t, "control-plane-1")
	v, err := l.app.Manager.CreateSchematic(t.Context(), "admin", manage.SchematicEdit{Name: "gpu", Parts: &fleet.Customization{Extensions: []string{"zfs"}}})
	must(t, err)
	fill := url.Values{"layer": {"cluster/prod"}, "do": {"preview"}}
	p := l.submit(t, l.get(t, to, http.StatusOK), to, fill, http.StatusOK)
	p.has(t, "Belongs into a schematic, of which these servers have none", "siderolabs/nvidia-open-gpu-kernel-modules-lts", "create one")
	fill.Set("schematic", v.ID)
	p = l.submit(t, p, to, fill, http.StatusOK)
	p.has(t, "Goes into schematic gpu")
	fill.Set("do", "apply")
	l.submit(t, p, to, fill, http.StatusOK).has(t, "added to schematic gpu")
	if c := l.parts(t, "gpu"); len(c.Extensions) != 3 {
		t.Errorf("it has %v", c.Extensions)
	}
}

// The whole by clicks: a recipe with a secret, typed once; extensions picked; a rule with the servers it is for.
func TestRecipesSchematicsAndRulesByClicks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.withNodes(t, "control-plane-1", "worker-1", "worker-2")
	b := l.tab(t, webtest.Options{}, "/recipes?layer=cluster/prod")

	b.Type("#recipes-search", "private registry")
	b.Until("other recipes are gone", "!document.body.innerText.includes('KubeSpan')")
	b.Press("Access to a private registry")
	b.Type("#recipe-p_registry", "r.example.com")
	b.Type("#recipe-p_username", "ci")
	b.Press("Show what it does")
	b.Says("It is missing: write the password of the user")
	b.Type("#recipe-p_password", "open-sesame-4711")
	b.Press("Show what it does")
	b.Says("What it does to cluster prod", "3 servers", "RegistryAuthConfig")
	b.Until("nothing is wrong any more", "!document.querySelector('#main > .notice') && !document.querySelector('.recipe-problem span')")
	b.Axe()
	b.Press("Put it into cluster prod")
	b.Says("Recipe registry-auth: cluster prod has registry-auth now")
	if text := l.layerOf(t, manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "prod"}).Text("registry-auth"); !strings.Contains(text, "open-sesame-4711") {
		t.Errorf("the patch is\n%s", text)
	}

	b.Go("/schematics/new")
	b.Type("#schematic-name", "storage")
	b.Type("#schematic-search", "zfs")
	b.Until("the list is narrowed", "[...document.querySelectorAll('#schematic-extensions li')].filter((li) => !li.hidden).length < 5")
	b.Press("zfs")
	b.Type("#schematic-search", "iscsi")
	b.Press("iscsi-tools")
	b.Until("what is chosen stays in sight", "document.querySelector('[value=\"siderolabs/zfs\"]').offsetParent")
	b.Press("Create the schematic")
	b.Says("Created schematic storage", "siderolabs/zfs", "siderolabs/iscsi-tools", "Has all")

	b.Go("/rules")
	b.Type("#rule-match", "worker")
	b.Says("It would be for 2 servers: worker-1, worker-2")
	b.Type("#rule-labels", "tier=web")
	b.Says("It puts on them: tier=web")
	b.Press("Create the rule")
	b.Says("Created the rule for “worker”: it is for 2 servers now")
	b.Axe()
}
