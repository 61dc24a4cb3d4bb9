package web_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// within finds the elements of a kind below an element.
func within(n *html.Node, tag string) (all []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == tag {
			all = append(all, d)
		}
	}
	return all
}

func TestDisksAreDrawnWithWhatIsOnThem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	p := l.get(t, "/servers/"+l.serverNamed(t, "used-1").ID, http.StatusOK)
	for disk, c := range map[string]struct {
		stretches int
		says      []string
	}{
		"nvme0n1": {4, []string{"Talos goes here", "RAID md1", "EFI", "member of RAID md0", "boot loaders EFI/BOOT EFI/debian", "S64GNX0T", "What an install takes from it", "RAID array md1 raid1, 1 of its members missing already"}},
		"nvme1n1": {4, []string{"What an install changes on it", "RAID array md0 raid1 loses a member: it is degraded", "its data is lost"}},
		"sda":     {4, []string{"EPHEMERAL", "Talos of node node-of-somebody in cluster elsewhere (https://10.9.8.7:6443)", "has a boot sector", "META on partition 2", "are hidden; nothing of it is lost"}},
		"sdb":     {4, []string{"LVM vg0", "LUKS 7d1f", "ZFS tank", "Ceph osd.3", "ceph_bluestore on sdb4"}},
		"sdc":     {1, []string{"blank", "EPHEMERAL goes here", "On it: Blank"}},
	} {
		drawn := p.byID("disk-" + disk)
		if drawn == nil {
			t.Fatalf("disk %s is not drawn", disk)
		}
		width, stretches := 0.0, 0
		for _, s := range within(within(drawn, "svg")[0], "svg") {
			w, err := strconv.ParseFloat(strings.TrimSuffix(attr(s, "width"), "%"), 64)
			must(t, err)
			if w < 2 {
				t.Errorf("disk %s: a stretch of %g %% cannot be seen", disk, w)
			}
			width, stretches = width+w, stretches+1
		}
		if stretches != c.stretches || width < 99.9 || width > 100.1 {
			t.Errorf("disk %s has %d stretches, %g %% wide together; want %d", disk, stretches, width, c.stretches)
		}
		for _, words := range c.says {
			if !strings.Contains(textOf(drawn), words) {
				t.Errorf("disk %s does not say %q: %s", disk, words, textOf(drawn))
			}
		}
	}
	p.has(t, "An install writes Talos to nvme0n1", "does not cover it: it asks", "Arrays, volumes and pools", "Found changed", "was exchanged for naa.02",
		"Talos ran here by UUID 4c4c4544-0051-3610-8052-b4c04f4a9999", "Its rescue system lacks programs that an install needs: mdadm", "this boot came from it", "off by 1 min 35 s")
	if strings.Contains(textOf(p.byID("disk-sdc")), "What an install") {
		t.Error("a disk that an install leaves alone has a fate")
	}
	rows, err := csv.NewReader(strings.NewReader(l.get(t, p.path+"?export=csv", http.StatusOK).source)).ReadAll()
	must(t, err)
	if len(rows) != 1+5+14 {
		t.Errorf("%d rows are exported", len(rows))
	}
}

func TestAUUIDThatWillNotDoIsMailedOrOverridden(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "board-1")
	page := "/servers/" + s.ID
	l.get(t, page, http.StatusOK).has(t, "Ask Hetzner to give it a proper one", "We need to have a proper UUID")
	l.submit(t, l.get(t, page, http.StatusOK), page+"/override-uuid", one("uuid", "11111111-1111-1111-1111-111111111111"), http.StatusPreconditionFailed).has(t, "is mostly one character")
	const uuid = "5d3c1d7c-3a0f-4b5e-9c1e-0f6a2f2f8a11"
	p := l.submit(t, l.get(t, page, http.StatusOK), page+"/override-uuid", one("uuid", uuid), http.StatusOK)
	if p.has(t, "The next install gives Talos UUID "+uuid, "in place of the board’s"); l.serverNamed(t, "board-1").UUIDOverride != uuid {
		t.Error("it is not noted")
	}
	p.hasNot(t, "Ask Hetzner to give it a proper one")
	l.submit(t, p, page+"/override-uuid", one("uuid", ""), http.StatusOK).has(t, "leaves Talos the UUID of the board")

	used := l.serverNamed(t, "used-1")
	page = "/servers/" + used.ID
	p = l.get(t, page, http.StatusOK)
	if got := fieldsOf(p.form(t, page+"/recover-uuid")).Get("uuid"); got != used.RanAs {
		t.Errorf("the UUID %q is offered, it ran as %s", got, used.RanAs)
	}
	l.submit(t, p, page+"/recover-uuid", nil, http.StatusOK).has(t, "Giving Talos its UUID back", "Give Talos its UUID back has this server now")
	if op := l.operationsOf(t, "used-1"); len(op) != 1 || op[0].Kind != "server.recover-uuid" {
		t.Errorf("operations %+v", op)
	}
}

func TestAnAssignmentCanBeTriedAndChoosesByRuleAndPolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "used-1")
	page, action := "/servers/"+s.ID, "/servers/"+s.ID+"/assign"
	l.patched(t, "tabs", "used-1")
	fill := url.Values{"installDisk": {"rule"}, "diskRule": {"smallest,type=hdd,serial=BLANK*"}, "ephemeralDisk": {""}, "diskPolicy": {"clean-only"}, "hostname": {"tried"}, "dry": {"true"}}
	p := l.submit(t, l.get(t, page, http.StatusOK), action, fill, http.StatusOK)
	p.has(t, "What would change", "naa.5000c50000000000", "tried")
	if now := l.serverNamed(t, "used-1"); now.Assignment != s.Assignment {
		t.Errorf("a trial changed the assignment: %+v", now.Assignment)
	}
	form := fieldsOf(p.form(t, action))
	if form.Get("hostname") != "tried" || form.Get("diskRule") != "smallest,type=hdd,serial=BLANK*" || form.Get("installDisk") != "rule" || !hasAttr(p.byID("panel-assign"), "open") {
		t.Errorf("what was typed is gone: %v", form)
	}
	fill.Del("dry")
	r, err := l.browser.PostForm(l.server.URL+action, merged(form, fill))
	p = l.read(t, r, err, http.StatusOK)
	p.has(t, "is to be a worker named tried", "An install writes Talos to sdc")
	want := fleet.Assignment{ClusterID: s.Assignment.ClusterID, Role: fleet.Worker, Hostname: "tried", InstallDisk: "rule:smallest,type=hdd,serial=BLANK*", DiskPolicy: fleet.CleanOnly}
	if got := l.serverNamed(t, "used-1").Assignment; got != want {
		t.Errorf("assignment %+v, want %+v", got, want)
	}
	again := fieldsOf(p.form(t, action))
	if again.Get("installDisk") != "rule" || again.Get("diskRule") != "smallest,type=hdd,serial=BLANK*" {
		t.Errorf("the rule is not shown as chosen: %v", again)
	}
	l.submit(t, p, action, url.Values{"installDisk": {"rule"}, "diskRule": {"type=hdd"}}, http.StatusUnprocessableEntity).has(t, "which is meant cannot be told")

	p = l.submit(t, l.get(t, page, http.StatusOK), page+"/install", one("dry", "true"), http.StatusOK)
	p.has(t, "What would be done", "Write the image", "facts.sh", "It would ask:")
	if len(l.operationsOf(t, "used-1")) != 0 {
		t.Error("a trial began an install")
	}
}

func merged(all ...url.Values) url.Values {
	out := url.Values{}
	for _, values := range all {
		for name, v := range values {
			out[name] = v
		}
	}
	out.Del("dry")
	return out
}

func TestAMachineConfigSaysWhoSetEachLineAndHoldsNoSecret(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "tab-node-1")
	page := "/servers/" + s.ID + "/config"
	p := l.get(t, page, http.StatusOK)
	p.has(t, "Talos’ defaults and the cluster’s secrets", `cluster tabs, patch "sysctls"`, `server tab-node-1, patch "own"`, "talos-manager: hostname", "262144", "net.core.somaxconn", "username: me",
		"ada", "it is the loader", "There is a draft that is not in effect", "built in", "server tab-node-1", "machine-config explain tab-node-1")
	if strings.Contains(p.source, "hunter2hunter2") {
		t.Error("the password of a patch is shown")
	}
	secrets, err := realSecrets()
	must(t, err)
	for line := range strings.Lines(string(secrets)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name != "crt" && name != "id" && len(value) > 20 && strings.Contains(p.source, value) {
			t.Errorf("a secret of the cluster is shown: %.16s…", line)
		}
	}
	only := l.get(t, page+"?by="+url.QueryEscape(`cluster tabs, patch "sysctls"`), http.StatusOK)
	lines := textOf(only.all(func(n *html.Node) bool { return attr(n, "class") == "config-yaml" })[0])
	if !strings.Contains(lines, "vm.max_map_count") || strings.Contains(lines, "somaxconn") {
		t.Errorf("lines of the patch: %s", lines)
	}
	rows, err := csv.NewReader(strings.NewReader(l.get(t, page+"?export=csv", http.StatusOK).source)).ReadAll()
	must(t, err)
	if !slices.ContainsFunc(rows, func(r []string) bool {
		return strings.Contains(r[1], "somaxconn") && r[2] == `server tab-node-1, patch "own"`
	}) {
		t.Error("the export lacks who set a line")
	}
	silent := l.get(t, page+"?running=true", http.StatusOK)
	silent.has(t, "The node did not say what it runs", "Below is what the records give it", "net.core.somaxconn")

	r, err := l.browser.PostForm(l.server.URL+"/servers/"+s.ID+"/machine-config", nil)
	file := l.read(t, r, err, http.StatusOK)
	if !strings.Contains(file.source, "hunter2hunter2") || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the download: %v", file.header)
	}
	l.get(t, "/servers/"+s.ID+"/events", http.StatusOK).has(t, "shown with secrets")
}

func TestAConfigThatCannotBeMadeSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	l.get(t, "/servers/server-1/config", http.StatusOK).has(t, "Its machine config cannot be made", "A server is not installed like this")
	l.get(t, "/servers/server-0/config", http.StatusOK).has(t, "It has no machine config", "Assign it to a cluster")
}

func TestAServersOwnPatchAndVariablesAreChangedOnItsPage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "used-1")
	at := "/servers/" + s.ID + "/config"
	const patch = "machine:\n  sysctls:\n    vm.swappiness: \"1\"\n"
	get := func() *page { return l.get(t, at, http.StatusOK) }
	p := l.submit(t, get(), at+"/patch", url.Values{"patch": {patch}, "why": {"it swaps"}}, http.StatusOK)
	p.has(t, "Its patch is saved", "vm.swappiness", "it swaps", `server used-1, patch "own"`)
	p = l.submit(t, p, at+"/patch", one("patch", "machine:\n  nonsense: true\n"), http.StatusUnprocessableEntity)
	if p.has(t, "nonsense"); !strings.Contains(fieldsOf(p.form(t, at+"/patch")).Get("patch"), "nonsense: true") {
		t.Error("what was typed is gone")
	}
	stale := get()
	l.submit(t, get(), at+"/patch", one("patch", patch+"    vm.dirty_ratio: \"5\"\n"), http.StatusOK)
	l.submit(t, stale, at+"/patch", one("patch", patch), http.StatusConflict)

	l.submit(t, get(), at+"/patch", url.Values{"patch": {"machine:\n  sysctls:\n    vm.swappiness: \"60\"\n"}, "draft": {"true"}}, http.StatusOK).has(t, "kept as a draft", "There is a draft that is not in effect")
	l.submit(t, get(), at+"/publish", nil, http.StatusOK).has(t, "The draft is in effect in the records", `vm.swappiness: "60"`)
	l.submit(t, get(), at+"/patch", url.Values{"patch": {""}, "draft": {"true"}}, http.StatusOK)
	l.submit(t, get(), at+"/discard", nil, http.StatusOK).has(t, "The draft was thrown away", `vm.swappiness: "60"`)

	p = l.submit(t, get(), at+"/variable", url.Values{"name": {"zone"}, "value": {"b"}}, http.StatusOK)
	p.has(t, "Variable zone is set", "Take zone away")
	l.submit(t, p, at+"/variable/remove", nil, http.StatusOK).has(t, "Variable zone is gone")
	l.submit(t, get(), at+"/variable", url.Values{"name": {"hostname"}, "value": {"b"}}, http.StatusUnprocessableEntity).has(t, "is built in")
}

func TestAServerThatWasAddedByHandIsLookedAtMovedAndForgotten(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "rack-70")
	page := "/servers/" + s.ID
	l.submit(t, l.get(t, page, http.StatusOK), page+"/probe", nil, http.StatusOK).has(t, "192.0.2.70", "rescue system")
	p := l.submit(t, l.get(t, page, http.StatusOK), page+"/move", one("address", "rack-70.example.com"), http.StatusUnprocessableEntity)
	if p.has(t, "is no address"); fieldsOf(p.form(t, page+"/move")).Get("address") != "rack-70.example.com" {
		t.Error("what was typed is gone")
	}
	l.submit(t, p, page+"/move", one("address", "192.0.2.71"), http.StatusOK).has(t, "rack-70 is reached at 192.0.2.71:22 now", "SSH at 192.0.2.71:22")
	l.submit(t, l.get(t, page, http.StatusOK), page+"/remove", one("confirm", "rack-7"), http.StatusUnprocessableEntity).has(t, "its name was not typed")
	if p = l.submit(t, l.get(t, page, http.StatusOK), page+"/remove", one("confirm", "rack-70"), http.StatusOK); p.path != "/servers" {
		t.Errorf("led to %s", p.path)
	}
	l.get(t, page, http.StatusNotFound)
	if l.get(t, "/servers/"+l.serverNamed(t, "board-1").ID, http.StatusOK).hasForm("/servers/" + l.serverNamed(t, "board-1").ID + "/remove") {
		t.Error("a server that its account lists can be forgotten")
	}
}

func TestAServerIsMovedToAVSwitch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "board-1")
	page := "/servers/" + s.ID
	p := l.get(t, page, http.StatusOK)
	all, err := l.store.VSwitches(t.Context(), s.AccountID)
	must(t, err)
	l.submit(t, p, page+"/vswitch", one("vswitch", all[1].ID), http.StatusOK).has(t, "Robot is asked to change its vSwitch", "Move to another vSwitch has this server now")
	if op := l.operationsOf(t, "board-1"); len(op) != 1 || op[0].Kind != "server.vswitch" {
		t.Errorf("operations %+v", op)
	}
}

func TestWhatWasDoneToAServerIsListedOverPages(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s, other := l.serverNamed(t, "board-1"), l.serverNamed(t, "used-1")
	over := workflow.Change{State: fleet.Succeeded, Finished: ptr(time.Now()), Release: true}
	for range 55 {
		l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: s.ID}, over)
	}
	l.operation(t, fleet.Operation{Kind: "server.vswitch", ServerID: other.ID}, over)
	for i := range 55 {
		_, err := l.store.AddEvent(t.Context(), fleet.Event{Actor: "ada", Verb: "server.rename", Subject: "server", TargetID: s.ID, Text: fmt.Sprintf("rename %d of it", i)})
		must(t, err)
	}
	page := "/servers/" + s.ID
	for path, rows := range map[string]int{"/operations": 55, "/events": 55} {
		p := l.get(t, page+path, http.StatusOK)
		if got := len(p.tags("tr")) - 1; got != 50 {
			t.Errorf("%s: %d rows on the first page", path, got)
		}
		p.hasNot(t, "Move to another vSwitch")
		next := ""
		for _, a := range p.tags("a") {
			if attr(a, "rel") == "next" {
				next = attr(a, "href")
			}
		}
		if got := len(l.get(t, next, http.StatusOK).tags("tr")) - 1; got != rows-50 {
			t.Errorf("%s: %d rows on the second page", next, got)
		}
		all, err := csv.NewReader(strings.NewReader(l.get(t, page+path+"?export=csv", http.StatusOK).source)).ReadAll()
		if err != nil || len(all) != rows+1 {
			t.Errorf("%s: %d rows exported, %v", path, len(all), err)
		}
	}
	l.get(t, page+"/events?search=rename+7+of", http.StatusOK).has(t, "rename 7 of it")
	l.get(t, page+"/events?search=nothing", http.StatusOK).has(t, "No event matches", "Show all of this server")
}

func TestAChangeReachesTheTabsOfAServer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	s := l.serverNamed(t, "board-1")
	page := "/servers/" + s.ID
	events := l.listen(t, l.get(t, page+"/operations", http.StatusOK))
	l.operation(t, fleet.Operation{Kind: "server.rescue", ServerID: s.ID}, workflow.Change{State: fleet.Running})
	if e, _ := await(t, events, "patch", "Boot the rescue system</a>"); rootID(t, e) != "server-history" {
		t.Errorf("patched %s", rootID(t, e))
	}
	events = l.listen(t, l.get(t, page+"/events", http.StatusOK))
	_, err := l.store.AddEvent(t.Context(), fleet.Event{Actor: "ada", Verb: "server.rename", Subject: "server", TargetID: s.ID, Text: "renamed just now"})
	must(t, err)
	await(t, events, "patch", "renamed just now")
	for _, tab := range []string{"", "/config", "/operations", "/events"} {
		for _, name := range []string{"used-1", "tab-node-1"} {
			p := l.get(t, "/servers/"+l.serverNamed(t, name).ID+tab, http.StatusOK)
			select {
			case e := <-l.listen(t, p):
				t.Errorf("%s of %s: %v", tab, name, e)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// What the foot of a page says to type works as it stands there.
func TestTheCommandsOfAServerNameItAsAShellNeedsIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.ofItsOwn(t, "odd", "it's a box")
	s := l.serverNamed(t, "it's a box")
	l.get(t, "/servers/"+s.ID, http.StatusOK).has(t, `talos-manager server show 'it'\''s a box'`, "GET /api/v1/servers/"+s.ID)
}

// A control plane is let go only by its name, and where etcd may count it, only when somebody says that it left.
func TestANodeIsReleasedByItsNameInABrowser(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serverData(t)
	c, err := l.store.Cluster(t.Context(), "tabs")
	must(t, err)
	s := l.serverNamed(t, "tab-node-1")
	_, err = l.store.ClaimBootstrap(t.Context(), c.ID, s.ID)
	must(t, err)
	must(t, l.store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
	b := l.tab(t, webtest.Options{}, "/servers/"+s.ID)
	release := func(name string, force bool) {
		t.Helper()
		b.Until("the panel is closed or open", "document.querySelector('#panel-release')")
		if !webtest.Eval[bool](b, "document.querySelector('#panel-release').open") {
			b.Press("Take out of the cluster")
		}
		if force {
			b.Click("#panel-release input[name=force]")
		}
		b.Type("#release-confirm", name)
		b.Press("Take tab-node-1 out of tabs")
	}
	release("tab-node-2", false)
	b.Says("its name was not typed")
	release("tab-node-1", false)
	b.Says("etcd counts it as a member until it leaves")
	release("tab-node-1", true)
	b.Says("tab-node-1 belongs to no cluster now")
	if l.serverNamed(t, "tab-node-1").Assignment.Assigned() {
		t.Error("it is in its cluster still")
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "server.assign", TargetID: s.ID})
	must(t, err)
	if len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
}
