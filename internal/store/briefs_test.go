package store_test

import (
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func TestServersAreToldInBrief(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		account := mustAccount(t, s, "a")
		c := must(s.CreateCluster(ctx, fleet.Cluster{Name: "prod", Secrets: []byte("x")}))(t)
		list := []fleet.Server{{ProviderID: "1", Name: "b", Location: "fsn1", Product: "cx23"}, {ProviderID: "2", Name: "a", Location: "nbg1"}}
		must(s.SyncServers(ctx, account.ID, list, nil, noon))(t)
		b := must(s.Server(ctx, "b"))(t)
		must(0, s.SetFacts(ctx, b.ID, fleet.Facts{At: noon, UUID: "AB", Cores: 8, MemoryBytes: 64, Disks: []fleet.Disk{{SizeBytes: 5}, {SizeBytes: 7}}}))(t)
		must(s.Assign(ctx, b.ID, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker}))(t)
		must(s.SyncServers(ctx, account.ID, list[:1], nil, noon.Add(time.Hour)))(t)

		all := must(s.ServerBriefs(ctx))(t)
		if len(all) != 2 || all[0].Name != "a" || !all[0].Missing || all[0].Looked || all[0].ClusterID != "" {
			t.Fatalf("briefs %+v", all)
		}
		want := store.ServerBrief{
			ID: b.ID, AccountID: account.ID, Name: "b", Provider: b.Provider, Product: "cx23", Location: "fsn1", State: fleet.Known,
			ClusterID: c.ID, Role: fleet.Worker, UUID: "ab", Looked: true, Cores: 8, MemoryBytes: 64, DiskBytes: 12,
		}
		if all[1] != want {
			t.Errorf("brief %+v, want %+v", all[1], want)
		}
		if places := must(s.ServerLocations(ctx))(t); len(places) != 2 || places[0] != "fsn1" {
			t.Errorf("locations %v", places)
		}
		for _, f := range []store.ServerFilter{{IDs: []string{b.ID, "nobody"}}, {Location: "fsn1"}, {Sort: "-cores", Limit: 1, IncludeMissing: true}} {
			if got := must(s.Servers(ctx, f))(t); len(got) != 1 || got[0].ID != b.ID {
				t.Errorf("%+v chooses %+v", f, got)
			}
		}
	})
}

func TestTheNewestOperationOfEachServerIsRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for _, op := range []fleet.Operation{
			{ID: "old", Kind: "server.rescue", ServerID: "a", CreatedAt: noon},
			{ID: "new", Kind: "server.install", ServerID: "a", CreatedAt: noon.Add(time.Hour)},
			{ID: "other", Kind: "server.rescue", ServerID: "b", CreatedAt: noon},
			{ID: "not asked for", Kind: "server.rescue", ServerID: "c", CreatedAt: noon},
		} {
			op.State = fleet.Pending
			must(0, s.CreateOperation(ctx, op, []byte("{}")))(t)
			claim := must(s.ClaimOperation(ctx, op.ID, "test", noon.Add(24*time.Hour), time.Minute))(t)
			must(0, s.WriteOperation(ctx, op.ID, claim.Revision, workflow.Change{State: fleet.Succeeded, Release: true}))(t)
		}
		got := must(s.LatestOperations(ctx, "a", "b", "nobody"))(t)
		if len(got) != 2 || got["a"].ID != "new" || got["b"].ID != "other" {
			t.Errorf("newest: %+v", got)
		}
		if none := must(s.LatestOperations(ctx))(t); len(none) != 0 {
			t.Errorf("of no servers: %+v", none)
		}
	})
}
