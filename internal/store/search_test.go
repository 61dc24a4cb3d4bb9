package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

func TestRecordsAreFoundByTheirNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		prod := must(s.CreateCluster(t.Context(), fleet.Cluster{Name: "prod", Endpoint: "https://api.example.com:6443"}))(t)
		must(s.CreateConfig(t.Context(), fleet.Config{Name: "Prod-base"}, "admin"))(t)
		must(s.CreateSchematic(t.Context(), fleet.Schematic{Name: "prod_100%"}))(t)
		must(s.CreateAccount(t.Context(), fleet.Account{Name: "prod-robot", Provider: fleet.HetznerRobot}))(t)
		for _, c := range []struct {
			reason, words string
			limit         int
			want          []string
		}{
			{"in any case, by kind", "PROD", 9, []string{"account prod-robot", "cluster prod", "config Prod-base", "schematic prod_100%"}},
			{"no more than wanted", "prod", 1, []string{"account prod-robot"}},
			{"a cluster by its endpoint", "API.example", 9, []string{"cluster prod"}},
			{"a percent sign is one", "100%", 9, []string{"schematic prod_100%"}},
			{"nothing", "staging", 9, nil},
		} {
			var got []string
			for _, n := range must(s.Named(t.Context(), c.words, c.limit))(t) {
				got = append(got, n.Kind+" "+n.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q finds %q, want %q", c.reason, c.words, got, c.want)
			}
		}
		if names := must(s.ClusterNames(t.Context()))(t); len(names) != 1 || names[prod.ID] != "prod" {
			t.Errorf("clusters are called %v", names)
		}
	})
}

func TestServersAreFoundBySerialNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := must(s.CreateAccount(t.Context(), fleet.Account{Name: "manual", Provider: fleet.Manual}))(t)
		var ids []string
		for i := range 3 {
			v := must(s.AddServer(t.Context(), fleet.Server{AccountID: a.ID, Provider: fleet.Manual, ProviderID: fmt.Sprint(i), Name: fmt.Sprint("db-", i), Architecture: fleet.AMD64}))(t)
			ids = append(ids, v.ID)
		}
		must(0, s.SetFacts(t.Context(), ids[1], fleet.Facts{Serial: "old-1"}))(t)
		must(0, s.SetFacts(t.Context(), ids[2], fleet.Facts{Serial: strings.Repeat("X", 4000)}))(t)
		must(0, s.SetFacts(t.Context(), ids[1], fleet.Facts{Serial: "ABC123", Disks: []fleet.Disk{{Name: "sda", Serial: `S"4_x`, Model: "ABC9"}}}))(t)
		for _, c := range []struct{ reason, serial, want string }{
			{"of the board, its beginning, in any case", "abc1", "db-1"},
			{"of a disk, with what JSON and LIKE would take for theirs", `S"4_X`, "db-1"},
			{"its middle will not do", "BC12", ""},
			{"of a board that was exchanged", "old-1", ""},
			{"a model is no serial number", "ABC9", ""},
			{"longer than any", strings.Repeat("x", 3000), "db-2"},
		} {
			got := ""
			for _, v := range must(s.ServersBySerial(t.Context(), c.serial, 5))(t) {
				got += v.Name
			}
			if got != c.want {
				t.Errorf("%s: %q finds %q, want %q", c.reason, c.serial, got, c.want)
			}
		}
		names := must(s.ServerNames(t.Context(), ids[0], ids[2], "nobody"))(t)
		if len(names) != 2 || names[ids[2]] != "db-2" {
			t.Errorf("servers are called %v", names)
		}
		if none := must(s.ServerNames(t.Context()))(t); len(none) != 0 {
			t.Errorf("nobody is called %v", none)
		}
	})
}

func TestServersAreFoundByTheirProblems(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, c := mustAccount(t, s, "a"), mustCluster(t, s, "prod")
		all := listing("fine", "placeholder", "overridden", "twin-1", "twin-2", "gone", "cancelled", "draft", "free-gone", "unseen")
		must(s.SyncServers(ctx, a.ID, all, nil, noon))(t)
		id := func(name string) string { return must(s.Server(ctx, name))(t).ID }
		const placeholder, good = "03000200-0400-0500-0006-000700080009", "4c4c4544-0051-3610-8052-b4c04f4a0001"
		for name, uuid := range map[string]string{
			"fine": "4c4c4544-0051-3610-8052-b4c04f4a0002", "placeholder": placeholder, "overridden": placeholder, "twin-1": good, "twin-2": placeholder,
			"free-gone": "4c4c4544-0051-3610-8052-b4c04f4a0002",
		} {
			must(0, s.SetFacts(ctx, id(name), fleet.Facts{At: noon, UUID: uuid}))(t)
		}
		must(0, s.SetUUIDOverride(ctx, id("overridden"), "4c4c4544-0051-3610-8052-b4c04f4a0003"))(t)
		must(0, s.SetUUIDOverride(ctx, id("twin-2"), good))(t)
		for _, name := range []string{"gone", "cancelled", "draft"} {
			must(s.Assign(ctx, id(name), fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker, Draft: name == "draft"}))(t)
		}
		var listed []fleet.Server
		for _, v := range all {
			v.Cancelled = v.Name == "cancelled" || v.Name == "unseen"
			if v.Name != "gone" && v.Name != "free-gone" {
				listed = append(listed, v)
			}
		}
		must(s.SyncServers(ctx, a.ID, listed, nil, noon))(t)
		for _, tc := range []struct {
			why    string
			filter store.ServerFilter
			want   string
		}{
			{"a placeholder, and the same UUID twice; a missing server's UUID does not count", store.ServerFilter{Problem: fleet.ProblemUUID}, "placeholder twin-1 twin-2"},
			{"missing or cancelled, in a cluster", store.ServerFilter{Problem: fleet.ProblemGone}, "cancelled gone"},
			{"a draft", store.ServerFilter{Problem: fleet.ProblemDraft}, "draft"},
			{"with another condition", store.ServerFilter{Problem: fleet.ProblemUUID, Search: "twin"}, "twin-1 twin-2"},
			{"a problem that there is not", store.ServerFilter{Problem: "nonsense"}, ""},
		} {
			if got := names(must(s.Servers(ctx, tc.filter))(t)); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.why, got, tc.want)
			}
			if n := must(s.CountServers(ctx, tc.filter))(t); n != len(strings.Fields(tc.want)) {
				t.Errorf("%s: %d are counted", tc.why, n)
			}
		}
	})
}
