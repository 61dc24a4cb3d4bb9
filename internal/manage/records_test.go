package manage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func providerID(m *world.Machine) string { return fmt.Sprint(m.Number) }

func TestAnAccountIsKeptOnlyIfItsCredentialsWork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}
	for _, tc := range []struct {
		why  string
		a    fleet.Account
		kind fleet.Kind
		text string
		hint string
	}{
		{"no DNS label", fleet.Account{Name: "My account", Provider: fleet.HetznerCloud, Token: token}, fleet.Invalid, "DNS label", "63"},
		{"a provider nobody knows", fleet.Account{Name: "a", Provider: "aws", Token: token}, fleet.Invalid, "unknown provider", "hetzner_cloud"},
		{"no token", fleet.Account{Name: "a", Provider: fleet.HetznerCloud}, fleet.Invalid, "no token", "console.hetzner.cloud"},
		{"a wrong token", fleet.Account{Name: "a", Provider: fleet.HetznerCloud, Token: hetzner64()}, fleet.Unauthorized, "account a", "token"},
		{"a wrong password", fleet.Account{Name: "a", Provider: fleet.HetznerRobot, User: login, Password: "wrong"}, fleet.Unauthorized, "account a", ""},
	} {
		_, err := l.AddAccount(t.Context(), "test", tc.a)
		refused(t, tc.why, err, tc.kind, tc.text, tc.hint)
	}
	if all := ok(l.Store.Accounts(t.Context()))(t); len(all) != 0 {
		t.Fatalf("%d accounts were kept", len(all))
	}
	ok(l.AddAccount(t.Context(), "ada", good))(t)
	if got := l.said(t, "account.add"); got != "ada: added robot (hetzner_robot)" {
		t.Error(got)
	}
	good.Name = "again"
	_, err := l.AddAccount(t.Context(), "test", good)
	refused(t, "the same login under another name", err, fleet.Conflict, "credentials of account robot", "nothing is to be done")
}

func hetzner64() string { return strings.Repeat("x", 64) }

func TestANewAccountIsListedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var synced string
	l.Sync = func(_ context.Context, id string) error {
		synced = id
		return fleet.Errorf(fleet.Unavailable, "no answer")
	}
	a := ok(l.AddAccount(t.Context(), "test", fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}))(t)
	if synced != a.ID { // and a listing that fails does not lose the account
		t.Errorf("account %q was listed, want %q", synced, a.ID)
	}
}

func TestACheckIsNotedOnTheAccountAndClearedByTheNext(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := ok(l.AddAccount(t.Context(), "test", fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}))(t)
	a.Password = "changed"
	must(t, l.Store.UpdateAccount(t.Context(), a))
	_, err := l.CheckAccount(t.Context(), "robot")
	if fleet.KindOf(err) != fleet.Unauthorized {
		t.Errorf("got %v", err)
	}
	if a = ok(l.Store.Account(t.Context(), "robot"))(t); a.Problem == "" {
		t.Error("the account shows no problem")
	}
	a.Password = password
	must(t, l.Store.UpdateAccount(t.Context(), a))
	if a = ok(l.CheckAccount(t.Context(), "robot"))(t); a.Problem != "" || ok(l.Store.Account(t.Context(), "robot"))(t).Problem != "" {
		t.Errorf("it still shows %q", a.Problem)
	}
}

func TestAnAccountInUseStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	refused(t, "it has a server of a cluster", l.RemoveAccount(t.Context(), "test", "robot"), fleet.Conflict, "worker-1", "take them out")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: ptr("")}))(t)
	must(t, l.RemoveAccount(t.Context(), "ada", "robot"))
	if got := l.said(t, "account.remove"); got != "ada: removed robot" {
		t.Error(got)
	}
}

func TestAClusterThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.9:6443"}
	for _, tc := range []struct {
		why    string
		change func(*manage.NewCluster)
		kind   fleet.Kind
		text   string
		hint   string
	}{
		{"no DNS label", func(n *manage.NewCluster) { n.Name = "Prod" }, fleet.Invalid, "DNS label", "63"},
		{"no scheme", func(n *manage.NewCluster) { n.Endpoint = "203.0.113.9:6443" }, fleet.Invalid, "endpoint", "https://HOST:6443"},
		{"no port", func(n *manage.NewCluster) { n.Endpoint = "https://203.0.113.9" }, fleet.Invalid, "endpoint", "https://HOST:6443"},
		{"plain HTTP", func(n *manage.NewCluster) { n.Endpoint = "http://203.0.113.9:6443" }, fleet.Invalid, "endpoint", "https://HOST:6443"},
		{"a path", func(n *manage.NewCluster) { n.Endpoint += "/api" }, fleet.Invalid, "endpoint", "https://HOST:6443"},
		{"no such Talos", func(n *manage.NewCluster) { n.TalosVersion = "latest" }, fleet.Invalid, "Talos version", "v1."},
		{"a Kubernetes that this Talos does not run", func(n *manage.NewCluster) { n.KubernetesVersion = "v1.20.0" }, fleet.Invalid, "1.20.0", "lists the Kubernetes versions"},
		{"no such config", func(n *manage.NewCluster) { n.Config = "nope" }, fleet.NotFound, "nope", ""},
		{"no such schematic", func(n *manage.NewCluster) { n.Schematic = "nope" }, fleet.NotFound, "nope", ""},
		{"no such vSwitch", func(n *manage.NewCluster) { n.VSwitchID = "nope" }, fleet.NotFound, "nope", ""},
		{"secrets that are none", func(n *manage.NewCluster) { n.Secrets = []byte("a: b") }, fleet.Invalid, "secrets", ""},
	} {
		n := good
		tc.change(&n)
		_, err := l.CreateCluster(t.Context(), "test", n)
		refused(t, tc.why, err, tc.kind, tc.text, tc.hint)
	}
	c := ok(l.CreateCluster(t.Context(), "ada", good))(t)
	if c.TalosVersion != machineconfig.NewestTalos() || c.KubernetesVersion != machineconfig.DefaultKubernetes() || len(c.Secrets) == 0 {
		t.Errorf("a cluster without wishes is %s %s with %d bytes of secrets", c.TalosVersion, c.KubernetesVersion, len(c.Secrets))
	}
	_, err := l.CreateCluster(t.Context(), "test", good)
	refused(t, "the name is taken", err, fleet.Conflict, "prod", "another name")
}

func TestAClusterWithServersStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	l.cluster(t, "prod", "worker-1")
	refused(t, "it has a server", l.DeleteCluster(t.Context(), "test", "prod"), fleet.Refused, "1 servers", "secrets are lost")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: ptr("")}))(t)
	must(t, l.DeleteCluster(t.Context(), "test", "prod"))
}

func TestATalosconfigNamesTheControlPlanesAndIsAudited(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1")
	l.cluster(t, "prod", "control-plane-1", "worker-1")
	text := string(ok(l.Talosconfig(t.Context(), "ada", "prod"))(t))
	plane, worker := ok(l.Store.Server(t.Context(), "control-plane-1"))(t), ok(l.Store.Server(t.Context(), "worker-1"))(t)
	if !strings.Contains(text, plane.IPv4) || strings.Contains(text, worker.IPv4) {
		t.Errorf("endpoints in\n%s", text)
	}
	if got := l.said(t, "cluster.talosconfig"); got != "ada: admin talosconfig of prod handed out" {
		t.Error(got)
	}
}

func TestAConfigThatWouldBreakAServerIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1", "spare-1") // spare-1 belongs to no cluster, and is nobody's concern
	_, err := l.SaveConfig(t.Context(), "test", fleet.Config{Name: "base", Contents: all("machine:\n  nonsense: 1\n")})
	refused(t, "a patch that Talos does not know", err, fleet.Invalid, "nonsense", itself)
	_, err = l.SaveConfig(t.Context(), "test", fleet.Config{Name: "Base"})
	refused(t, "no DNS label", err, fleet.Invalid, "DNS label", "63")

	c := ok(l.SaveConfig(t.Context(), "ada", fleet.Config{Name: "base", Contents: all("machine:\n  sysctls:\n    vm.max_map_count: \"262144\"\n")}))(t)
	if got := l.said(t, "config.create"); !strings.HasPrefix(got, "ada: base, revision ") {
		t.Error(got)
	}
	l.cluster(t, "prod", "worker-1")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Config: &c.Name}))(t)
	c.SetText(fleet.PatchWorker, "machine:\n  network:\n    hostname: ${nobody}\n")
	_, err = l.SaveConfig(t.Context(), "test", c)
	refused(t, "a variable nobody knows", err, fleet.Invalid, "nobody", "")
	refused(t, "it is in use", l.DeleteConfig(t.Context(), "test", "base"), fleet.Refused, "worker-1", "--config NAME")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Config: ptr("")}))(t)
	must(t, l.DeleteConfig(t.Context(), "test", "base"))
}

// all is a patch for all servers.
func all(text string) (c fleet.Contents) {
	c.SetText(fleet.PatchAll, text)
	return c
}

func TestTheKubernetesOfARunningClusterWins(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1")
	c := l.cluster(t, "prod", "worker-1")
	ok(l.SaveConfig(t.Context(), "test", fleet.Config{Name: "older", Contents: fleet.Contents{KubernetesVersion: "v1.35.0"}}))(t)
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Config: ptr("older")}))(t)
	version := func() string {
		made := ok(l.Renderer.MachineConfig(t.Context(), ok(l.Store.Server(t.Context(), "worker-1"))(t)))(t)
		if !strings.Contains(string(made.YAML), "kubelet:"+made.Input.KubernetesVersion) {
			t.Errorf("no kubelet of %s in the config", made.Input.KubernetesVersion)
		}
		return made.Input.KubernetesVersion
	}
	if got := version(); got != "v1.35.0" {
		t.Errorf("a new cluster: %s", got)
	}
	must(t, l.Store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
	if got := version(); got != c.KubernetesVersion {
		t.Errorf("a running one: %s, it runs %s", got, c.KubernetesVersion)
	}
}

func TestRulesAndSchematicsAreChecked(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, err := l.AddRule(t.Context(), "test", fleet.Rule{Match: "db", Labels: map[string]string{"not a key": "x"}})
	refused(t, "no label", err, fleet.Invalid, "not a key", itself)
	_, err = l.AddRule(t.Context(), "test", fleet.Rule{Match: "db", ClusterID: "nope", Labels: map[string]string{"a": "b"}})
	refused(t, "no such cluster", err, fleet.NotFound, "nope", "")
	_, err = l.AddSchematic(t.Context(), "test", fleet.Schematic{Name: "gpu", YAML: "customization:\n  nonsense: true\n"})
	refused(t, "a field that the factory does not know", err, fleet.Invalid, "nonsense", itself)
	ok(l.AddSchematic(t.Context(), "test", fleet.Schematic{Name: "gpu", YAML: "customization:\n  extraKernelArgs: [quiet]\n"}))(t)
	l.rent(t, "worker-1")
	c := l.cluster(t, "prod", "worker-1")
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Schematic: ptr("gpu")}))(t)
	refused(t, "a schematic in use", l.DeleteSchematic(t.Context(), "test", "gpu"), fleet.Conflict, "worker-1", "another one first")

	must(t, l.DeleteRule(t.Context(), "test", ok(l.AddRule(t.Context(), "test", fleet.Rule{Match: "db", Labels: map[string]string{"a": "b"}}))(t).ID))
	for _, r := range []fleet.Rule{
		{Match: "worker", Labels: map[string]string{"role": "worker", "size": "s"}},
		{Match: "database", Labels: map[string]string{"role": "database"}},
		{Match: "-1", ClusterID: c.Name, Labels: map[string]string{"size": "l"}, Taints: []fleet.Taint{{Key: "a", Effect: "NoSchedule"}}},
	} {
		ok(l.AddRule(t.Context(), "test", r))(t)
	}
	labels, taints, err := manage.LabelsFor(t.Context(), l.Store, ok(l.Store.Server(t.Context(), "worker-1"))(t))
	must(t, err)
	if diff := cmp.Diff(map[string]string{"role": "worker", "size": "l"}, labels); diff != "" || len(taints) != 1 {
		t.Errorf("labels %s, taints %v", diff, taints)
	}
}
