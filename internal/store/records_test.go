package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

func TestAccounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		cloud := mustAccount(t, s, "cloud")
		robot := must(s.CreateAccount(ctx, fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: "#ws+x", Password: "secret", CreatedAt: noon}))(t)
		_, err := s.CreateAccount(ctx, cloudAccount("cloud"))
		want(t, err, fleet.Conflict, "cloud", "another name")

		must(0, s.AccountChecked(ctx, robot.ID, noon, "401: blocked\x00"))(t)
		robot.CheckedAt, robot.Problem = noon, "401: blocked\uFFFD"
		for _, ref := range []string{robot.ID, "robot"} {
			if diff := cmp.Diff(robot, must(s.Account(ctx, ref))(t)); diff != "" {
				t.Errorf("Account(%s) (-want +got):\n%s", ref, diff)
			}
		}
		cloud.Name, cloud.Token = "cloud-2", "another token"
		must(0, s.UpdateAccount(ctx, cloud))(t)
		all := must(s.Accounts(ctx))(t)
		if len(all) != 2 || all[0].Token != "another token" || all[1].Name != "robot" {
			t.Errorf("accounts = %+v", all)
		}
		cloud.Name = "robot"
		want(t, s.UpdateAccount(ctx, cloud), fleet.Conflict, "robot")
		_, err = s.Account(ctx, "nobody")
		want(t, err, fleet.NotFound, `no account "nobody"`)
		want(t, s.UpdateAccount(ctx, fleet.Account{ID: "nobody"}), fleet.NotFound, "nobody")
		want(t, s.AccountChecked(ctx, "nobody", noon, ""), fleet.NotFound, "nobody")
		want(t, s.RemoveAccount(ctx, "nobody"), fleet.NotFound, "nobody")
	})
}

func TestAccountWithServersInUseStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := mustAccount(t, s, "a")
		servers := mustSync(t, s, a.ID, "one", "two", "three").Added
		c := mustCluster(t, s, "prod")
		must(s.Assign(ctx, servers[0].ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker}))(t)
		op := mustCreate(t, s, operation(servers[1].ID, "", "server.reboot"))

		want(t, s.RemoveAccount(ctx, a.ID), fleet.Conflict, "one", "two")
		if n := len(must(s.Servers(ctx, store.ServerFilter{}))(t)); n != 3 {
			t.Errorf("a refused removal left %d of 3 servers", n)
		}
		must(s.Assign(ctx, servers[0].ID, fleet.Assignment{}))(t)
		mustWrite(t, s, mustClaim(t, s, op.ID, "r", noon), workflowDone())
		must(0, s.RemoveAccount(ctx, a.ID))(t)
		if n := len(must(s.Servers(ctx, store.ServerFilter{IncludeMissing: true}))(t)); n != 0 {
			t.Errorf("%d servers are left of a removed account", n)
		}
	})
}

func TestClusters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		config := must(s.CreateConfig(ctx, fleet.Config{Name: "base"}, "ada"))(t)
		schematic := must(s.CreateSchematic(ctx, fleet.Schematic{Name: "plain", YAML: "customization: {}"}))(t)
		a := mustAccount(t, s, "a")
		must(s.SyncServers(ctx, a.ID, nil, []fleet.VSwitch{{ProviderID: "v1", Name: "lan", VLAN: 4000}}, noon))(t)
		lan := must(s.VSwitches(ctx, a.ID))(t)[0]
		c := must(s.CreateCluster(ctx, fleet.Cluster{
			Name: "prod", Endpoint: "https://prod:6443", TalosVersion: "v1.14.1", KubernetesVersion: "v1.36.3", ConfigID: config.ID,
			SchematicID: schematic.ID, VSwitchID: lan.ID, Secrets: []byte("cluster:\n  id: x\n"), CreatedAt: noon,
		}))(t)
		for _, ref := range []string{c.ID, "prod"} {
			if diff := cmp.Diff(c, must(s.Cluster(ctx, ref))(t)); diff != "" {
				t.Errorf("Cluster(%s) (-want +got):\n%s", ref, diff)
			}
		}
		_, err := s.CreateCluster(ctx, fleet.Cluster{Name: "prod"})
		want(t, err, fleet.Conflict, "prod")
		_, err = s.CreateCluster(ctx, fleet.Cluster{Name: "other", ConfigID: "nope"})
		want(t, err, fleet.NotFound, "nope")
		_, err = s.Cluster(ctx, "nope")
		want(t, err, fleet.NotFound, "nope")

		c.TalosVersion, c.SchematicID = "v1.14.2", ""
		changed := c
		changed.Secrets, changed.BootstrapServerID = []byte("never"), "never"
		must(0, s.UpdateCluster(ctx, changed))(t)
		if diff := cmp.Diff([]fleet.Cluster{c}, must(s.Clusters(ctx))(t)); diff != "" {
			t.Errorf("after an update (-want +got):\n%s", diff)
		}
		want(t, s.UpdateCluster(ctx, fleet.Cluster{ID: "nope", Name: "x"}), fleet.NotFound, "nope")
		want(t, s.RemoveAccount(ctx, a.ID), fleet.Conflict, "vSwitch")
		want(t, s.RemoveConfig(ctx, config.ID), fleet.Conflict, "cluster prod")
	})
}

func TestClusterInUseStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		c := mustCluster(t, s, "prod")
		server := mustSync(t, s, mustAccount(t, s, "a").ID, "one").Added[0]
		must(s.CreateRule(ctx, fleet.Rule{ClusterID: c.ID, Match: "db"}))(t)
		must(s.Assign(ctx, server.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker}))(t)
		want(t, s.RemoveCluster(ctx, c.ID), fleet.Conflict, "one")
		must(s.Assign(ctx, server.ID, fleet.Assignment{}))(t)
		op := mustCreate(t, s, operation("", c.ID, "cluster.create"))
		want(t, s.RemoveCluster(ctx, c.ID), fleet.Conflict, op.ID)
		mustWrite(t, s, mustClaim(t, s, op.ID, "r", noon), workflowDone())
		must(0, s.RemoveCluster(ctx, c.ID))(t)
		want(t, s.RemoveCluster(ctx, c.ID), fleet.NotFound, c.ID)
		if rules := must(s.Rules(ctx, ""))(t); len(rules) != 0 {
			t.Errorf("rules of a removed cluster: %v", rules)
		}
	})
}

func TestOneServerBootstraps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := mustCluster(t, s, "prod")
		chosen := make([]string, 8)
		var wg sync.WaitGroup
		for i := range chosen {
			wg.Go(func() {
				id, err := s.ClaimBootstrap(t.Context(), c.ID, fmt.Sprint("server", i))
				if err != nil {
					t.Error(err)
				}
				chosen[i] = id
			})
		}
		wg.Wait()
		for _, id := range chosen {
			if id == "" || id != chosen[0] {
				t.Fatalf("the claims disagree: %v", chosen)
			}
		}
		must(0, s.MarkBootstrapped(t.Context(), c.ID, noon))(t)
		must(0, s.MarkBootstrapped(t.Context(), c.ID, noon.Add(time.Hour)))(t)
		got := must(s.Cluster(t.Context(), c.ID))(t)
		if got.BootstrapServerID != chosen[0] || !got.BootstrappedAt.Equal(noon) {
			t.Errorf("cluster says %s at %s, want %s at %s", got.BootstrapServerID, got.BootstrappedAt, chosen[0], noon)
		}
		_, err := s.ClaimBootstrap(t.Context(), "nope", "x")
		want(t, err, fleet.NotFound, "nope")
		want(t, s.MarkBootstrapped(t.Context(), "nope", noon), fleet.NotFound, "nope")
	})
}

func TestImportedClusterIsNotBootstrappedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := must(s.CreateCluster(t.Context(), fleet.Cluster{Name: "old", BootstrappedAt: noon}))(t)
		if chosen := must(s.ClaimBootstrap(t.Context(), c.ID, "s1"))(t); chosen != "" {
			t.Errorf("%s may bootstrap a cluster that runs", chosen)
		}
	})
}

func TestConfigsKeepEveryRevision(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		first := must(s.CreateConfig(ctx, fleet.Config{
			Name: "base", CreatedAt: noon, Contents: fleet.Contents{
				InstallImage: "x", KubernetesVersion: "v1.36.3", KubeSpan: true, Variables: map[string]string{"dns": "10.0.0.53"},
				Patches: []fleet.Patch{{Name: "all", Text: "a: 1"}, {Name: "worker", Text: "c: 3", Role: fleet.Worker, Architecture: fleet.ARM64, Provider: fleet.HetznerCloud, Off: true}},
			},
		}, "ada"))(t)
		if diff := cmp.Diff(first, must(s.Config(ctx, "base"))(t)); diff != "" {
			t.Errorf("config (-want +got):\n%s", diff)
		}
		change := first
		change.SetText(fleet.PatchAll, "a: 2")
		second := must(s.UpdateConfig(ctx, change, "bob"))(t)
		if second.Revision == first.Revision || len(second.Revision) != 64 {
			t.Errorf("revision %s after %s", second.Revision, first.Revision)
		}
		_, err := s.UpdateConfig(ctx, change, "eve") // still based on the first
		want(t, err, fleet.Conflict, "meanwhile")
		same := must(s.UpdateConfig(ctx, second, "carol"))(t)
		back := second
		back.SetText(fleet.PatchAll, "a: 1")
		back = must(s.UpdateConfig(ctx, back, "dan"))(t)
		if same.Revision != second.Revision || back.Revision != first.Revision {
			t.Error("equal contents have different revisions")
		}
		var who []string
		for _, r := range must(s.LayerRevisions(ctx, fleet.ScopeConfig, first.ID))(t) {
			who = append(who, r.Actor)
		}
		if diff := cmp.Diff([]string{"dan", "bob", "ada"}, who); diff != "" {
			t.Errorf("who saved (-want +got):\n%s", diff)
		}
		must(0, s.RemoveConfig(ctx, first.ID))(t)
		if old := must(s.Contents(ctx, second.Revision))(t); old.Text("all") != "a: 2" || old.Text("worker") != "c: 3" || !old.KubeSpan {
			t.Errorf("the second revision reads %+v", old)
		}
		if n := len(must(s.LayerRevisions(ctx, fleet.ScopeConfig, first.ID))(t)); n != 3 {
			t.Errorf("%d revisions are left of a removed config, want 3", n)
		}
		_, err = s.Contents(ctx, "nope")
		want(t, err, fleet.NotFound, "nope")
		_, err = s.UpdateConfig(ctx, first, "ada")
		want(t, err, fleet.NotFound, first.ID)
		if all := must(s.Configs(ctx))(t); len(all) != 0 {
			t.Errorf("configs = %v", all)
		}
	})
}

func TestSchematicsAndRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		sch := must(s.CreateSchematic(ctx, fleet.Schematic{Name: "gpu", YAML: "x", CreatedAt: noon}))(t)
		_, err := s.CreateSchematic(ctx, fleet.Schematic{Name: "gpu"})
		want(t, err, fleet.Conflict, "gpu")
		sch.YAML = "y"
		must(0, s.UpdateSchematic(ctx, sch))(t)
		if diff := cmp.Diff([]fleet.Schematic{must(s.Schematic(ctx, "gpu"))(t)}, must(s.Schematics(ctx))(t)); diff != "" {
			t.Errorf("schematics (-want +got):\n%s", diff)
		}
		must(0, s.RemoveSchematic(ctx, sch.ID))(t)
		want(t, s.RemoveSchematic(ctx, sch.ID), fleet.NotFound)
		want(t, s.UpdateSchematic(ctx, sch), fleet.NotFound)

		c, other := mustCluster(t, s, "prod"), mustCluster(t, s, "other")
		rule := must(s.CreateRule(ctx, fleet.Rule{
			ClusterID: c.ID, Match: "db", Labels: map[string]string{"role": "db"}, Taints: []fleet.Taint{{Key: "db", Value: "x", Effect: "NoSchedule"}}, CreatedAt: noon,
		}))(t)
		if diff := cmp.Diff(rule, must(s.Rule(ctx, rule.ID))(t)); diff != "" {
			t.Errorf("rule (-want +got):\n%s", diff)
		}
		must(s.CreateRule(ctx, fleet.Rule{ClusterID: other.ID}))(t)
		common := must(s.CreateRule(ctx, fleet.Rule{Match: "all", CreatedAt: noon.Add(time.Second)}))(t)
		rules := must(s.Rules(ctx, c.ID))(t)
		if len(rules) != 2 || rules[0].ID != rule.ID || rules[1].ID != common.ID {
			t.Errorf("rules of the cluster = %+v", rules)
		}
		rule.Match, rule.ClusterID, rule.Labels = "web", "", nil
		must(0, s.UpdateRule(ctx, rule))(t)
		if got := must(s.Rule(ctx, rule.ID))(t); got.Match != "web" || got.Labels != nil {
			t.Errorf("rule after an update = %+v", got)
		}
		_, err = s.CreateRule(ctx, fleet.Rule{ClusterID: "nope"})
		want(t, err, fleet.NotFound, "nope")
		must(0, s.RemoveRule(ctx, rule.ID))(t)
		want(t, s.RemoveRule(ctx, rule.ID), fleet.NotFound)
	})
}

func TestSettings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if v := must(s.Setting(ctx, "host"))(t); v != "" {
			t.Errorf("a setting that was never set = %q", v)
		}
		if v := must(s.EnsureSetting(ctx, "host", "a"))(t); v != "a" {
			t.Errorf("ensured = %q", v)
		}
		if v := must(s.EnsureSetting(ctx, "host", "b"))(t); v != "a" {
			t.Errorf("ensured again = %q, want the first", v)
		}
		must(0, s.SetSetting(ctx, "host", "c"))(t)
		if v := must(s.Setting(ctx, "host"))(t); v != "c" {
			t.Errorf("setting = %q", v)
		}
	})
}

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var ids []string
		for i := range 6 {
			e := fleet.Event{At: noon.Add(time.Duration(i/2) * time.Second), Actor: "ada", Verb: "config.refused", Subject: "server", TargetID: "s1", Text: fmt.Sprintf("Line 10%% of %d", i)}
			if i%2 == 1 {
				e.Actor, e.Verb, e.Subject, e.TargetID = "bob", "account_add", "account", "a1"
			}
			ids = append(ids, must(s.AddEvent(ctx, e))(t).ID)
		}
		for _, test := range []struct {
			why    string
			filter store.EventFilter
			want   []int
		}{
			{"all, newest first", store.EventFilter{}, []int{5, 4, 3, 2, 1, 0}},
			{"by actor", store.EventFilter{Actor: "bob"}, []int{5, 3, 1}},
			{"by verb", store.EventFilter{Verb: "config.refused"}, []int{4, 2, 0}},
			{"by the verb's beginning", store.EventFilter{Verb: "config."}, []int{4, 2, 0}},
			{"by subject and target", store.EventFilter{Subject: "server", TargetID: "s1"}, []int{4, 2, 0}},
			{"by text in another case", store.EventFilter{Search: "line 10% of 3"}, []int{3}},
			{"a wildcard is only a character", store.EventFilter{Search: "l_ne"}, nil},
			{"since and until", store.EventFilter{Since: noon.Add(time.Second), Until: noon.Add(2 * time.Second)}, []int{3, 2}},
			{"a page", store.EventFilter{Limit: 2}, []int{5, 4}},
			{"the next page", store.EventFilter{Limit: 2, Before: ids[4]}, []int{3, 2}},
			{"the last page", store.EventFilter{Limit: 9, Before: ids[1]}, []int{0}},
		} {
			var got, expected []string
			for _, e := range must(s.Events(ctx, test.filter))(t) {
				got = append(got, e.ID)
			}
			for _, i := range test.want {
				expected = append(expected, ids[i])
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.why, diff)
			}
		}
		if n := must(s.RemoveEvents(ctx, noon.Add(time.Second)))(t); n != 2 {
			t.Errorf("removed %d old events, want 2", n)
		}
	})
}

func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		k := must(s.CreateToken(ctx, store.Token{Name: "ci", Hash: "h1", Actor: "ada", CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}))(t)
		_, err := s.CreateToken(ctx, store.Token{Name: "ci", Hash: "h2"})
		want(t, err, fleet.Conflict, "ci")
		got := must(s.UseToken(ctx, "h1", noon.Add(time.Minute)))(t)
		if got.ID != k.ID || !got.UsedAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("used token = %+v", got)
		}
		must(s.UseToken(ctx, "h1", noon.Add(time.Minute+time.Second)))(t)
		if all := must(s.Tokens(ctx))(t); len(all) != 1 || !all[0].UsedAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("tokens = %+v, want one whose use is noted to the minute", all)
		}
		_, err = s.UseToken(ctx, "h1", noon.Add(time.Hour))
		want(t, err, fleet.Unauthorized, "expired")
		_, err = s.UseToken(ctx, "h3", noon)
		want(t, err, fleet.Unauthorized)
		must(0, s.RemoveToken(ctx, "ci"))(t)
		_, err = s.UseToken(ctx, "h1", noon)
		want(t, err, fleet.Unauthorized)
		want(t, s.RemoveToken(ctx, "ci"), fleet.NotFound, "ci")
	})
}

func TestSSHKeyIsMadeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		keys := make([]string, 6)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				k, err := s.EnsureSSHKey(t.Context(), func() (store.SSHKey, error) {
					return store.SSHKey{Public: fmt.Sprint("public ", i), Private: fmt.Append(nil, "private ", i)}, nil
				})
				if err != nil || "public"+string(k.Private[len("private"):]) != k.Public {
					t.Errorf("key = %q and %q, %v", k.Public, k.Private, err)
				}
				keys[i] = k.Public
			})
		}
		wg.Wait()
		for _, k := range keys {
			if k != keys[0] {
				t.Fatalf("replicas have different keys: %v", keys)
			}
		}
		_, err := s.EnsureSSHKey(t.Context(), func() (store.SSHKey, error) { t.Error("made another key"); return store.SSHKey{}, nil })
		must(0, err)(t)
	})
}

func TestArms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := must(s.Arm(ctx, store.Arm{
			ServerID: "s1", OperationID: "o1", CodeHash: "h1", UUID: "ABC", ArmedAt: noon, ExpiresAt: noon.Add(time.Hour), NoCode: true,
		}))(t)
		if diff := cmp.Diff(a, must(s.FindArm(ctx, "h1"))(t)); diff != "" || a.UUID != "abc" {
			t.Errorf("arm (-want +got):\n%s", diff)
		}
		must(s.Arm(ctx, store.Arm{ServerID: "s2", CodeHash: "h2", ArmedAt: noon, ExpiresAt: noon.Add(time.Minute)}))(t)
		if n := len(must(s.ActiveArms(ctx, "", noon))(t)); n != 2 {
			t.Errorf("%d active, want 2", n)
		}
		if active := must(s.ActiveArms(ctx, "", noon.Add(time.Minute)))(t); len(active) != 1 || active[0].ID != a.ID {
			t.Errorf("active after a minute = %+v", active)
		}
		if active := must(s.ActiveArms(ctx, "aBc", noon))(t); len(active) != 1 || active[0].ID != a.ID {
			t.Errorf("active by UUID = %+v", active)
		}
		if got := must(s.ArmOf(ctx, "s1"))(t); got.ID != a.ID || !got.NoCode {
			t.Errorf("arm of the server = %+v", got)
		}
		must(0, s.NoteRefusal(ctx, a.ID, "another UUID\x00"))(t)
		if got := must(s.ArmOf(ctx, "s1"))(t); got.Refusal != "another UUID\uFFFD" {
			t.Errorf("refusal = %q", got.Refusal)
		}
		again := must(s.Arm(ctx, store.Arm{ServerID: "s1", CodeHash: "h3", ExpiresAt: noon.Add(time.Hour)}))(t)
		_, err := s.FindArm(ctx, "h1")
		want(t, err, fleet.NotFound)
		if got := must(s.FindArm(ctx, "h3"))(t); !got.ServedAt.IsZero() || got.Attempts != 0 || got.Refusal != "" || got.NoCode || got.ID != again.ID {
			t.Errorf("a server armed again has %+v", got)
		}
		must(0, s.Disarm(ctx, "s1"))(t)
		must(0, s.Disarm(ctx, "s1"))(t)
		_, err = s.FindArm(ctx, "h3")
		want(t, err, fleet.NotFound)
		want(t, s.NoteRefusal(ctx, again.ID, ""), fleet.NotFound)
		_, err = s.ArmOf(ctx, "s1")
		want(t, err, fleet.NotFound, "s1")
		for _, server := range []string{"s3", "s4"} { // without codes
			must(s.Arm(ctx, store.Arm{ServerID: server, NoCode: true, ExpiresAt: noon.Add(time.Hour)}))(t)
		}
		_, err = s.FindArm(ctx, "")
		want(t, err, fleet.NotFound)
	})
}
