package web_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/web/webtest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// wizardLab has four free servers: of two the disks are known, and one holds data.
func wizardLab(t testing.TB) (l *lab, plane, worker fleet.Server) {
	t.Helper()
	l = newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1", "worker-1", "control-plane-2", "worker-2")
	for _, name := range []string{"control-plane-1", "worker-1"} {
		must(t, l.store.SetFacts(t.Context(), l.serverNamed(t, name).ID, diskFacts(name)))
	}
	return l, l.serverNamed(t, "control-plane-1"), l.serverNamed(t, "worker-1")
}

// diskFacts are of a machine with a disk full of data, and a blank one.
func diskFacts(name string) fleet.Facts {
	f := someFacts(len(name))
	f.Serial = name
	f.Disks[0].Serial, f.Disks[1].Serial = "DATA-"+name, "BLANK-"+name
	f.Disks[0].Partitions = []fleet.Partition{
		{Number: 1, Name: "nvme0n1p1", Label: "boot", Type: fleet.TypeEFI, FSType: "vfat", SizeBytes: 1e9},
		{Number: 2, Name: "nvme0n1p2", Label: "accounts", FSType: "ext4", SizeBytes: 400e9},
	}
	return f
}

func servers(path string, all ...fleet.Server) string {
	q := url.Values{}
	for _, s := range all {
		q.Add("server", s.ID)
	}
	return path + "?" + q.Encode()
}

// The whole way without JavaScript: choose, make a cluster in place, roles, disks, boot, plan, installs.
func TestTheWizardLeadsFromFreeServersToInstalls(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	p := l.get(t, "/install", http.StatusOK)
	p.has(t, "Which servers is Talos to be installed on?", "control-plane-1", "worker-2")
	p = l.get(t, servers("/install", plane, worker), http.StatusOK)
	p.has(t, "Install Talos on 2 servers", "Create a cluster here")
	if f := fieldsOf(p.form(t, "/install/cluster")); f.Get("endpoint") != "https://"+plane.IPv4+":6443" {
		t.Errorf("the endpoint that is proposed: %q", f.Get("endpoint"))
	}
	refused := l.submit(t, p, "/install/cluster", url.Values{"name": {"Not a name"}, "privateNetwork": {"10.0.0.0/24"}}, http.StatusUnprocessableEntity)
	if f := fieldsOf(refused.form(t, "/install/cluster")); f.Get("name") != "Not a name" || len(f["server"]) != 2 {
		t.Errorf("what was typed is gone: %v", f)
	}
	p = l.submit(t, refused, "/install/cluster", url.Values{"name": {"prod"}}, http.StatusOK)
	p.has(t, "Created prod", "10.0.0.0/24", "not bootstrapped")
	proposed := fieldsOf(p.form(t, "/install/roles"))
	if proposed.Get("role-"+plane.ID) != "controlplane" || proposed.Get("role-"+worker.ID) != "worker" || proposed.Get("privateIP-"+worker.ID) != "10.0.0.3" || proposed.Get("hostname-"+worker.ID) != "worker-1" {
		t.Errorf("proposed: %v", proposed)
	}
	bad := url.Values{"privateIP-" + worker.ID: {"192.0.2.1"}, "hostname-" + worker.ID: {"w-1"}}
	p = l.submit(t, p, "/install/roles", bad, http.StatusUnprocessableEntity)
	p.has(t, "1 of 2 servers accepted; worker-1 refused", "is not in the private network 10.0.0.0/24")
	if again := fieldsOf(p.form(t, "/install/roles")); again.Get("privateIP-"+worker.ID) != "192.0.2.1" || again.Get("hostname-"+worker.ID) != "w-1" {
		t.Errorf("what was typed is gone: %v", again)
	}
	p = l.submit(t, p, "/install/roles", one("privateIP-"+worker.ID, "10.0.0.9"), http.StatusOK)
	if a := l.serverNamed(t, "worker-1").Assignment; a.PrivateIP != "10.0.0.9" || a.Hostname != "w-1" || a.Role != fleet.Worker {
		t.Errorf("assigned: %+v", a)
	}
	p.has(t, "no machine was touched", "What may be overwritten", "accounts 400 GB ext4", "serial BLANK-worker-1")
	disks := l.serverNamed(t, "worker-1").Facts.Disks
	p = l.submit(t, p, "/install/disks", url.Values{"disk-" + worker.ID: {disks[1].ID()}, "disk-" + plane.ID: {disks[0].ID()}}, http.StatusUnprocessableEntity)
	p.has(t, "control-plane-1 had no disk")
	own := l.serverNamed(t, "control-plane-1").Facts.Disks
	p = l.submit(t, p, "/install/disks", one("disk-"+plane.ID, own[0].ID()), http.StatusOK)
	p.has(t, "How the config gets there", "Keep the addresses of the rescue system")
	p = l.submit(t, p, "/install/plan", url.Values{"delivery": {"push"}, "viaManager": {"true"}}, http.StatusOK)
	p.has(t, "2 servers done in", "Boot the rescue system", "robot POST /reset of robot: 1 call needed", "It stops and asks before it touches DATA-control-plane-1", "Nothing is lost", "write-image.sh")
	if f := fieldsOf(p.form(t, "/install/start")); f.Get("delivery") != "push" || f.Get("viaManager") != "true" || f.Get("policy") != "clean-only" {
		t.Errorf("what was chosen on the way is not sent: %v", f)
	}
	p = l.submit(t, p, "/install/start", nil, http.StatusOK)
	p.has(t, "Installing Talos on 2 servers", "2 under way", "control-plane-1", "worker-1", "Etcd of prod")
	if !strings.HasPrefix(p.path, "/installs?operation=") || len(l.operationsOf(t, "worker-1")) != 1 {
		t.Errorf("led to %s", p.path)
	}
}

// inCluster has the servers belong to a new cluster, each with its first disk.
func (l *lab) inCluster(t testing.TB, all ...fleet.Server) {
	t.Helper()
	_, err := l.browser.PostForm(l.server.URL+"/install/cluster", url.Values{"name": {"prod"}, "endpoint": {"https://198.51.100.7:6443"}, "server": {all[0].ID}})
	must(t, err)
	c, err := l.store.Cluster(t.Context(), "prod")
	must(t, err)
	for i, s := range all {
		role := fleet.Worker
		if i == 0 {
			role = fleet.ControlPlane
		}
		a := fleet.Assignment{ClusterID: c.ID, Role: role}
		if s = l.serverNamed(t, s.Name); len(s.Facts.Disks) > 0 {
			a.InstallDisk = s.Facts.Disks[0].ID()
		}
		_, err := l.store.Assign(t.Context(), s.ID, a)
		must(t, err)
	}
}

func TestThreeOfFiveInstallsAreAccepted(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	l.inCluster(t, plane, worker)
	free := l.serverNamed(t, "worker-2")
	p := l.get(t, servers("/install/plan", plane, worker, free), http.StatusOK)
	p.has(t, "Install Talos on 2 servers", "Left out", "server worker-2 belongs to no cluster", "1 server left out")
	form := fieldsOf(p.form(t, "/install/start"))
	form["server"] = append(form["server"], free.ID)
	form.Set("sha256", strings.Repeat("a", 64))
	r, err := l.browser.PostForm(l.server.URL+"/install/start", form)
	p = l.read(t, r, err, http.StatusUnprocessableEntity)
	p.has(t, "2 of 3 servers accepted; worker-2 refused: server worker-2 belongs to no cluster", "2 installs began", "Look at it")
	p.hasNot(t, "worker-1 belongs")
	for name, want := range map[string]int{"control-plane-1": 1, "worker-1": 1, "worker-2": 0, "control-plane-2": 0} {
		if n := len(l.operationsOf(t, name)); n != want {
			t.Errorf("%s has %d operations, want %d", name, n, want)
		}
	}
	// Nothing of what was typed is lost, and the next order leads to all of the installs.
	if !strings.Contains(p.source, "sha256="+strings.Repeat("a", 64)) {
		t.Error("the checksum is gone")
	}
	c, err := l.store.Cluster(t.Context(), "prod")
	must(t, err)
	_, err = l.store.Assign(t.Context(), free.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker})
	must(t, err)
	form["server"], form["started"] = []string{free.ID}, []string{l.operationsOf(t, "worker-1")[0].ID}
	r, err = l.browser.PostForm(l.server.URL+"/install/start", form)
	l.read(t, r, err, http.StatusOK).has(t, "2 under way", "worker-1", "worker-2")
}

// What is no checksum leads back to the step where it was typed, and begins nothing.
func TestAChecksumIsLookedAtBeforeAnInstall(t *testing.T) {
	t.Parallel()
	l, plane, _ := wizardLab(t)
	l.inCluster(t, plane)
	p := l.submit(t, l.get(t, servers("/install/boot", plane), http.StatusOK), "/install/plan", one("sha256", "abc123"), http.StatusOK)
	p.has(t, `SHA-256 of the image "abc123" is not 64 hex digits`, "sha256sum FILE", "How the config gets there")
	if got := fieldsOf(p.form(t, "/install/plan")).Get("sha256"); got != "abc123" {
		t.Errorf("what was typed is gone: %q", got)
	}
	plan := l.submit(t, p, "/install/plan", one("sha256", strings.Repeat("A", 64)), http.StatusOK)
	plan.has(t, "Install Talos on 1 server")
	l.submit(t, plan, "/install/start", one("sha256", "abc123"), http.StatusUnprocessableEntity).has(t, "is not 64 hex digits")
	if n := len(l.operationsOf(t, plane.Name)); n != 0 {
		t.Errorf("%d operations began", n)
	}
}

// More servers than a plan can show are refused before it is reckoned.
func TestAPlanForTooManyServersIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var refs []string
	for i := range 201 {
		refs = append(refs, "server-"+strconv.Itoa(i))
	}
	r, err := l.browser.Get(l.server.URL + "/install/plan?" + url.Values{"server": refs}.Encode())
	l.read(t, r, err, http.StatusUnprocessableEntity).has(t, "nstall Talos on 201 servers", "200 that are planned at once", "hoose fewer of them")
}

// Two tabs, one wizard: what is sent twice is begun once.
func TestAWizardThatIsSentTwiceInstallsOnce(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	l.inCluster(t, plane, worker)
	first := l.get(t, servers("/install/plan", plane, worker), http.StatusOK)
	second := l.get(t, servers("/install/plan", plane, worker), http.StatusOK)
	l.submit(t, first, "/install/start", nil, http.StatusOK)
	p := l.submit(t, second, "/install/start", nil, http.StatusConflict)
	p.has(t, "Talos is being installed on control-plane-1 already: admin asked for it just now", "it is not begun a second time", "Left out: 2 servers", "look at it")
	if n := len(l.operationsOf(t, "worker-1")); n != 1 {
		t.Errorf("worker-1 has %d installs", n)
	}
	r, err := l.browser.PostForm(l.server.URL+"/install/start", nil)
	l.read(t, r, err, http.StatusUnprocessableEntity).has(t, "No server was chosen")
}

func TestOverwritingWantsTheNamesOfTheServers(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	unread := l.serverNamed(t, "worker-2")
	l.inCluster(t, plane, worker, unread)
	path := servers("/install/plan", plane, worker, unread) + "&policy=wipe-all"
	p := l.get(t, path, http.StatusOK)
	p.has(t, "Everything on DATA-worker-1 is lost without a question", "Its disks are not known yet. Whatever is on the one that is chosen is lost", "Type control-plane-1 worker-1 worker-2 to go on")
	p = l.submit(t, p, "/install/start", one("confirm", "control-plane-1 worker-1"), http.StatusUnprocessableEntity)
	p.has(t, "Overwrite the disk of server worker-2: its name was not typed")
	if f := fieldsOf(p.form(t, "/install/start")); f.Get("confirm") != "control-plane-1 worker-1" || f.Get("policy") != "wipe-all" || len(f["server"]) != 3 {
		t.Errorf("what was typed is gone: %v", f)
	}
	if n := len(l.operationsOf(t, "worker-1")); n != 0 {
		t.Fatalf("%d installs began all the same", n)
	}
	l.submit(t, p, "/install/start", one("confirm", "worker-2, worker-1 control-plane-1"), http.StatusOK).has(t, "Installing Talos on 3 servers")
	// A blank disk needs no name.
	l2, plane, worker := wizardLab(t)
	l2.inCluster(t, plane, worker)
	c, err := l2.store.Cluster(t.Context(), "prod")
	must(t, err)
	for _, s := range []fleet.Server{plane, worker} {
		_, err := l2.store.Assign(t.Context(), s.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.ControlPlane, InstallDisk: l2.serverNamed(t, s.Name).Facts.Disks[1].ID()})
		must(t, err)
	}
	l2.get(t, servers("/install/plan", plane, worker)+"&policy=clean-only", http.StatusOK).hasNot(t, "to go on")
}

func TestServersThatCannotBeInstalledOnAreLeftOut(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	var all []fleet.Server
	for _, name := range []string{"server-3", "server-2", "server-6", "server-0"} {
		all = append(all, l.serverNamed(t, name))
	}
	missing, err := l.store.Servers(t.Context(), store.ServerFilter{IncludeMissing: true, Search: "server-7"})
	must(t, err)
	p := l.get(t, servers("/install", append(all, missing...)...), http.StatusOK)
	p.has(t, "Install Talos on 2 servers", "Left out: 3 servers", "server-3 : It runs as a node", "server-2 : Talos is being installed on it already, asked for by admin", "server-7 : Its account does not list it any more")
	l.get(t, "/install/disks?server="+all[2].ID, http.StatusOK).has(t, "1 server without a cluster", "Choose the cluster and roles")
}

// Disks that nobody has read are said to be unknown, with the ways out: the rescue system, or a rule.
func TestUnknownDisksAreSaidToBe(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	unread := l.serverNamed(t, "worker-2")
	l.inCluster(t, plane, worker, unread)
	p := l.get(t, servers("/install/disks", worker, unread), http.StatusOK)
	p.has(t, "The disks of 1 server are not known yet", "Boot the rescue system on 1 server", "a rule")
	p = l.submit(t, p, "/install/disks", url.Values{"rule": {"rule:biggest"}}, http.StatusUnprocessableEntity)
	p.has(t, `"biggest" is no condition`)
	if f := fieldsOf(p.form(t, "/install/disks")); f.Get("rule") != "rule:biggest" {
		t.Errorf("the rule is gone: %v", f)
	}
	l.submit(t, p, "/install/disks", url.Values{"rule": {"rule:largest"}, "policy": {"wipe-ours"}}, http.StatusOK)
	for _, name := range []string{"worker-1", "worker-2"} {
		if got := l.serverNamed(t, name).Assignment.InstallDisk; got != "rule:largest" {
			t.Errorf("%s: %q", name, got)
		}
	}
	p = l.get(t, servers("/install/disks", worker, unread), http.StatusOK)
	if f := fieldsOf(p.form(t, "/install/disks")); f.Get("disk-"+worker.ID) != "rule" || f.Get("rule-"+worker.ID) != "rule:largest" || f.Get("disk-"+unread.ID) != "rule:largest" {
		t.Errorf("the choice does not show the rule: %v", f)
	}
}

func TestADryRunShowsNoSecrets(t *testing.T) {
	t.Parallel()
	l, plane, _ := wizardLab(t)
	l.inCluster(t, plane)
	l.app.Operations.Images = map[fleet.Architecture]string{fleet.AMD64: "https://me:hunter2hunter@images.example.com/talos.raw.zst?key=sesame-sesame"}
	for _, more := range []string{"", "&viaManager=true", "&delivery=push"} {
		p := l.get(t, servers("/install/plan", plane)+more, http.StatusOK)
		p.has(t, "write-image.sh")
		if more != "&viaManager=true" {
			p.has(t, "https://images.example.com/talos.raw.zst")
		}
		for _, secret := range []string{"hunter2hunter", "sesame-sesame", "/base64/aHR0"} {
			if strings.Contains(p.source, secret) {
				t.Errorf("%s shows %s", p.path, secret)
			}
		}
	}
}

// Installs side by side: what one asks is answered there, and one that stopped is taken up again.
func TestInstallsAreAnsweredSideBySide(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	var ids []string
	for _, name := range []string{"server-1", "server-2", "server-3", "server-5"} {
		ids = append(ids, l.operationsOf(t, name)[0].ID)
	}
	path := "/installs?" + url.Values{"operation": ids}.Encode()
	p := l.get(t, path, http.StatusOK)
	p.has(t, "1 asking", "2 stopped", "1 under way", "Waiting for the image to be written", "500 MB of 1 GB", "To go on, answer with S123", "Etcd of prod")
	asking := url.Values{"form": {"answer-" + ids[1]}, "asking": {ids[1]}, "operation": ids}
	r, err := l.browser.PostForm(l.server.URL+"/installs/answer", asking)
	l.read(t, r, err, http.StatusUnprocessableEntity).has(t, "No answer was given", "1 asking", "server-1")
	asking.Set("answer", "S123")
	r, err = l.browser.PostForm(l.server.URL+"/installs/answer", asking)
	if p = l.read(t, r, err, http.StatusOK); p.path != path {
		t.Errorf("answering led to %s", p.path)
	}
	if op, err := l.store.Operation(t.Context(), ids[1]); err != nil || op.Answer != "S123" {
		t.Errorf("answered %q, %v", op.Answer, err)
	}
	r, err = l.browser.PostForm(l.server.URL+"/installs/retry", url.Values{"again": {ids[2]}, "operation": ids})
	l.read(t, r, err, http.StatusPreconditionFailed).has(t, "Server server-3 is a node of its cluster already", "server-1")
	r, err = l.browser.PostForm(l.server.URL+"/installs/retry", url.Values{"again": {ids[3]}, "operation": ids})
	l.read(t, r, err, http.StatusOK).has(t, "It is tried again")
	if op, err := l.store.Operation(t.Context(), ids[3]); err != nil || op.State.Final() {
		t.Errorf("it is %s, %v", op.State, err)
	}
	l.get(t, "/installs?operation=nobody", http.StatusNotFound)
	l.get(t, "/installs", http.StatusOK).has(t, "server-1", "server-4")
}

func TestAServerIsAddedByHand(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.get(t, "/servers/add", http.StatusOK)
	p.has(t, "What it needs", "ssh-ed25519")
	p = l.submit(t, p, "/servers/add", url.Values{"name": {"rack-7"}, "address": {"rack-7.example.com"}}, http.StatusUnprocessableEntity)
	if f := fieldsOf(p.form(t, "/servers/add")); f.Get("name") != "rack-7" || f.Get("address") != "rack-7.example.com" {
		t.Errorf("what was typed is gone: %v", f)
	}
	p = l.submit(t, p, "/servers/add", url.Values{"address": {"198.51.100.77"}, "architecture": {"arm64"}}, http.StatusOK)
	s := l.serverNamed(t, "rack-7")
	p.has(t, "Added rack-7", "198.51.100.77", "not known yet", "Look at what answers there")
	if s.Provider != fleet.Manual || s.Architecture != fleet.ARM64 || p.path != "/servers/add?server="+s.ID {
		t.Errorf("%+v at %s", s, p.path)
	}
	l.submit(t, p, "/servers/add/probe", nil, http.StatusOK).has(t, "198.51.100.77")
	l.accounts(t)
	l.rent(t, "rented")
	l.get(t, "/servers/add?server="+l.serverNamed(t, "rented").ID, http.StatusUnprocessableEntity)
}

// By clicks: from two free servers to the plan, where the disk policy shows what it does, and to the installs.
func TestTwoServersAreInstalledByClicks(t *testing.T) {
	t.Parallel()
	l, plane, worker := wizardLab(t)
	b := l.tab(t, webtest.Options{}, "/install")
	b.Click(`input[name=server][value="` + plane.ID + `"]`)
	b.Click(`input[name=server][value="` + worker.ID + `"]`)
	b.Press("Go on with these")
	b.Says("Create a cluster here")
	b.Type("#wizard-new-name", "prod")
	b.Press("Create the cluster and go on")
	b.Press("Go on to the disks")
	b.Says("What may be overwritten without asking")
	for _, s := range []fleet.Server{plane, worker} {
		b.Click(`input[name="disk-` + s.ID + `"][value="` + l.serverNamed(t, s.Name).Facts.Disks[0].ID() + `"]`)
	}
	b.Says("It stops and asks before it touches DATA-worker-1")
	b.Click("input[value=wipe-all]")
	b.Says("Everything on DATA-worker-1 is lost without a question")
	b.Until("what the other policies do is hidden", `!document.body.innerText.includes("It stops and asks before it touches DATA-worker-1")`)
	b.Press("Go on to boot and config")
	b.Press("Show the plan")
	b.Says("2 servers done in", "Everything on DATA-worker-1 is lost without a question")
	b.Type("#start-confirm", "control-plane-1 worker-1")
	b.Click("#start button.danger")
	b.Says("2 under way", "Queued")
	op := l.operationsOf(t, "worker-1")[0]
	l.change(t, op.ID, workflow.Change{
		State: fleet.Asking, Step: ptr("choose the disk"), Question: ptr("To go on, answer with S9"), Release: true,
		Steps: []fleet.OperationStep{{Name: "check the records", State: fleet.Succeeded, StartedAt: time.Now(), FinishedAt: time.Now()}, {Name: "choose the disk", State: fleet.Asking, StartedAt: time.Now()}},
	})
	b.Says("1 asking", "To go on, answer with S9")
	b.Type("#answer-"+op.ID, "S9")
	b.Press("Answer and go on")
	b.Says("Answered")
}
