package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func workflowDone() workflow.Change {
	return workflow.Change{State: fleet.Succeeded, Finished: ptr(noon), Release: true}
}

func mustCluster(t testing.TB, s *store.Store, name string) fleet.Cluster {
	t.Helper()
	return must(s.CreateCluster(t.Context(), fleet.Cluster{Name: name, Endpoint: "https://" + name + ":6443", Secrets: []byte("pki of " + name)}))(t)
}

// listing makes servers of the names; their provider ids are the names.
func listing(names ...string) []fleet.Server {
	var all []fleet.Server
	for _, name := range names {
		all = append(all, fleet.Server{
			Provider: fleet.HetznerRobot, ProviderID: name, Name: name, Product: "AX41", Location: "FSN1", Architecture: fleet.AMD64,
			Status: "ready", Power: fleet.PowerOn, IPv4: "192.0.2.1", IPv6: "2001:db8::1", IPv6Net: "2001:db8::/64", CreatedAt: noon,
		})
	}
	return all
}

func mustSync(t testing.TB, s *store.Store, account string, names ...string) store.Sync {
	t.Helper()
	return must(s.SyncServers(t.Context(), account, listing(names...), nil, noon))(t)
}

func names(all []fleet.Server) string {
	var n []string
	for _, v := range all {
		n = append(n, v.Name)
	}
	return strings.Join(n, " ")
}

func TestSyncTellsWhatChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := mustAccount(t, s, "a")
		must(0, s.AccountChecked(ctx, a.ID, noon, "a problem"))(t)
		expect := func(why string, r store.Sync, added, changed, back, missing string) {
			t.Helper()
			got := []string{names(r.Added), names(r.Changed), names(r.Back), names(r.Missing)}
			if diff := cmp.Diff([]string{added, changed, back, missing}, got); diff != "" {
				t.Errorf("%s: added, changed, back, missing (-want +got):\n%s", why, diff)
			}
		}
		sync := func(servers []fleet.Server, minute int) store.Sync {
			t.Helper()
			return must(s.SyncServers(ctx, a.ID, servers, nil, noon.Add(time.Duration(minute)*time.Minute)))(t)
		}
		expect("a first listing", sync(listing("x", "y"), 0), "x y", "", "", "")
		expect("the same again", sync(listing("x", "y"), 1), "", "", "", "")
		expect("one stands on two pages", sync(listing("x", "y", "x"), 1), "", "", "", "")
		unknown := listing("x", "y")
		unknown[0].Power = fleet.PowerUnknown
		expect("a listing that does not know the power", sync(unknown, 2), "", "", "", "")
		changed := listing("x", "y")
		changed[1].Status = "in process"
		expect("a status changed", sync(changed, 3), "", "y", "", "")
		expect("one is gone", sync(listing("x"), 4), "", "", "", "y")
		expect("it is still gone", sync(listing("x"), 5), "", "", "", "")
		y := must(s.Server(ctx, "y"))(t)
		if !y.MissingAt.Equal(noon.Add(4*time.Minute)) || !y.SeenAt.Equal(noon.Add(3*time.Minute)) {
			t.Errorf("missing since %s, last seen %s", y.MissingAt, y.SeenAt)
		}
		empty := sync(nil, 6)
		expect("an empty listing", empty, "", "", "", "")
		if !empty.Empty {
			t.Error("an empty listing of an account with servers is not called so")
		}
		expect("it is back", sync(listing("x", "y"), 7), "", "", "y", "")
		if back := must(s.Server(ctx, "y"))(t); !back.MissingAt.IsZero() || back.ID != y.ID {
			t.Errorf("back as %+v", back)
		}
		if got := must(s.Account(ctx, a.ID))(t); got.Problem != "" || !got.SyncedAt.Equal(noon.Add(7*time.Minute)) {
			t.Errorf("account after a sync: problem %q, synced %s", got.Problem, got.SyncedAt)
		}
		_, err := s.SyncServers(ctx, "nope", listing("z"), nil, noon)
		want(t, err, fleet.NotFound, "nope")
	})
}

func TestSyncLeavesWhatIsOurs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := mustAccount(t, s, "a")
		c := mustCluster(t, s, "prod")
		v := mustSync(t, s, a.ID, "x").Added[0]
		facts := fleet.Facts{At: noon, UUID: "AB-CD", Disks: []fleet.Disk{{Name: "sda", WWID: "naa.1", Contents: []string{"gpt"}}}, NICs: []fleet.NIC{{MAC: "00:11"}}}
		must(0, s.SetFacts(ctx, v.ID, facts))(t)
		must(0, s.SetState(ctx, v.ID, fleet.Known, fleet.Installing))(t)
		v = must(s.Assign(ctx, v.ID, fleet.Assignment{
			ClusterID: c.ID, Role: fleet.ControlPlane, Hostname: "cp-1", PrivateIP: "10.0.0.1", InstallDisk: "naa.1", EphemeralDisk: "wwid:x", Draft: true,
		}))(t)
		other := listing("x")
		other[0].Name, other[0].State, other[0].Facts, other[0].Assignment = "renamed", fleet.Ready, fleet.Facts{UUID: "evil"}, fleet.Assignment{Hostname: "evil"}
		must(s.SyncServers(ctx, a.ID, other, nil, noon.Add(time.Minute)))(t)
		got := must(s.Server(ctx, v.ID))(t)
		v.Name, v.State, v.Facts, v.SeenAt = "renamed", fleet.Installing, facts, noon.Add(time.Minute)
		if diff := cmp.Diff(v, got); diff != "" {
			t.Errorf("server after a sync (-want +got):\n%s", diff)
		}
	})
}

func TestSyncOfVSwitches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := mustAccount(t, s, "a")
		servers := listing("x")
		servers[0].VSwitchID = "4321"
		lan := []fleet.VSwitch{{ProviderID: "4321", Name: "lan", VLAN: 4000}, {ProviderID: "5", Name: "san", VLAN: 4001}}
		v := must(s.SyncServers(ctx, a.ID, servers, lan, noon))(t).Added[0]
		all := must(s.VSwitches(ctx, a.ID))(t)
		if len(all) != 2 || all[0].Name != "lan" || all[0].VLAN != 4000 || v.VSwitchID != all[0].ID {
			t.Errorf("vSwitches = %+v, the server's is %s", all, v.VSwitchID)
		}
		must(s.SyncServers(ctx, a.ID, servers, lan[:1], noon))(t)
		if san := must(s.VSwitch(ctx, all[1].ID))(t); san.MissingAt.IsZero() {
			t.Error("a vSwitch that is not listed any more is not missing")
		}
		must(s.SyncServers(ctx, a.ID, servers, lan, noon))(t)
		if san := must(s.VSwitch(ctx, all[1].ID))(t); !san.MissingAt.IsZero() {
			t.Error("a vSwitch that is back is still missing")
		}
		_, err := s.VSwitch(ctx, "nope")
		want(t, err, fleet.NotFound, "nope")
	})
}

func TestServerByIDOrName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, b := mustAccount(t, s, "a"), mustAccount(t, s, "b")
		first, second := mustSync(t, s, a.ID, "db", "x").Added[0], mustSync(t, s, b.ID, "db", "y").Added[0]
		if got := must(s.Server(ctx, first.ID))(t); got.ID != first.ID {
			t.Errorf("by id: %s", got.ID)
		}
		_, err := s.Server(ctx, "db")
		want(t, err, fleet.Conflict, first.ID, second.ID)
		mustSync(t, s, b.ID, "y") // the second goes missing: the name is unique among those that are there
		if got := must(s.Server(ctx, "db"))(t); got.ID != first.ID {
			t.Errorf("by name: %s, want the one that is listed", got.ID)
		}
		_, err = s.Server(ctx, "nope")
		want(t, err, fleet.NotFound, `no server "nope"`)
	})
}

func TestServerStateMovesOnlyFromWhereItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		v := mustSync(t, s, mustAccount(t, s, "a").ID, "x").Added[0]
		must(0, s.SetState(ctx, v.ID, fleet.Known, fleet.Installing))(t)
		want(t, s.SetState(ctx, v.ID, fleet.Known, fleet.Ready), fleet.Conflict, "x is installing, not known")
		want(t, s.SetState(ctx, "nope", fleet.Known, fleet.Ready), fleet.NotFound, "nope")
		must(0, s.SetObserved(ctx, v.ID, "x2", "running", fleet.PowerOff, true, noon.Add(time.Hour)))(t)
		got := must(s.Server(ctx, v.ID))(t)
		if got.State != fleet.Installing || got.Name != "x2" || got.Power != fleet.PowerOff || !got.Locked || !got.SeenAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("server = %+v", got)
		}
		want(t, s.SetObserved(ctx, "nope", "", "", "", false, noon), fleet.NotFound, "nope")
	})
}

func TestServersByUUID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		all := mustSync(t, s, mustAccount(t, s, "a").ID, "x", "y", "z").Added
		for i, uuid := range []string{"AAAA-1", "aaaa-1", ""} {
			must(0, s.SetFacts(ctx, all[i].ID, fleet.Facts{UUID: uuid}))(t)
		}
		if got := must(s.ServersByUUID(ctx, "aaaa-1"))(t); len(got) != 2 {
			t.Errorf("two servers with one UUID: found %s", names(got))
		}
		if got := must(s.ServersByUUID(ctx, ""))(t); len(got) != 0 {
			t.Errorf("no UUID finds %s", names(got))
		}
		want(t, s.SetFacts(ctx, "nope", fleet.Facts{}), fleet.NotFound, "nope")
	})
}

func TestAssignmentsDoNotCollide(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		all := mustSync(t, s, mustAccount(t, s, "a").ID, "one", "two").Added
		one, two := all[0], all[1]
		c, other := mustCluster(t, s, "prod"), mustCluster(t, s, "other")
		must(s.Assign(ctx, one.ID, fleet.Assignment{ClusterID: c.ID, Hostname: "cp", PrivateIP: "10.0.0.1"}))(t)
		for _, test := range []struct {
			why   string
			a     fleet.Assignment
			kind  fleet.Kind // "" if fine
			words []string
		}{
			{"a hostname twice", fleet.Assignment{ClusterID: c.ID, Hostname: "cp"}, fleet.Conflict, []string{"one", one.ID, `"cp"`}},
			{"a private address twice", fleet.Assignment{ClusterID: c.ID, PrivateIP: "10.0.0.1"}, fleet.Conflict, []string{"one", one.ID, "10.0.0.1"}},
			{"the same in another cluster", fleet.Assignment{ClusterID: other.ID, Hostname: "cp", PrivateIP: "10.0.0.1"}, "", nil},
			{"no such cluster", fleet.Assignment{ClusterID: "nope"}, fleet.NotFound, []string{"cluster", "nope"}},
			{"no such config", fleet.Assignment{ConfigID: "nope"}, fleet.NotFound, []string{"config", "nope"}},
			{"no such schematic", fleet.Assignment{SchematicID: "nope"}, fleet.NotFound, []string{"schematic", "nope"}},
			{"a free hostname", fleet.Assignment{ClusterID: c.ID, Hostname: "two", PrivateIP: "10.0.0.2"}, "", nil},
			{"its own again", fleet.Assignment{ClusterID: c.ID, Hostname: "two", PrivateIP: "10.0.0.2"}, "", nil},
		} {
			_, err := s.Assign(ctx, two.ID, test.a)
			if test.kind != "" {
				want(t, err, test.kind, test.words...)
			} else if err != nil {
				t.Errorf("%s: %v", test.why, err)
			}
		}
		must(s.Assign(ctx, two.ID, fleet.Assignment{ClusterID: c.ID}))(t) // its node name is its own name now
		_, err := s.Assign(ctx, one.ID, fleet.Assignment{ClusterID: c.ID, Hostname: "two"})
		want(t, err, fleet.Conflict, two.ID)
		_, err = s.Assign(ctx, "nope", fleet.Assignment{})
		want(t, err, fleet.NotFound, "nope")
	})
}

func TestOneOfTwoAssignmentsAtOnceWins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := mustSync(t, s, mustAccount(t, s, "a").ID, "one", "two", "three", "four").Added
		c := mustCluster(t, s, "prod")
		errs := make(chan error, len(all))
		for _, v := range all {
			go func() {
				_, err := s.Assign(t.Context(), v.ID, fleet.Assignment{ClusterID: c.ID, Hostname: "cp"})
				errs <- err
			}()
		}
		won := 0
		for range all {
			if err := <-errs; err == nil {
				won++
			} else {
				want(t, err, fleet.Conflict)
			}
		}
		if won != 1 {
			t.Errorf("%d servers have one hostname", won)
		}
	})
}

func TestServersAreFiltered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, b := mustAccount(t, s, "a"), mustAccount(t, s, "b")
		servers := listing("c-db", "a-web", "b_web", "gone")
		servers[0].IPv4, servers[1].Product = "203.0.113.7", "CX23"
		all := must(s.SyncServers(ctx, a.ID, servers, nil, noon))(t).Added
		must(s.SyncServers(ctx, a.ID, servers[:3], nil, noon.Add(time.Minute)))(t)
		mustSync(t, s, b.ID, "d-other")
		c := mustCluster(t, s, "prod")
		must(s.Assign(ctx, all[0].ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.ControlPlane, Hostname: "Node-1"}))(t)
		must(0, s.SetState(ctx, all[0].ID, fleet.Known, fleet.Ready))(t)
		must(0, s.SetFacts(ctx, all[0].ID, fleet.Facts{UUID: "u"}))(t)
		for _, test := range []struct {
			why    string
			filter store.ServerFilter
			want   string
		}{
			{"all that are there", store.ServerFilter{}, "a-web b_web c-db d-other"},
			{"also the missing", store.ServerFilter{IncludeMissing: true}, "a-web b_web c-db d-other gone"},
			{"of an account", store.ServerFilter{AccountID: b.ID}, "d-other"},
			{"of a cluster", store.ServerFilter{ClusterID: c.ID}, "c-db"},
			{"of none", store.ServerFilter{Unassigned: true}, "a-web b_web d-other"},
			{"by role", store.ServerFilter{Role: fleet.ControlPlane}, "c-db"},
			{"by states", store.ServerFilter{States: []fleet.State{fleet.Ready, fleet.Broken}}, "c-db"},
			{"by part of the name, any case", store.ServerFilter{Search: "WEB"}, "a-web b_web"},
			{"by address", store.ServerFilter{Search: "113.7"}, "c-db"},
			{"by hostname", store.ServerFilter{Search: "node-"}, "c-db"},
			{"by product", store.ServerFilter{Search: "cx23"}, "a-web"},
			{"a wildcard is only a character", store.ServerFilter{Search: "b_w"}, "b_web"},
			{"a quote is only a character", store.ServerFilter{Search: `'; DROP TABLE servers; --`}, ""},
			{"backwards", store.ServerFilter{Sort: "-name"}, "d-other c-db b_web a-web"},
			{"by state", store.ServerFilter{Sort: "state", AccountID: a.ID, Unassigned: false, Limit: 3, Offset: 2}, "c-db"},
			{"a page", store.ServerFilter{Limit: 2, Offset: 1}, "b_web c-db"},
		} {
			if got := names(must(s.Servers(ctx, test.filter))(t)); got != test.want {
				t.Errorf("%s: %q, want %q", test.why, got, test.want)
			}
		}
		if n := must(s.CountServers(ctx, store.ServerFilter{Limit: 1, Search: "web"}))(t); n != 2 {
			t.Errorf("counted %d, want 2 whatever the limit", n)
		}
		if got := must(s.Servers(ctx, store.ServerFilter{ClusterID: c.ID, WithoutFacts: true}))(t); got[0].Facts.UUID != "" {
			t.Error("facts are there without being asked for")
		}
		_, err := s.Servers(ctx, store.ServerFilter{Sort: "name; DROP TABLE servers"})
		want(t, err, fleet.Invalid, "cannot be sorted")
	})
}

func TestOnlyMissingServersAreForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a := mustAccount(t, s, "a")
		all := mustSync(t, s, a.ID, "listed", "busy", "used", "free").Added
		c := mustCluster(t, s, "prod")
		mustCreate(t, s, operation(all[1].ID, "", "server.reboot"))
		must(s.Assign(ctx, all[2].ID, fleet.Assignment{ClusterID: c.ID}))(t)
		mustSync(t, s, a.ID, "listed")
		want(t, s.RemoveServer(ctx, all[0].ID), fleet.Conflict, "listed", "still listed")
		want(t, s.RemoveServer(ctx, all[1].ID), fleet.Conflict, "busy", "operation")
		want(t, s.RemoveServer(ctx, all[2].ID), fleet.Conflict, "used", "cluster")
		must(0, s.RemoveServer(ctx, all[3].ID))(t)
		want(t, s.RemoveServer(ctx, all[3].ID), fleet.NotFound)
	})
}

// thousand writes as many servers with facts of a usual size.
func thousand(t testing.TB, s *store.Store) []fleet.Server {
	var wanted []string
	for i := range 1000 {
		wanted = append(wanted, fmt.Sprintf("server-%04d", i))
	}
	all := mustSync(t, s, mustAccount(t, s, "a").ID, wanted...).Added
	facts := fleet.Facts{At: noon, UUID: "u", Dmidecode: strings.Repeat("System Information\n", 30), Disks: make([]fleet.Disk, 3), NICs: make([]fleet.NIC, 2)}
	for _, v := range all {
		must(0, s.SetFacts(t.Context(), v.ID, facts))(t)
	}
	return all
}
