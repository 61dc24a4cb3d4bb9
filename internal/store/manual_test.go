package store_test

import (
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func TestAServerThatNobodyListsIsKeptAndMoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := must(s.CreateAccount(t.Context(), fleet.Account{Name: "manual", Provider: fleet.Manual}))(t)
		v := fleet.Server{AccountID: a.ID, Provider: fleet.Manual, ProviderID: "192.0.2.10:22", Name: "db-1", Architecture: fleet.AMD64, IPv4: "192.0.2.10", Power: fleet.PowerUnknown, HostKey: "SHA256:x"}
		v = must(s.AddServer(t.Context(), v))(t)
		if kept := must(s.Server(t.Context(), "db-1"))(t); kept.ID != v.ID || kept.HostKey != "SHA256:x" || kept.State != fleet.Known || !kept.SeenAt.Equal(v.SeenAt) || !kept.MissingAt.IsZero() {
			t.Errorf("kept is %+v, added was %+v", kept, v)
		}
		twin := v
		twin.ID, twin.Name = "", "db-2"
		_, err := s.AddServer(t.Context(), twin)
		want(t, err, fleet.Conflict, "192.0.2.10:22")
		v.ProviderID, v.IPv4, v.IPv6, v.HostKey = "[2001:db8::1]:22", "", "2001:db8::1", ""
		must(0, s.SetAddress(t.Context(), v))(t)
		if kept := must(s.Server(t.Context(), v.ID))(t); kept.Address() != "2001:db8::1" || kept.HostKey != "" || kept.ProviderID != v.ProviderID {
			t.Errorf("kept is %+v", kept)
		}
		op := fleet.Operation{ID: fleet.NewID(), Kind: "server.rescue", ServerID: v.ID, State: fleet.Waiting, CreatedAt: noon, UpdatedAt: noon}
		must(0, s.CreateOperation(t.Context(), op, []byte("{}")))(t)
		want(t, s.SetAddress(t.Context(), v), fleet.Conflict, "operation")
		want(t, s.RemoveServer(t.Context(), v.ID), fleet.Conflict, "operation")
		gone := v
		gone.ID = "nobody"
		want(t, s.SetAddress(t.Context(), gone), fleet.NotFound)
	})
}

func TestBudgetsTellWhatIsUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		used := func(group string, refill bool, at time.Duration, wantUsed int, wantBack time.Duration) {
			t.Helper()
			b := must(s.Budget(t.Context(), "a", group))(t)
			n, back := b.Used(4, time.Hour, refill, noon.Add(at))
			if wantBack == 0 && !back.IsZero() || wantBack != 0 && !back.Equal(noon.Add(wantBack)) || n != wantUsed {
				t.Errorf("%s at %s: %d used, back at %s; want %d, %s", group, at, n, back, wantUsed, wantBack)
			}
		}
		used("reset", false, 0, 0, 0)
		for range 3 {
			must(s.TakeCall(t.Context(), "a", "reset", 4, time.Hour, false, noon))(t)
			must(s.TakeCall(t.Context(), "a", "api", 4, time.Hour, true, noon))(t)
		}
		used("reset", false, time.Minute, 3, time.Hour)
		used("reset", false, time.Hour, 0, 0)
		used("api", true, 0, 3, 45*time.Minute)
		used("api", true, 20*time.Minute, 2, 45*time.Minute)
		used("api", true, 45*time.Minute, 0, 0)
		must(0, s.ExhaustCalls(t.Context(), "a", "reset", noon.Add(10*time.Minute)))(t)
		used("reset", false, 5*time.Minute, 4, 10*time.Minute)
		used("reset", false, 11*time.Minute, 0, 0)
	})
}

func TestStepTimesAreThoseOfWhatSucceeded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := must(s.CreateAccount(t.Context(), fleet.Account{Name: "manual", Provider: fleet.Manual}))(t)
		v := must(s.AddServer(t.Context(), fleet.Server{AccountID: a.ID, Provider: fleet.Manual, ProviderID: "192.0.2.10:22", Name: "db-1"}))(t)
		for i, state := range []fleet.OperationState{fleet.Succeeded, fleet.Failed, fleet.Succeeded} {
			at := noon.Add(time.Duration(i) * time.Hour)
			op := fleet.Operation{ID: fleet.NewID(), Kind: "server.install", ServerID: v.ID, State: fleet.Pending, CreatedAt: at, UpdatedAt: at}
			must(0, s.CreateOperation(t.Context(), op, []byte("{}")))(t)
			c := must(s.ClaimOperation(t.Context(), op.ID, "test", at, time.Minute))(t)
			step := fleet.OperationStep{Name: "write the image", State: fleet.Succeeded, StartedAt: at, FinishedAt: at.Add(time.Minute)}
			must(0, s.WriteOperation(t.Context(), op.ID, c.Revision, workflow.Change{State: state, Steps: []fleet.OperationStep{step}}))(t)
		}
		all := must(s.StepTimes(t.Context(), "server.install", 10))(t)
		if len(all) != 2 || all[0].Step != "write the image" || all[0].Provider != fleet.Manual || !all[0].Started.Equal(noon.Add(2*time.Hour)) || all[0].Finished.Sub(all[0].Started) != time.Minute {
			t.Errorf("got %+v", all)
		}
		if all = must(s.StepTimes(t.Context(), "server.install", 1))(t); len(all) != 1 {
			t.Errorf("of one operation: %+v", all)
		}
		if all = must(s.StepTimes(t.Context(), "cluster.bootstrap", 10))(t); len(all) != 0 {
			t.Errorf("of another kind: %+v", all)
		}
	})
}
