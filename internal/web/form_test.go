package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/store"
)

func one(name, value string) url.Values { return url.Values{name: {value}} }

// The way from nothing to installs under way, by forms alone.
func TestTheFirstClusterIsMadeByFormsAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.sim.AddDedicated(robotUser, "control-plane-1")
	l.sim.AddCloud(cloudToken, "worker-1")

	p := l.get(t, "/accounts", http.StatusOK)
	p = l.submit(t, p, "/accounts", url.Values{"name": {"robot"}, "provider": {"hetzner_robot"}, "user": {robotUser}, "password": {robotPassword}}, http.StatusOK)
	p.has(t, "Added robot: it lists 1 server")
	p = l.submit(t, p, "/accounts", url.Values{"name": {"cloud"}, "provider": {"hetzner_cloud"}, "token": {cloudToken}}, http.StatusOK)
	p.has(t, "Added cloud: it lists 1 server")
	l.get(t, "/", http.StatusOK).has(t, "2 servers known", "Create a cluster")

	p = l.get(t, "/clusters", http.StatusOK)
	if endpoint := fieldsOf(p.form(t, "/clusters")).Get("endpoint"); !strings.HasPrefix(endpoint, "https://") {
		t.Errorf("no endpoint is proposed, though a server is named control-plane-1: %q", endpoint)
	}
	p = l.submit(t, p, "/clusters", url.Values{"name": {"prod"}}, http.StatusOK)
	p.has(t, "Created prod", "Choose servers")
	if again := l.get(t, p.path, http.StatusOK); strings.Contains(again.text(), "Created prod: assign") {
		t.Error("what was done is said twice")
	}
	cluster, err := l.store.Cluster(t.Context(), "prod")
	must(t, err)

	for name, role := range map[string]fleet.Role{"control-plane-1": fleet.ControlPlane, "worker-1": fleet.Worker} {
		s := l.serverNamed(t, name)
		p = l.submit(t, l.get(t, "/servers/"+s.ID, http.StatusOK), "/servers/"+s.ID+"/assign", one("cluster", cluster.ID), http.StatusOK)
		p.has(t, "is to be a", "Not installed", "Install Talos on "+name)
		if a := l.serverNamed(t, name).Assignment; a.Role != role || a.ClusterID != cluster.ID {
			t.Errorf("%s: %+v", name, a)
		}
	}
	p = l.get(t, "/install/plan?server="+l.serverNamed(t, "control-plane-1").ID+"&server="+l.serverNamed(t, "worker-1").ID, http.StatusOK)
	p.has(t, "Install Talos on 2 servers", "What is lost", "Control plane · prod", "an install stops before it, and asks")
	l.submit(t, p, "/install/start", nil, http.StatusOK).has(t, "Installing Talos on 2 servers", "Queued", "Etcd of prod")
	l.get(t, "/", http.StatusOK).has(t, "3 operations running")
}

func TestARefusedFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.submit(t, l.get(t, "/accounts", http.StatusOK), "/accounts",
		url.Values{"name": {"my robot"}, "provider": {"hetzner_cloud"}, "token": {cloudToken}}, http.StatusUnprocessableEntity)
	p.has(t, `Account name "my robot" is not a DNS label`, "use 1 to 63 of a-z")
	form := fieldsOf(p.form(t, "/accounts"))
	if form.Get("name") != "my robot" || form.Get("provider") != "hetzner_cloud" {
		t.Errorf("what was typed is gone: %v", form)
	}
	if strings.Contains(p.source, cloudToken) {
		t.Error("the token is written into the page")
	}
	p = l.submit(t, p, "/accounts", url.Values{"name": {"robot"}, "provider": {"hetzner_robot"}, "user": {robotUser}, "password": {"wrong-password"}}, http.StatusUnauthorized)
	if p.has(t, "robot"); strings.Contains(p.source, "wrong-password") {
		t.Error("the password is written into the page")
	}
	p = l.submit(t, l.get(t, "/clusters", http.StatusOK), "/clusters",
		url.Values{"name": {"prod"}, "endpoint": {"api.example.com"}, "secrets": {"very: secret"}}, http.StatusUnprocessableEntity)
	p.has(t, `endpoint "api.example.com"`, "write it as https://HOST:6443")
	if strings.Contains(p.source, "very: secret") || fieldsOf(p.form(t, "/clusters")).Get("name") != "prod" {
		t.Error("secrets are shown, or what was typed is not")
	}
}

func TestWhatLosesSomethingWantsItsName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	node := l.serverNamed(t, "server-3")
	empty, err := l.store.Cluster(t.Context(), "empty")
	must(t, err)
	l.rent(t, "spare") // and the account works again
	cloud, err := l.store.CreateAccount(t.Context(), fleet.Account{Name: "unused", Provider: fleet.HetznerCloud, Token: cloudToken})
	must(t, err)
	for _, c := range []struct {
		reason, page, action, name string
		fill                       url.Values
		done                       string
	}{
		{"a node leaves its cluster", "/servers/" + node.ID, "/servers/" + node.ID + "/release", "server-3", nil, "server-3 belongs to no cluster now"},
		{"a cluster's secrets are forgotten", "/clusters/" + empty.ID, "/clusters/" + empty.ID + "/delete", "empty", nil, "Forgot cluster empty"},
		{"an account is forgotten", "/accounts", "/accounts/" + cloud.ID + "/remove", "unused", nil, "Forgot account unused"},
	} {
		for _, typed := range []string{"", "another"} {
			l.submit(t, l.get(t, c.page, http.StatusOK), c.action, one("confirm", typed), http.StatusUnprocessableEntity).
				has(t, "its name was not typed", "type "+c.name+" into the field")
		}
		p := l.get(t, c.page, http.StatusOK)
		if !strings.Contains(textOf(p.form(t, c.action)), "What is lost:") {
			t.Errorf("%s: the form does not say what is lost", c.reason)
		}
		l.submit(t, p, c.action, one("confirm", c.name), http.StatusOK).has(t, c.done)
	}
	if l.serverNamed(t, "server-3").Assignment.Assigned() {
		t.Error("server-3 is still in its cluster")
	}
}

func TestOverwritingUnaskedWantsTheServersName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1")
	l.assign(t, "control-plane-1", l.prod(t))
	s := l.serverNamed(t, "control-plane-1")
	page, action := "/servers/"+s.ID, "/servers/"+s.ID+"/install"
	l.get(t, page, http.StatusOK).has(t, "What is lost:", "What is on it is not known yet")
	for _, typed := range []string{"", "worker-1"} {
		l.submit(t, l.get(t, page, http.StatusOK), action, url.Values{"wipe": {"true"}, "confirm": {typed}}, http.StatusUnprocessableEntity).
			has(t, "Overwrite the disk of server control-plane-1: its name was not typed")
	}
	if n := len(l.operationsOf(t, s.Name)); n != 0 {
		t.Fatalf("%d operations were begun", n)
	}
	l.submit(t, l.get(t, page, http.StatusOK), action, url.Values{"wipe": {"true"}, "confirm": {s.Name}}, http.StatusOK).has(t, "Installing Talos on control-plane-1")
	op := l.operationsOf(t, s.Name)
	if len(op) != 1 || op[0].Actor != "admin" {
		t.Fatalf("operations: %+v", op)
	}
	p := l.get(t, page, http.StatusOK)
	if p.has(t, "Queued", "Cancel that operation to do something else"); p.hasForm(action) {
		t.Error("a second install is offered")
	}
}

func TestAnInstallIsOrderedAsItIsFilledIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1")
	l.assign(t, "control-plane-1", l.prod(t))
	s := l.serverNamed(t, "control-plane-1")
	page, action := "/servers/"+s.ID, "/servers/"+s.ID+"/install"
	l.get(t, page, http.StatusOK).has(t, "control-plane-1 is restarted by force into the rescue system; then")
	fill := url.Values{"boot": {"kexec"}, "delivery": {"push"}, "viaManager": {"true"}, "overrideUUID": {"true"}, "staticNetwork": {"true"}}
	l.submit(t, l.get(t, page, http.StatusOK), action, fill, http.StatusOK)
	op := l.operationsOf(t, s.Name)
	if len(op) != 1 {
		t.Fatalf("operations: %+v", op)
	}
	c, err := l.store.ClaimOperation(t.Context(), op[0].ID, "test", time.Now(), time.Minute)
	must(t, err)
	var got operation.InstallOptions
	must(t, json.Unmarshal(c.Input, &got))
	if want := (operation.InstallOptions{Boot: fleet.BootKexec, Delivery: fleet.Push, ViaManager: true, OverrideUUID: true, StaticNetwork: true}); got != want {
		t.Errorf("ordered was %+v, want %+v", got, want)
	}
}

// Nobody but a person starts the rescue system of a server that was added by hand.
func TestAServerThatWasAddedByHandIsNotSaidToBeRestarted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, err := l.store.CreateAccount(t.Context(), fleet.Account{Name: "manual", Provider: fleet.Manual})
	must(t, err)
	s, err := l.store.AddServer(t.Context(), fleet.Server{AccountID: a.ID, Provider: fleet.Manual, ProviderID: "192.0.2.10:22", Name: "rack-7", IPv4: "192.0.2.10", Architecture: fleet.AMD64})
	must(t, err)
	p := l.get(t, "/servers/"+s.ID, http.StatusOK)
	p.has(t, "SSH at 192.0.2.10:22", "rack-7 is waited for until somebody has booted its rescue system")
	p.hasNot(t, "by force")
}

func TestAServerIsAssignedByItsDisk(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1")
	cluster, s := l.prod(t), l.serverNamed(t, "control-plane-1")
	must(t, l.store.SetFacts(t.Context(), s.ID, someFacts(1)))
	page, action := "/servers/"+s.ID, "/servers/"+s.ID+"/assign"
	fill := url.Values{"cluster": {cluster.ID}, "role": {"worker"}, "hostname": {"node-1"}, "privateIP": {"10.0.1.1"}, "installDisk": {"naa.5000000000000001"}}
	l.submit(t, l.get(t, page, http.StatusOK), action, fill, http.StatusOK).has(t, "is to be a worker named node-1", "Talos goes here")
	want := fleet.Assignment{ClusterID: cluster.ID, Role: fleet.Worker, Hostname: "node-1", PrivateIP: "10.0.1.1", InstallDisk: "naa.5000000000000001"}
	if got := l.serverNamed(t, s.Name).Assignment; got != want {
		t.Errorf("assignment %+v, want %+v", got, want)
	}
	fill.Set("privateIP", "10.0.1.1/24")
	fill.Set("role", "controlplane")
	p := l.submit(t, l.get(t, page, http.StatusOK), action, fill, http.StatusUnprocessableEntity)
	p.has(t, "private address", "without a prefix length")
	if typed := fieldsOf(p.form(t, action)); typed.Get("privateIP") != "10.0.1.1/24" || typed.Get("role") != "controlplane" {
		t.Errorf("what was typed is gone: %v", typed)
	}
	if !hasAttr(p.byID("panel-assign"), "open") {
		t.Error("the panel with what was typed is closed")
	}
	l.get(t, page, http.StatusOK).has(t, "Talos is written to sda (4 TB, naa.5000000000000001 )")
	want.InstallDisk = "serial:WD456" // of a disk that has a WWID, too
	_, err := l.store.Assign(t.Context(), s.ID, want)
	must(t, err)
	l.get(t, page, http.StatusOK).has(t, "Talos is written to sda (4 TB, naa.5000000000000001 )")

	l.submit(t, l.get(t, page, http.StatusOK), "/servers/"+s.ID+"/rename", one("name", "db-1"), http.StatusOK).has(t, "It is named db-1")
	if l.serverNamed(t, "db-1").ID != s.ID {
		t.Error("another server was renamed")
	}
	l.submit(t, l.get(t, page, http.StatusOK), "/servers/"+s.ID+"/rescue", nil, http.StatusOK).has(t, "Booting the rescue system")
}

func TestQuestionsAreAnsweredAndOperationsStopped(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	asking, failed := l.operationsOf(t, "server-2")[0], l.operationsOf(t, "server-3")[0]
	p := l.get(t, "/operations/"+asking.ID, http.StatusOK)
	p.has(t, "It asks before it goes on", "is not blank: ext4. To go on, answer with S123", "Your answer")
	l.submit(t, p, "/operations/"+asking.ID+"/answer", one("answer", " "), http.StatusUnprocessableEntity).has(t, "No answer was given")
	l.submit(t, p, "/operations/"+asking.ID+"/answer", one("answer", " S123 "), http.StatusOK).has(t, "Answered")
	op, err := l.store.Operation(t.Context(), asking.ID)
	must(t, err)
	if op.Answer != "S123" || op.State == fleet.Asking {
		t.Errorf("answer %q, state %s", op.Answer, op.State)
	}
	p = l.get(t, "/operations/"+asking.ID, http.StatusOK)
	p.has(t, "What is lost:", "the old system on it is gone")
	p = l.submit(t, p, "/operations/"+asking.ID+"/cancel", nil, http.StatusOK)
	p.has(t, "Cancelled", "It was cancelled and tidies up")
	if p.hasForm("/operations/" + asking.ID + "/cancel") {
		t.Error("a cancelled operation can be cancelled")
	}
	p = l.get(t, "/operations/"+failed.ID, http.StatusOK)
	p.has(t, "It stopped at “write the image”", "Write the image: the disk is gone", "look at the server's disks")
	l.submit(t, p, "/operations/"+failed.ID+"/retry", nil, http.StatusPreconditionFailed).has(t, "is a node of its cluster already")
	must(t, l.store.SetState(t.Context(), failed.ServerID, fleet.Ready, fleet.Broken))
	l.submit(t, p, "/operations/"+failed.ID+"/retry", nil, http.StatusOK).has(t, "It is tried again")

	r, err := l.browser.Get(l.server.URL + "/operations/" + failed.ID + "/log.txt")
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	if !strings.Contains(string(text), "warn [choose the disk] its UUID was another\n") || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v\n%s", r.Header, text)
	}
}

func TestAccessToAClusterIsHandedOutAndNoted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	l.rent(t, "control-plane-1")
	cluster := l.prod(t)
	l.assign(t, "control-plane-1", cluster)
	if p := l.get(t, "/clusters/prod", http.StatusOK); p.hasForm("/clusters/" + cluster.ID + "/kubeconfig") {
		t.Error("a kubeconfig is offered before etcd is bootstrapped")
	}
	r, err := l.browser.PostForm(l.server.URL+"/clusters/"+cluster.ID+"/talosconfig", nil)
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	if !strings.Contains(string(text), "context: prod") || r.Header.Get("Content-Disposition") != `attachment; filename="prod-talosconfig.yaml"` {
		t.Errorf("%v\n%.200s", r.Header, text)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "cluster.talosconfig"})
	must(t, err)
	if len(events) != 1 || events[0].Actor != "admin" {
		t.Errorf("events %+v", events)
	}
	p := l.submit(t, l.get(t, "/clusters/prod", http.StatusOK), "/clusters/"+cluster.ID+"/bootstrap", nil, http.StatusOK)
	if p.has(t, "Bootstrapping etcd"); !strings.HasPrefix(p.path, "/operations/") {
		t.Errorf("led to %s", p.path)
	}
	l.get(t, "/clusters/prod", http.StatusOK).has(t, "Bootstrap is under way", "belongs to it: take it out first")
}

func TestAccountsAreCheckedAndSynced(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	robot, cloud := l.accounts(t)
	l.sim.AddDedicated(robotUser, "a-1")
	l.sim.AddCloud(cloudToken, "b-1")
	p := l.get(t, "/accounts", http.StatusOK)
	p.has(t, "Not synced")
	p = l.submit(t, p, "/accounts/"+robot.ID+"/check", nil, http.StatusOK)
	p.has(t, "The credentials of robot work")
	l.submit(t, p, "/accounts/"+cloud.ID+"/sync", nil, http.StatusOK).has(t, "cloud lists 1 server", "Works")
	p = l.get(t, "/servers", http.StatusOK)
	p.hasNot(t, "a-1")
	l.submit(t, p, "/servers/sync", nil, http.StatusOK).has(t, "Synced all accounts: 2 servers listed", "a-1", "b-1")

	cloud.Token = "wrong"
	must(t, l.store.UpdateAccount(t.Context(), cloud))
	l.submit(t, p, "/servers/sync", nil, http.StatusUnauthorized).has(t, "cloud", "a-1")
	p = l.get(t, "/accounts", http.StatusOK)
	p.has(t, "Problem")
	l.submit(t, p, "/accounts/"+cloud.ID+"/check", nil, http.StatusUnauthorized).has(t, "cloud")
	l.get(t, "/", http.StatusOK).has(t, "Account cloud", "Check the credentials")
}

func TestOtherSitesCannotSendForms(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.accounts(t)
	req, err := http.NewRequest(http.MethodPost, l.server.URL+"/servers/sync", nil)
	must(t, err)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	r, err := l.browser.Do(req)
	must(t, err)
	r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", r.Status)
	}
}

// prod makes a cluster.
func (l *lab) prod(t *testing.T) fleet.Cluster {
	t.Helper()
	p := l.submit(t, l.get(t, "/clusters", http.StatusOK), "/clusters", url.Values{"name": {"prod"}, "endpoint": {"https://198.51.100.7:6443"}}, http.StatusOK)
	p.has(t, "prod")
	c, err := l.store.Cluster(t.Context(), "prod")
	must(t, err)
	return c
}

func (l *lab) assign(t *testing.T, name string, c fleet.Cluster) {
	t.Helper()
	s := l.serverNamed(t, name)
	l.submit(t, l.get(t, "/servers/"+s.ID, http.StatusOK), "/servers/"+s.ID+"/assign", one("cluster", c.ID), http.StatusOK)
}

func (l *lab) operationsOf(t *testing.T, server string) []fleet.Operation {
	t.Helper()
	all, err := l.store.Operations(t.Context(), store.OperationFilter{ServerID: l.serverNamed(t, server).ID})
	must(t, err)
	return all
}
