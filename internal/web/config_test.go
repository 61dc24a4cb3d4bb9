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
	"github.com/talos-manager/talos-manager/internal/store"
)

// A patch is written, looked at and saved by forms alone; in between, nothing is saved.
func TestAPatchIsSavedAfterALookAtWhatItChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	at := "/configs/" + f.config.ID
	l.get(t, at, http.StatusOK).has(t, "No patches yet", "Used by 3 servers of fabric")
	p := l.submit(t, l.get(t, at+"/edit", http.StatusOK), at+"/plan", url.Values{"name": {"sysctls"}, "text": {strings.ReplaceAll(sysctls, "\n", "\r\n")}, "why": {"elasticsearch"}}, http.StatusOK)
	p.has(t, "Nothing is saved yet", "The machine configs of 3 servers change; no node would reboot", "fabric-cp-1", "fabric-worker-1", "fabric-worker-2", "vm.max_map_count")
	l.get(t, at, http.StatusOK).has(t, "No patches yet")
	look := l.submitForm(t, p, "preview-form", at+"/plan", url.Values{"server": {f.servers[1].ID}})
	look.has(t, "The config that fabric-worker-1 would get", `config fabric-base, patch "sysctls"`)
	p = l.submit(t, p, at+"/save", nil, http.StatusOK)
	p.has(t, "Saved: Add patch sysctls", "sysctls", "all servers")
	if c, _, err := l.app.Manager.Revision(t.Context(), f.layer(), manage.RevisionCurrent); err != nil || c.Text("sysctls") != sysctls {
		t.Errorf("saved as %q, %v", c.Text("sysctls"), err)
	}
	l.get(t, at+"/history", http.StatusOK).has(t, "elasticsearch", "In effect", "admin")
	l.get(t, at+"/blame", http.StatusOK).has(t, "vm.max_map_count", "elasticsearch")
	l.get(t, at+"/preview", http.StatusOK).has(t, "talos-manager: hostname", `config fabric-base, patch "sysctls"`)
}

// submitForm sends the form with this id; action may be that of one of its buttons.
func (l *lab) submitForm(t testing.TB, p *page, id, action string, fill url.Values) *page {
	t.Helper()
	form := p.byID(id)
	if form == nil {
		t.Fatalf("%s has no form %s", p.path, id)
	}
	values := fieldsOf(form)
	for name, value := range fill {
		values[name] = value
	}
	r, err := l.browser.PostForm(l.server.URL+action, values)
	return l.read(t, r, err, http.StatusOK)
}

// What Talos would not take is refused before it is saved: with the server, the patch, the line and what to write, and
// the lines themselves.
func TestAnEditThatWouldBreakServersIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	at := "/configs/" + f.config.ID
	wrong := "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: plenty\n"
	p := l.submit(t, l.get(t, at+"/edit", http.StatusOK), at+"/plan", url.Values{"name": {"net"}, "text": {wrong}}, http.StatusUnprocessableEntity)
	p.has(t, "would break all 3 servers that use it", `config fabric-base, patch "net": line 5, column 14`, "machine.network.interfaces[0].mtu", "or keep it as a draft", "mtu: plenty")
	if here := p.all(hasClass("here")); len(here) != 1 || textOf(here[0]) != "5 mtu: plenty" {
		t.Errorf("the refused line is not shown: %v", here)
	}
	if text := textOf(p.byID("patch-text")); !strings.Contains(text, "mtu: plenty") {
		t.Errorf("what was typed is gone: %q", text)
	}
	p = l.submitForm(t, p, "patch-form", at+"/draft", nil)
	p.has(t, "Kept as a draft", "A draft is kept", "No patches yet")
	p = l.submit(t, p, at+"/plan", nil, http.StatusUnprocessableEntity)
	p.has(t, "line 5, column 14")
	p = l.submit(t, p, at+"/discard", nil, http.StatusOK)
	p.has(t, "The draft was thrown away")
	p.hasNot(t, "A draft is kept")
}

// A change may break what another layer's patch makes of it: the refusal leads to that patch, and to its line.
func TestARefusalLeadsToTheLineOfAnotherPatch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	m := l.app.Manager
	_, err := m.SetVariable(t.Context(), "admin", f.layer(), "mtu", "1400", manage.Save{})
	must(t, err)
	cluster := manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "fabric"}
	_, err = m.AddPatch(t.Context(), "admin", cluster, fleet.Patch{Name: "lan", Text: "# the network\nmachine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: ${mtu}\n"}, -1, manage.Save{})
	must(t, err)
	at := "/configs/" + f.config.ID
	form := url.Values{"do": {"variable"}, "form": {"variable"}, "name": {"mtu"}, "value": {"plenty"}}
	r, err := l.browser.PostForm(l.server.URL+at+"/plan", form)
	p := l.read(t, r, err, http.StatusUnprocessableEntity)
	p.has(t, `cluster fabric, patch "lan": line 6`)
	links := p.all(func(n *html.Node) bool { return n.Data == "a" && strings.Contains(textOf(n), `patch "lan"`) })
	if len(links) != 1 {
		t.Fatalf("%d links lead to the line", len(links))
	}
	edit := l.get(t, attr(links[0], "href"), http.StatusOK)
	edit.has(t, "Patch lan", "Cluster fabric")
	if here := edit.all(hasClass("here")); len(here) != 1 || textOf(here[0]) != "6 mtu: ${mtu}" {
		t.Errorf("the line is not shown: %v", here)
	}
	if attr(edit.byID("patch-text"), "data-line") != "6" {
		t.Error("the editor is not told the line")
	}
	// The editor says the same as one types: here a patch of the config that is fine by itself.
	_, err = m.UpdatePatch(t.Context(), "admin", cluster, "lan", func(p *fleet.Patch) { p.Text = strings.ReplaceAll(p.Text, "${mtu}", "1500") }, manage.Save{})
	must(t, err)
	p = l.submit(t, l.get(t, at+"/edit", http.StatusOK), at+"/plan", url.Values{"name": {"lan"}, "text": {"machine:\n  network: [\n"}}, http.StatusUnprocessableEntity)
	if here := p.all(hasClass("here")); len(here) != 1 {
		t.Errorf("of two patches with one name, the one that was typed is not found: %v", here)
	}
	if n := len(p.all(func(n *html.Node) bool { return attr(n, "href") == "#patch-line" })); n == 0 {
		t.Error("the refusal does not lead to the line on this page")
	}
}

// Before a save, the plan shows the patch itself, and compares with what nodes run for who asks: those that cannot be
// asked are named.
func TestAPlanIsComparedWithWhatNodesRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "sysctls", Text: sysctls}, manage.Save{})
	at := "/configs/" + f.config.ID
	change := url.Values{"text": {strings.ReplaceAll(sysctls, "262144", "300000")}}
	plan := l.submit(t, l.get(t, at+"/edit?patch=sysctls", http.StatusOK), at+"/plan", change, http.StatusOK)
	if plan.byID("running-form") != nil {
		t.Error("nodes are offered to be asked where there is none")
	}
	side := func(class string) string { return textOf(plan.all(hasClass(class))[2]) }
	if old, now := side("sides-old"), side("sides-new"); old != `3 - vm.max_map_count: "262144"` || now != `3 + vm.max_map_count: "300000"` {
		t.Errorf("the patch before and after: %q, %q", old, now)
	}
	must(t, l.store.SetState(t.Context(), f.servers[1].ID, fleet.Known, fleet.Ready))
	plan = l.submit(t, l.get(t, at+"/edit?patch=sysctls", http.StatusOK), at+"/plan", change, http.StatusOK)
	plan.has(t, "Ask 1 node what they run")
	plan.hasNot(t, "told what they run")
	asked := l.submitForm(t, plan, "running-form", at+"/plan", nil)
	asked.has(t, "0 of 1 node told what they run", "Not asked what they run: fabric-worker-1", "300000", "Nothing is saved yet")
	l.submitForm(t, asked, "plan-form", at+"/save", nil).has(t, "Saved: Change patch sysctls")
}

// Secrets are taken out of the editor. A text that is left alone keeps them, one that was changed must hold them, and who
// asks for them is noted.
func TestSecretsOfPatchesStayHiddenUnlessAskedFor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "mirror", Text: mirror}, manage.Save{})
	at := "/configs/" + f.config.ID
	p := l.get(t, at+"/edit?patch=mirror", http.StatusOK)
	p.has(t, "[secret]", "REGION: ${location}")
	p.hasNot(t, "s3cr3t-of-mirror")
	for _, path := range []string{at, at + "/preview", at + "/blame", at + "/history"} {
		l.get(t, path, http.StatusOK).hasNot(t, "s3cr3t-of-mirror")
	}
	l.submit(t, p, at+"/plan", url.Values{"text": {rawOf(p.byID("patch-text")) + "    MORE: x\n"}}, http.StatusUnprocessableEntity).has(t, "a secret was taken out here")
	plan := l.submit(t, p, at+"/plan", url.Values{"name": {"environment"}, "role": {"worker"}}, http.StatusOK)
	plan.hasNot(t, "s3cr3t-of-mirror")
	l.submit(t, plan, at+"/save", nil, http.StatusOK)
	c, _, err := l.app.Manager.Revision(t.Context(), f.layer(), manage.RevisionCurrent)
	if err != nil || c.Text("environment") != mirror || c.Patches[0].Role != fleet.Worker {
		t.Fatalf("%+v, %v", c, err)
	}
	p = l.submit(t, l.get(t, at+"/edit?patch=environment", http.StatusOK), at+"/secrets", nil, http.StatusOK)
	p.has(t, "s3cr3t-of-mirror", "shown with its secrets")
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "config.patches.secrets", Subject: "config", TargetID: f.config.ID, Limit: 9})
	if err != nil || len(events) != 1 {
		t.Errorf("events %v, %v", events, err)
	}
}

func TestPatchesAreMovedSwitchedAndRemoved(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "one", Text: "machine: {sysctls: {a.b: \"1\"}}\n"}, manage.Save{})
	l.patch(t, f, fleet.Patch{Name: "two", Text: "machine: {sysctls: {a.b: \"2\"}}\n"}, manage.Save{})
	at := "/configs/" + f.config.ID
	for _, step := range []struct {
		do, patch, value, says string
		left                   []string
	}{
		{"move", "two", "0", "a.b", []string{"two", "one"}},
		{"switch", "one", "off", "a.b", []string{"two", "one"}},
		{"remove", "one", "", "The machine config of no server changes", []string{"two"}},
	} {
		values := url.Values{"do": {step.do}, "patch": {step.patch}, "value": {step.value}, "base": {l.revision(t, f)}}
		r, err := l.browser.PostForm(l.server.URL+at+"/plan", values)
		plan := l.read(t, r, err, http.StatusOK)
		plan.has(t, step.says)
		l.submit(t, plan, at+"/save", nil, http.StatusOK).has(t, "Saved: ")
		c, _, err := l.app.Manager.Revision(t.Context(), f.layer(), manage.RevisionCurrent)
		must(t, err)
		var names []string
		for _, patch := range c.Patches {
			names = append(names, patch.Name)
		}
		if strings.Join(names, " ") != strings.Join(step.left, " ") {
			t.Errorf("%s %s: left are %v", step.do, step.patch, names)
		}
	}
	p := l.submit(t, l.get(t, at+"/history", http.StatusOK), at+"/plan", nil, http.StatusOK)
	l.submit(t, p, at+"/save", url.Values{"why": {"it was needed"}}, http.StatusOK).has(t, "Saved: Go back to revision", "one")
	l.get(t, at+"/history", http.StatusOK).has(t, "Went back", "it was needed")
}

func (l *lab) revision(t testing.TB, f fabric) string {
	t.Helper()
	_, revision, err := l.app.Manager.Revision(t.Context(), f.layer(), manage.RevisionCurrent)
	must(t, err)
	return revision
}

// Whoever saves what somebody else has changed meanwhile is told, and loses nothing of what was typed.
func TestAnEditOfWhatWasChangedMeanwhileIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "sysctls", Text: sysctls}, manage.Save{})
	at := "/configs/" + f.config.ID
	plan := l.submit(t, l.get(t, at+"/edit?patch=sysctls", http.StatusOK), at+"/plan", url.Values{"text": {strings.ReplaceAll(sysctls, "262144", "300000")}}, http.StatusOK)
	l.patch(t, f, fleet.Patch{Name: "other", Text: "machine: {sysctls: {a.b: \"1\"}}\n"}, manage.Save{})
	p := l.submit(t, plan, at+"/save", nil, http.StatusConflict)
	p.has(t, "changed by somebody else meanwhile")
	if !strings.Contains(textOf(p.byID("patch-text")), "300000") {
		t.Error("what was typed is gone")
	}
}

func TestVariablesAreSetAndShownForAServer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	at := "/configs/" + f.config.ID + "/variables"
	p := l.submitForm(t, l.get(t, at, http.StatusOK), "variable-form", "/configs/"+f.config.ID+"/plan", url.Values{"name": {"registry"}, "value": {"registry.example.com"}})
	p = l.submit(t, p, "/configs/"+f.config.ID+"/save", nil, http.StatusOK)
	p.has(t, "${registry}", "registry.example.com", "set by config fabric-base", "${hostname}", "fabric-cp-1")
	l.get(t, at+"?server="+f.servers[2].ID, http.StatusOK).has(t, "fabric-worker-2", "203.0.113.7")
	r, err := l.browser.PostForm(l.server.URL+"/configs/"+f.config.ID+"/plan", url.Values{"do": {"variable"}, "form": {"variable"}, "name": {"hostname"}, "value": {"x"}})
	l.read(t, r, err, http.StatusUnprocessableEntity).has(t, `variable "hostname" is built in`)
}

// The layers of clusters, roles and servers have the same pages.
func TestLayersOfClustersRolesAndServersAreEditedAlike(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := l.fabric(t, "fabric")
	for _, tc := range []struct {
		at, query, title, servers, value string
	}{
		{"/layers/cluster/" + f.cluster.ID, "", "Patches of cluster fabric", "3 servers", "1001"},
		{"/layers/role/" + f.cluster.ID, "?role=worker", "Patches of the workers of fabric", "2 servers", "1002"},
		{"/layers/server/" + f.servers[0].ID, "", "Patches of server fabric-cp-1", "1 server", "1003"},
	} {
		l.get(t, tc.at+tc.query, http.StatusOK).has(t, tc.title, "Used by "+tc.servers)
		text := strings.ReplaceAll(sysctls, "262144", tc.value)
		p := l.submit(t, l.get(t, tc.at+"/edit"+tc.query, http.StatusOK), tc.at+"/plan"+tc.query, url.Values{"name": {"own"}, "text": {text}}, http.StatusOK)
		p.has(t, "vm.max_map_count", tc.value)
		l.submit(t, p, tc.at+"/save"+tc.query, nil, http.StatusOK).has(t, "Saved: Add patch own", tc.title)
		p = l.submit(t, l.get(t, tc.at+"/edit"+tc.query+amp(tc.query)+"patch=own", http.StatusOK), tc.at+"/plan"+tc.query, url.Values{"text": {"machine: {nonsense: 1}\n"}}, http.StatusUnprocessableEntity)
		p.has(t, "line 1")
		l.get(t, "/configs", http.StatusOK).has(t, "1 patch")
	}
	l.get(t, "/layers/role/"+f.cluster.ID+"?role=king", http.StatusUnprocessableEntity).has(t, "Unknown role")
	l.get(t, "/layers/cluster/nobody", http.StatusNotFound)
	l.get(t, "/configs/nobody", http.StatusNotFound)
}

func amp(query string) string {
	if query == "" {
		return "?"
	}
	return "&"
}

func TestConfigsAreCreatedRenamedAndForgotten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.get(t, "/configs", http.StatusOK).has(t, "No configs yet")
	p := l.submit(t, l.get(t, "/configs", http.StatusOK), "/configs", url.Values{"name": {"base"}}, http.StatusOK)
	p.has(t, "Created base", "No server uses it yet")
	c, err := l.store.Config(t.Context(), "base")
	must(t, err)
	at := "/configs/" + c.ID
	p = l.submitForm(t, l.get(t, at+"/settings", http.StatusOK), "settings-form", at+"/plan", url.Values{"kubespan": {"true"}})
	l.submit(t, p, at+"/save", nil, http.StatusOK).has(t, "Saved: Change the settings")
	p = l.submit(t, l.get(t, at+"/settings", http.StatusOK), at+"/rename", url.Values{"name": {"common"}}, http.StatusOK)
	p.has(t, "It is named common now")
	l.submit(t, p, at+"/delete", url.Values{"confirm": {"base"}}, http.StatusUnprocessableEntity).has(t, "type common into the field")
	l.submit(t, p, at+"/delete", url.Values{"confirm": {"common"}}, http.StatusOK).has(t, "Config common is forgotten")
}

func hasClass(name string) func(*html.Node) bool {
	return func(n *html.Node) bool { return slices.Contains(strings.Fields(attr(n, "class")), name) }
}
