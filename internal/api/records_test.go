package api_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

func TestAccountsAreTriedBeforeTheyAreKept(t *testing.T) {
	l := open(t)
	_, err := l.AddAccount(t.Context(), client.NewAccount{Name: "cloud", Provider: client.HetznerCloud, Token: "swordfish"})
	l.want(err, client.Unauthorized, 401, "account cloud", "")
	l.accounts()
	_, err = l.AddAccount(t.Context(), client.NewAccount{Name: "cloud", Provider: client.HetznerCloud, Token: l.cloud})
	l.want(err, client.Conflict, 409, "cloud", "another name")

	all, err := l.Accounts(t.Context())
	l.must(err)
	if len(all.Items) != 2 || all.Items[0].Servers != 2 || all.Items[1].User != "#ws+lab" || all.Items[0].SyncedAt.IsZero() {
		t.Errorf("accounts %+v", all.Items)
	}
	a, err := l.CheckAccount(t.Context(), "robot")
	l.must(err)
	if a.CheckedAt.IsZero() || a.Problem != "" {
		t.Errorf("checked %+v", a)
	}
	resp, _ := l.raw("GET", "/api/v1/accounts/robot", "", "Authorization", "Bearer "+l.token)
	if text, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "assword") {
		t.Errorf("the password comes back: %s %v", text, err)
	}
	s, err := l.SyncAccount(t.Context(), a.ID)
	l.must(err)
	if s.Account.Name != "robot" || len(s.Added)+len(s.Missing) != 0 {
		t.Errorf("synced again: %+v", s)
	}
	l.must(l.RemoveAccount(t.Context(), "robot"))
	_, err = l.Account(t.Context(), "robot")
	l.want(err, client.NotFound, 404, "robot", "account list")
}

func TestASyncSaysOfEachAccountWhatItChanged(t *testing.T) {
	l := open(t)
	l.app.Manager.Sync = nil // a new account would be listed at once
	_, err := l.AddAccount(t.Context(), client.NewAccount{Name: "cloud", Provider: client.HetznerCloud, Token: l.cloud})
	l.must(err)
	bad, err := l.app.Store.CreateAccount(t.Context(), fleet.Account{Name: "bad", Provider: fleet.HetznerRobot, User: "#ws+other", Password: "swordfish"})
	l.must(err)
	synced, err := l.SyncServers(t.Context())
	l.must(err)
	if len(synced.Items) != 2 || synced.Items[0].Error == nil || synced.Items[0].Error.Kind != client.Unauthorized || synced.Items[0].Account.ID != bad.ID {
		t.Errorf("of the bad account: %+v", synced.Items)
	}
	if !slices.Equal(synced.Items[1].Added, []string{"cp-1", "worker-1"}) {
		t.Errorf("of the good one: %+v", synced.Items[1])
	}
	a, err := l.Account(t.Context(), "bad")
	l.must(err)
	if a.Problem == "" {
		t.Error("the account does not say what is wrong with it")
	}
}

func TestServersAreChosenSortedAndPaged(t *testing.T) {
	l := open(t)
	l.assigned()
	for _, c := range []struct {
		why  string
		f    client.ServerFilter
		want string
	}{
		{"all, by name", client.ServerFilter{}, "cp-1 metal-cp-1 metal-worker-1 worker-1"},
		{"backwards", client.ServerFilter{Sort: "-name", Limit: 2}, "worker-1 metal-worker-1"},
		{"a page", client.ServerFilter{Limit: 2, Offset: 1}, "metal-cp-1 metal-worker-1"},
		{"of an account, by its name", client.ServerFilter{Account: "robot"}, "metal-cp-1 metal-worker-1"},
		{"of a cluster", client.ServerFilter{Cluster: "prod"}, "cp-1"},
		{"of no cluster", client.ServerFilter{Unassigned: true, Account: "cloud"}, "worker-1"},
		{"in a role", client.ServerFilter{Role: client.ControlPlane}, "cp-1"},
		{"in one of two states", client.ServerFilter{States: []string{"known", "broken"}}, "cp-1 metal-cp-1 metal-worker-1 worker-1"},
		{"in no state that is", client.ServerFilter{States: []string{"ready"}}, ""},
		{"by a part of their product", client.ServerFilter{Search: "ax41"}, "metal-cp-1 metal-worker-1"},
	} {
		got, err := l.Servers(t.Context(), c.f)
		l.must(err)
		var names []string
		for _, s := range got.Items {
			names = append(names, s.Name)
		}
		if strings.Join(names, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.why, names, c.want)
		}
		if c.f.Limit > 0 && got.Total != 4 {
			t.Errorf("%s: %d in all", c.why, got.Total)
		}
	}
	_, err := l.Servers(t.Context(), client.ServerFilter{Sort: "beauty"})
	l.want(err, client.Invalid, 422, "beauty", "name, hostname")
	_, err = l.Servers(t.Context(), client.ServerFilter{Cluster: "nowhere"})
	l.want(err, client.NotFound, 404, "nowhere", "")
}

func TestAServerTellsEverything(t *testing.T) {
	l := open(t)
	l.assigned()
	s, err := l.app.Store.Server(t.Context(), "cp-1")
	l.must(err)
	l.must(l.app.Store.SetFacts(t.Context(), s.ID, fleet.Facts{
		At: time.Now(), UUID: "00000000-0000-0000-0000-0cc47a000000", Dmidecode: "System Information",
		Disks: []fleet.Disk{{Name: "nvme0n1", WWID: "eui.1", SizeBytes: 512e9, Contents: []string{"ext4"}}}, NICs: []fleet.NIC{{Name: "eth0", MAC: "aa", Up: true}},
	}))
	got, err := l.Server(t.Context(), "cp-1")
	l.must(err)
	if got.Account.Name != "cloud" || got.Provider != client.HetznerCloud || got.State != "known" || got.Address() != "203.0.113.10" || got.Power == "" {
		t.Errorf("server %+v", got)
	}
	if a := got.Assignment; a == nil || a.Cluster.Name != "prod" || a.Role != client.ControlPlane || a.Hostname != "cp-1" {
		t.Errorf("assignment %+v", got.Assignment)
	}
	if f := got.Facts; f == nil || f.Disks[0].ID != "eui.1" || f.Disks[0].SizeBytes != 512e9 || !f.NICs[0].Up {
		t.Errorf("facts %+v", got.Facts)
	}
	if !strings.Contains(got.UUIDProblem, "mostly one character") || !strings.Contains(got.UUIDMail, "System Information") || !strings.Contains(got.UUIDMail, "Note the UUID: it is mostly one character.") {
		t.Errorf("a bad UUID is not told: %q %q", got.UUIDProblem, got.UUIDMail)
	}
	list, err := l.Servers(t.Context(), client.ServerFilter{Search: "cp-1", Account: "cloud"})
	l.must(err)
	if list.Items[0].Facts != nil {
		t.Error("lists carry facts")
	}
}

func TestServersAreRenamedAndAssigned(t *testing.T) {
	l := open(t)
	l.accounts()
	s, err := l.ChangeServer(t.Context(), "worker-1", client.ServerChange{Name: new("db-1")})
	l.must(err)
	if s.Name != "db-1" {
		t.Errorf("renamed to %s", s.Name)
	}
	_, err = l.ChangeServer(t.Context(), "db-1", client.ServerChange{Name: new("DB 1")})
	l.want(err, client.Invalid, 422, "not a DNS label", "a-z")
	_, err = l.ChangeServer(t.Context(), "db-1", client.ServerChange{VSwitch: new("none-such")})
	l.want(err, client.NotFound, 404, "none-such", "")
	_, err = l.CreateCluster(t.Context(), client.NewCluster{Name: "prod", Endpoint: "https://203.0.113.10:6443", Secrets: l.secrets()})
	l.must(err)
	_, err = l.AssignServer(t.Context(), "db-1", client.AssignmentChange{Cluster: new("prod"), InstallDisk: new("/dev/sda")})
	l.want(err, client.Invalid, 422, "/dev/sda", "WWID")
	s, err = l.AssignServer(t.Context(), "db-1", client.AssignmentChange{Cluster: new("prod"), Hostname: new("db"), PrivateIP: new("10.0.0.7"), Patch: new("machine: {sysctls: {a: \"1\"}}")})
	l.must(err)
	if a := s.Assignment; a.Role != client.Worker || a.Hostname != "db" || a.PrivateIP != "10.0.0.7" || a.Patch == "" {
		t.Errorf("assignment %+v", a)
	}
	s, err = l.AssignServer(t.Context(), "db-1", client.AssignmentChange{Hostname: new("")})
	l.must(err)
	if a := s.Assignment; a.Hostname != "db-1" || a.PrivateIP != "10.0.0.7" {
		t.Errorf("what was not given changed: %+v", a)
	}
	if s, err = l.AssignServer(t.Context(), "db-1", client.AssignmentChange{Cluster: new("")}); err != nil || s.Assignment != nil {
		t.Errorf("taken out: %+v %v", s.Assignment, err)
	}
}

func TestAMachineConfigKeepsItsSecretsUnlessAsked(t *testing.T) {
	l := open(t)
	l.assigned()
	_, err := l.MachineConfig(t.Context(), "worker-1", false)
	l.want(err, client.Invalid, 422, "belongs to no cluster", "server assign")
	plain, err := l.MachineConfig(t.Context(), "cp-1", false)
	l.must(err)
	if plain.Secrets || strings.Contains(plain.YAML, "PRIVATE") || !strings.Contains(plain.YAML, "type: controlplane") || plain.Cluster.Name != "prod" {
		t.Errorf("without secrets: %+v", plain)
	}
	events := func() int {
		t.Helper()
		all, err := l.Events(t.Context(), client.EventFilter{Subject: "server", Target: "cp-1"})
		l.must(err)
		return len(slices.DeleteFunc(all.Items, func(e client.AuditEvent) bool { return e.Verb != "server.machine-config" || e.Actor != "lab" }))
	}
	if events() != 0 {
		t.Error("a look without secrets is noted")
	}
	whole, err := l.MachineConfig(t.Context(), "cp-1", true)
	l.must(err)
	if !whole.Secrets || whole.YAML == plain.YAML || events() != 1 {
		t.Errorf("with secrets: noted %d times", events())
	}
	resp, _ := l.raw("GET", "/api/v1/servers/cp-1/machine-config", "", "Authorization", "Bearer "+l.token, "Accept", "text/yaml")
	text, err := io.ReadAll(resp.Body)
	l.must(err)
	if string(text) != plain.YAML || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/yaml") {
		t.Errorf("as YAML: %s", resp.Header.Get("Content-Type"))
	}
}

func TestClusters(t *testing.T) {
	l := open(t)
	_, err := l.CreateCluster(t.Context(), client.NewCluster{Name: "prod", Endpoint: "203.0.113.10"})
	l.want(err, client.Invalid, 422, "endpoint", "https://HOST:6443")
	l.assigned()
	c, err := l.Cluster(t.Context(), "prod")
	l.must(err)
	if c.Servers != (client.ServerCounts{ControlPlanes: 1}) || !strings.HasPrefix(c.TalosVersion, "v1.") || !c.BootstrappedAt.IsZero() {
		t.Errorf("cluster %+v", c)
	}
	config, err := l.Talosconfig(t.Context(), "prod")
	l.must(err)
	if !strings.Contains(string(config), "203.0.113.10") {
		t.Errorf("talosconfig %s", config)
	}
	_, err = l.Kubeconfig(t.Context(), "prod")
	l.want(err, client.Unavailable, 503, "no control plane that runs Talos", "")
	err = l.DeleteCluster(t.Context(), "prod")
	l.want(err, client.Refused, 412, "has 1 servers", "--cluster ''")
	_, err = l.AssignServer(t.Context(), "cp-1", client.AssignmentChange{Cluster: new("")})
	l.must(err)
	l.must(l.DeleteCluster(t.Context(), c.ID))
	all, err := l.Clusters(t.Context())
	l.must(err)
	if len(all.Items) != 0 {
		t.Errorf("clusters %+v", all)
	}
}

func TestClustersTakeSecretsOver(t *testing.T) {
	l := open(t)
	_, err := l.CreateCluster(t.Context(), client.NewCluster{Name: "prod", Endpoint: "https://203.0.113.10:6443", Secrets: "swordfish: true"})
	l.want(err, client.Invalid, 422, "secrets", "")
	_, err = l.CreateCluster(t.Context(), client.NewCluster{Name: "taken-over", Endpoint: "https://203.0.113.10:6443", Secrets: l.secrets()})
	l.must(err)
	_, err = l.CreateCluster(t.Context(), client.NewCluster{Name: "new", Endpoint: "https://203.0.113.10:6443"})
	l.must(err)
	for name, same := range map[string]bool{"taken-over": true, "new": false} {
		c, err := l.app.Store.Cluster(t.Context(), name)
		l.must(err)
		if (string(c.Secrets) == l.secrets()) != same || len(c.Secrets) < 1000 {
			t.Errorf("the secrets of %s are wrong", name)
		}
	}
}

func patched(text string) (c client.ConfigContents) {
	c.SetPatch(client.Patch{Name: "all", Text: text})
	return c
}

func TestConfigsHaveRevisions(t *testing.T) {
	l := open(t)
	_, err := l.CreateConfig(t.Context(), client.NewConfig{Name: "base", ConfigContents: patched("machine: {nonsense: 1}")})
	l.want(err, client.Invalid, 422, "nonsense", "")
	first, err := l.CreateConfig(t.Context(), client.NewConfig{Name: "base", ConfigContents: patched("machine: {sysctls: {a: \"1\"}}")})
	l.must(err)
	u := client.ConfigUpdate{Revision: first.Revision, ConfigContents: patched("machine: {sysctls: {a: \"2\"}}")}
	u.KubeSpan = true
	second, err := l.UpdateConfig(t.Context(), "base", u)
	l.must(err)
	if second.Revision == first.Revision || !second.KubeSpan || second.Name != "base" {
		t.Errorf("second %+v", second)
	}
	_, err = l.UpdateConfig(t.Context(), "base", u)
	l.want(err, client.Conflict, 409, "changed by somebody else", "save again")
	u.Revision, u.Name = "", "common"
	_, err = l.UpdateConfig(t.Context(), "base", u)
	l.must(err)
	layer := client.LayerRef{Scope: client.ScopeConfig, Owner: "common"}
	revisions, err := l.LayerRevisions(t.Context(), layer)
	l.must(err)
	if len(revisions.Items) != 2 || revisions.Items[1].Revision != first.Revision || revisions.Items[0].Actor != "lab" {
		t.Errorf("revisions %+v", revisions.Items)
	}
	old, err := l.LayerAt(t.Context(), layer, first.Revision[:12], false)
	l.must(err)
	if old.Revision != first.Revision || old.Patches[0] != first.Patches[0] {
		t.Errorf("the first revision is %+v", old)
	}
	_, err = l.CreateCluster(t.Context(), client.NewCluster{Name: "prod", Endpoint: "https://203.0.113.10:6443", Config: "common", Secrets: l.secrets()})
	l.must(err)
	if err := l.DeleteConfig(t.Context(), "common"); err == nil {
		t.Error("a config that a cluster uses is deleted")
	}
	l.must(l.DeleteCluster(t.Context(), "prod"))
	l.must(l.DeleteConfig(t.Context(), "common"))
	all, err := l.Configs(t.Context())
	l.must(err)
	if len(all.Items) != 0 {
		t.Errorf("configs %+v", all)
	}
	_, err = l.Config(t.Context(), "common")
	l.want(err, client.NotFound, 404, "common", "")
}

func TestRules(t *testing.T) {
	l := open(t)
	l.assigned()
	_, err := l.CreateRule(t.Context(), client.NewRule{Match: "cp", Labels: map[string]string{"no good": "x"}})
	l.want(err, client.Invalid, 422, "no good", "")
	_, err = l.CreateRule(t.Context(), client.NewRule{Match: "cp"})
	l.want(err, client.Invalid, 422, "labels or taints", "--label")
	r, err := l.CreateRule(t.Context(), client.NewRule{Match: "cp", Cluster: "prod", Labels: map[string]string{"a": "b"}, Taints: []client.Taint{{Key: "k", Effect: "NoSchedule"}}})
	l.must(err)
	if r.Cluster == nil || r.Cluster.Name != "prod" || len(r.Taints) != 1 {
		t.Errorf("rule %+v", r)
	}
	if all, err := l.Rules(t.Context()); err != nil || len(all.Items) != 1 {
		t.Errorf("rules %+v %v", all, err)
	}
	l.must(l.DeleteRule(t.Context(), r.ID))
	l.want(l.DeleteRule(t.Context(), r.ID), client.NotFound, 404, "rule", "")
}

func TestTokensOpenUntilTheyAreRevoked(t *testing.T) {
	l := open(t)
	made, err := l.CreateToken(t.Context(), client.NewToken{Name: "ci"})
	l.must(err)
	ci := l.as(made.Token, "")
	_, err = ci.CreateRule(t.Context(), client.NewRule{Match: "x", Labels: map[string]string{"a": "b"}})
	l.must(err)
	events, err := l.Events(t.Context(), client.EventFilter{Limit: 1})
	l.must(err)
	if e := events.Items[0]; e.Actor != "ci" || e.Verb != "rule.create" {
		t.Errorf("event %+v", e)
	}
	older, err := l.Events(t.Context(), client.EventFilter{Before: events.Items[0].ID, Subject: "token"})
	l.must(err)
	if len(older.Items) != 2 || older.Items[0].Verb != "token.create" || older.Items[0].Target != made.ID {
		t.Errorf("older events %+v", older.Items)
	}
	all, err := l.Tokens(t.Context())
	l.must(err)
	if len(all.Items) != 2 || all.Items[0].Name != "ci" || all.Items[0].UsedAt.IsZero() || all.Items[0].Actor != "lab" {
		t.Errorf("tokens %+v", all.Items)
	}
	l.must(l.DeleteToken(t.Context(), "ci"))
	_, err = ci.Version(t.Context())
	l.want(err, client.Unauthorized, 401, "token", "")
}

func TestTheSSHKeyAndTheVSwitchesAreShown(t *testing.T) {
	l := open(t)
	k, err := l.SSHKey(t.Context())
	l.must(err)
	if !strings.HasPrefix(k.Public, "ssh-ed25519 ") || !strings.HasPrefix(k.SHA256, "SHA256:") || strings.Count(k.MD5, ":") != 15 || strings.Contains(k.Public, "\n") {
		t.Errorf("key %+v", k)
	}
	l.accounts()
	robot, err := l.app.Store.Account(t.Context(), "robot")
	l.must(err)
	_, err = l.app.Store.SyncServers(t.Context(), robot.ID, nil, []fleet.VSwitch{{ProviderID: "4321", Name: "private", VLAN: 4001}}, time.Now())
	l.must(err)
	v, err := l.VSwitches(t.Context())
	l.must(err)
	if len(v.Items) != 1 || v.Items[0].Account.Name != "robot" || v.Items[0].VLAN != 4001 {
		t.Errorf("vSwitches %+v", v.Items)
	}
}

// A use of store.Change keeps the name of its tables honest: streams depend on it.
func TestOperationsTellOfTheirChanges(t *testing.T) {
	l := open(t)
	l.assigned()
	changes := l.app.Store.Changes(t.Context())
	o, err := l.RescueServer(t.Context(), "cp-1")
	l.must(err)
	l.log(o.ID, "hello")
	for deadline := time.After(5 * time.Second); ; {
		select {
		case c := <-changes:
			if c == (store.Change{Table: "operations", ID: o.ID}) {
				return
			}
		case <-deadline:
			t.Fatal("no change was told")
		}
	}
}
