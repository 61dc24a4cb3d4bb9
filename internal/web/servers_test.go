package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func (p *page) classed(class string) []*html.Node {
	return p.all(func(n *html.Node) bool { return attr(n, "class") == class })
}

func TestEachFilterIsTakenAwayByItself(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	p := l.get(t, "/servers?state=known&search=server&location=FSN1-DC8&missing=true", http.StatusOK)
	p.has(t, "State: Free or not installed", "Search: server", "Location: FSN1-DC8", "Missing: shown too", "Clear all", "server-6", "server-7")
	chips := p.classed("chip")
	if len(chips) != 4 {
		t.Fatalf("%d chips", len(chips))
	}
	for _, c := range chips {
		name, _, _ := strings.Cut(strings.ToLower(textOf(c)), ":")
		if q, err := url.ParseQuery(strings.TrimPrefix(attr(c, "href"), "/servers?")); err != nil || len(q) != 3 || q.Has(name) {
			t.Errorf("the chip of %s leads to %s", name, attr(c, "href"))
		}
	}
}

func TestServersWithAProblemAreFoundAtTheirPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	all := manyServers(3)
	all[1].Location = "HEL1-DC2"
	l.list(t, robot, all...)
	for _, v := range all[1:] {
		must(t, l.store.SetFacts(t.Context(), l.serverNamed(t, v.Name).ID, fleet.Facts{At: time.Now()}))
	}
	p := l.get(t, "/servers?problem=uuid&location=HEL1-DC2", http.StatusOK)
	p.has(t, "box-1", "1–1 of 1", "Problem: Bad UUID", "Location: HEL1-DC2", "server list --location=HEL1-DC2 --problem=uuid",
		"GET /api/v1/servers?location=HEL1-DC2&problem=uuid")
	p.hasNot(t, "box-2")
	if form := fieldsOf(p.form(t, "/servers")); form.Get("problem") != "uuid" || form.Get("location") != "HEL1-DC2" {
		t.Errorf("the filter has %v", form)
	}
	l.get(t, "/servers?problem=draft", http.StatusOK).has(t, "No server matches")
}

// What the overview has no room for is in the table that its link leads to, and nothing else.
func TestMoreOfAKindIsInTheTableThatTheOverviewLeadsTo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	const each = 22
	all := manyServers(5 * each)
	for i := each; i < 2*each; i++ {
		all[i].Cancelled = true
	}
	l.list(t, robot, all...)
	cluster := l.prod(t)
	for i, v := range all {
		s := l.serverNamed(t, v.Name)
		switch i / each {
		case 0:
			must(t, l.store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now()}))
		case 1, 2:
			_, err := l.store.Assign(t.Context(), s.ID, fleet.Assignment{ClusterID: cluster.ID, Role: fleet.Worker, Draft: i/each == 2})
			must(t, err)
		case 3:
			must(t, l.store.SetState(t.Context(), s.ID, fleet.Known, fleet.Unhealthy))
		}
	}
	var led []string
	for _, a := range l.get(t, "/", http.StatusOK).tags("a") {
		if textOf(a) != "2 more like these" {
			continue
		}
		led = append(led, attr(a, "href"))
		l.get(t, attr(a, "href"), http.StatusOK).has(t, "1–22 of 22")
	}
	if want := []string{"/servers?missing=true&state=unhealthy", "/servers?problem=gone", "/servers?problem=uuid", "/servers?problem=draft"}; !slices.Equal(led, want) {
		t.Errorf("led to %q, want %q", led, want)
	}
}

func TestColumnsAreChosenAndKept(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	p := l.get(t, "/servers?state=ready", http.StatusOK)
	p.hasNot(t, "64 GiB")
	p = l.submit(t, p, "/servers/columns", url.Values{"column": {"memory", "disks", "cores", "nonsense"}, "usual": nil}, http.StatusOK)
	if p.path != "/servers?state=ready" {
		t.Errorf("led to %s", p.path)
	}
	p.has(t, "64 GiB", "4.5 TB", "server-3")
	if heads := len(p.tags("th")); heads != 7 { // the box, the name, three columns, the menu; and the row's name
		t.Errorf("%d heads", heads)
	}
	l.get(t, "/servers?sort=-memory", http.StatusOK)
	p = l.submit(t, p, "/servers/columns", url.Values{"usual": {"true"}}, http.StatusOK)
	p.hasNot(t, "64 GiB")
}

func TestAServerIsChangedInItsRow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1", "worker-1")
	cluster, s := l.prod(t), l.serverNamed(t, "control-plane-1")
	address := "/servers?edit=" + s.ID + "&search=control"
	action := func(p *page, what string) string {
		for _, f := range p.tags("form") {
			if strings.Contains(attr(f, "action"), "/row/"+what+"?") {
				return attr(f, "action")
			}
		}
		t.Fatalf("no form for %s:\n%s", what, p.text())
		return ""
	}
	p := l.get(t, address, http.StatusOK)
	p = l.submit(t, p, action(p, "name"), one("name", "Not a name"), http.StatusUnprocessableEntity)
	p.has(t, "is not a DNS label", "1–1 of 1")
	if fieldsOf(p.form(t, action(p, "name"))).Get("name") != "Not a name" {
		t.Error("what was typed is gone")
	}
	p = l.submit(t, p, action(p, "name"), one("name", "control-plane-7"), http.StatusOK)
	if p.has(t, "It is named control-plane-7"); p.path != "/servers?search=control" {
		t.Errorf("led to %s", p.path)
	}
	p = l.get(t, address, http.StatusOK)
	p = l.submit(t, p, action(p, "assign"), url.Values{"cluster": {cluster.ID}, "role": {"controlplane"}, "hostname": {"cp-7"}, "privateIP": {"10.0.0.300"}}, http.StatusUnprocessableEntity)
	p.has(t, "private address")
	p = l.submit(t, p, action(p, "assign"), url.Values{"privateIP": {"10.0.0.7"}}, http.StatusOK)
	p.has(t, "is to be a control plane named cp-7", "node cp-7", "prod")
	if a := l.serverNamed(t, "control-plane-7").Assignment; a.ClusterID != cluster.ID || a.PrivateIP != "10.0.0.7" || a.Hostname != "cp-7" {
		t.Errorf("assignment %+v", a)
	}
	must(t, l.store.SetState(t.Context(), s.ID, fleet.Known, fleet.Ready))
	l.get(t, address, http.StatusOK).has(t, "It runs as a node of prod")
}

func TestManyServersAreAssignedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, manyServers(130)...)
	cluster := l.prod(t)
	p := l.get(t, "/servers/assign?"+url.Values{"all": {"true"}, "of": {"search=box-1"}}.Encode(), http.StatusOK)
	p.has(t, "Change what 41 servers are to be", "box-129")
	p.hasNot(t, "box-29 ")
	l.submit(t, p, "/servers/assign", nil, http.StatusUnprocessableEntity).has(t, "Nothing is to change")
	l.submit(t, p, "/servers/assign", url.Values{"cluster": {cluster.ID}, "role": {"worker"}}, http.StatusOK).has(t, "Changed what they are to be: 41 servers")
	l.get(t, "/servers?cluster="+cluster.ID+"&role=worker", http.StatusOK).has(t, "1–41 of 41")

	free, node := l.serverNamed(t, "box-2"), l.serverNamed(t, "box-12")
	must(t, l.store.SetState(t.Context(), node.ID, fleet.Known, fleet.Ready))
	q := url.Values{"server": {free.ID, node.ID}}.Encode()
	l.get(t, "/servers/assign?"+q, http.StatusOK).has(t, "Change what 1 server is to be", "Left out", "It runs as a node")
	r, err := l.browser.PostForm(l.server.URL+"/rescue", url.Values{"servers": {free.ID + " " + node.ID}})
	p = l.read(t, r, err, http.StatusPreconditionFailed)
	p.has(t, "Booting the rescue system on 1 server; 1 server refused", "server box-12 is a node")
	if got := len(l.operationsOf(t, "box-2")); got != 1 {
		t.Errorf("box-2 has %d operations", got)
	}
	p = l.get(t, "/servers/install?all=true&of=search%3Dbox-11", http.StatusOK)
	if !strings.HasPrefix(p.path, "/install?") || strings.Count(p.path, "server=") != 11 {
		t.Errorf("led to %s", p.path)
	}
	l.list(t, robot, manyServers(1100)...)
	l.get(t, "/rescue?all=true&of=", http.StatusUnprocessableEntity).has(t, "1100 servers are chosen, 1000 at most")
	l.get(t, "/servers/install?all=true&of=", http.StatusUnprocessableEntity).has(t, "the install wizard takes 200")
}

func TestTheTableSaysWhatIsInTheRescueSystem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, manyServers(2)...)
	s := l.serverNamed(t, "box-1")
	l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: s.ID}, workflow.Change{State: fleet.Succeeded, Finished: ptr(s.SeenAt), Release: true})
	p := l.get(t, "/servers?search=box-1", http.StatusOK)
	p.has(t, "Rescue system,")
	l.get(t, "/servers?search=box-0", http.StatusOK).hasNot(t, "Rescue system,")
}

func TestTheOverviewSaysWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	all := manyServers(5)
	all[1].Cancelled = true
	l.list(t, robot, all...)
	cluster := l.prod(t)
	for _, name := range []string{"box-1", "box-2"} {
		_, err := l.store.Assign(t.Context(), l.serverNamed(t, name).ID, fleet.Assignment{ClusterID: cluster.ID, Role: fleet.Worker})
		must(t, err)
	}
	for name, i := range map[string]int{"box-3": 1, "box-4": 1} {
		must(t, l.store.SetFacts(t.Context(), l.serverNamed(t, name).ID, someFacts(i)))
	}
	f := someFacts(2)
	f.UUID = "00000000-0000-0000-0000-000000000000"
	must(t, l.store.SetFacts(t.Context(), l.serverNamed(t, `box-0 "a", b`).ID, f))
	l.list(t, robot, append(all[:2:2], all[3:]...)...)
	p := l.get(t, "/", http.StatusOK)
	p.has(t, "It was cancelled at its provider, and belongs to a cluster", "Its account does not list it any more, and it belongs to a cluster",
		"They have the same UUID", "box-3, box-4", "Clusters and capacity", "192 GiB", "1 worker", "its SMBIOS UUID", "From nothing to the first cluster")
	must(t, l.store.SetState(t.Context(), l.serverNamed(t, "box-1").ID, fleet.Known, fleet.Ready))
	l.get(t, "/", http.StatusOK).hasNot(t, "From nothing to the first cluster")
}

func TestTheGuideLeadsToTheFirstInstall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.sim.AddDedicated(robotUser, "control-plane-1")
	p := l.submit(t, l.get(t, "/", http.StatusOK), "/guide/account", url.Values{"name": {"robot"}, "user": {robotUser}, "password": {"wrong-password"}}, http.StatusUnauthorized)
	if strings.Contains(p.source, "wrong-password") || fieldsOf(p.form(t, "/guide/account")).Get("name") != "robot" {
		t.Error("the password is shown again, or the name is not")
	}
	p = l.submit(t, p, "/guide/account", url.Values{"password": {robotPassword}, "provider": {"hetzner_robot"}}, http.StatusOK)
	p.has(t, "Added robot: it lists 1 server", "Create a cluster")
	p = l.submit(t, p, "/guide/cluster", one("name", "prod"), http.StatusOK)
	p.has(t, "Created prod", "Assign them to prod")
	id := l.serverNamed(t, "control-plane-1").ID
	l.submit(t, p, "/guide/assign", one("role-"+id, ""), http.StatusUnprocessableEntity).has(t, "No server was given a role")
	p = l.submit(t, p, "/guide/assign", nil, http.StatusOK)
	p.has(t, "1 server assigned", "Install Talos…")
	if a := l.serverNamed(t, "control-plane-1").Assignment; a.Role != fleet.ControlPlane {
		t.Errorf("assignment %+v", a)
	}
	if !strings.Contains(p.source, "/install?server="+id) {
		t.Error("no link leads to the wizard with the server")
	}
}

func TestTheTableInABrowser(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, _ := l.accounts(t)
	l.list(t, robot, manyServers(60)...)
	b := l.tab(t, webtest.Options{}, "/servers")
	webtest.Eval[bool](b, `document.getElementById("as-commands").open = true`)
	b.Click("#filter-search")
	b.Keys("box-1")
	b.Until("the table is filtered", `document.querySelector(".pager").innerText.includes("1–11 of 11")`)
	b.Keys("2")
	b.Until("the table is filtered again", `document.querySelector(".pager").innerText.includes("1–1 of 1")`)
	if !webtest.Eval[bool](b, `document.activeElement.id === "filter-search" && document.activeElement.value === "box-12" && location.search === "?search=box-12"`) {
		t.Errorf("the focus, or what was typed, is gone; at %s", b.Path())
	}
	b.Until("the export, the commands, and where forms lead back to, are those of the filter", `document.querySelector("#export-links a").search.includes("search=box-12") &&
		document.getElementById("as-commands").open && document.getElementById("as-cli-0").innerText.includes("--search=box-12") && !document.querySelector("#as-list [data-copy]").hidden &&
		document.getElementById("theme-next").value === "/servers?search=box-12" && document.getElementById("palette-next").value === "/servers?search=box-12"`)
	b.Go("/servers?search=box-1")
	b.Click("tbody tr:nth-child(2) .choose input")
	webtest.Eval[bool](b, `document.querySelectorAll(".choose input")[4].dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: true }))`)
	b.Says("4 servers chosen:")
	b.Click("tbody tr:nth-child(3) .row-do summary")
	b.Press("Name, cluster, network")
	b.Until("the panel is open and the rest is as it was", `document.activeElement.name === "name" && document.querySelectorAll(".choose input:checked").length === 4`)
	b.Says("4 servers chosen:")
	b.Press("Boot rescue")
	b.Says("Boot the rescue system on 4 servers")
	b.Press("Boot the rescue system on 4 servers")
	b.Says("Booting the rescue system on 4 servers")
	b.Go("/servers")
	b.Press("All 60 that match")
	b.Says("60 servers chosen:")
	b.Press("Cluster, role, config")
	b.Says("Change what 56 servers are to be")
}
