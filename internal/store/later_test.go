package store_test

import (
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

func TestAnArmIsExtendedWhileNobodyWasServed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		w := armed(t, s, 1)[0]
		a := must(s.Arm(ctx, store.Arm{ServerID: w.ServerID, CodeHash: "h1", ArmedAt: noon, ExpiresAt: noon.Add(time.Minute)}))(t)
		must(0, s.ExtendArm(ctx, a, noon.Add(time.Hour)))(t)
		must(0, s.ExtendArm(ctx, a, noon.Add(time.Second)))(t) // never shorter
		if got := must(s.ArmOf(ctx, w.ServerID))(t); !got.ExpiresAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("it expires at %s", got.ExpiresAt)
		}
		must(0, s.HandOver(ctx, store.HandOver{ArmID: a.ID, ServerID: a.ServerID, Stamp: w.Stamp, At: noon.Add(2 * time.Minute)}))(t)
		must(0, s.ExtendArm(ctx, a, noon.Add(9*time.Hour)))(t)
		if got := must(s.ArmOf(ctx, w.ServerID))(t); !got.ExpiresAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("served, it expires at %s", got.ExpiresAt)
		}
		must(0, s.ExtendArm(ctx, store.Arm{ID: "nope"}, noon))(t)
	})
}

func TestAnotherServerBootstrapsOnlyInPlaceOfTheOneThatIsLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		c := must(s.CreateCluster(ctx, fleet.Cluster{Name: "prod", Secrets: []byte("x")}))(t)
		must(s.ClaimBootstrap(ctx, c.ID, "a"))(t)
		for _, tc := range []struct{ why, lost, to, want string }{
			{"the lost one", "a", "b", "b"},
			{"somebody was faster", "a", "c", "b"},
		} {
			if got := must(s.ClaimBootstrapAgain(ctx, c.ID, tc.lost, tc.to))(t); got != tc.want {
				t.Errorf("%s: %q is chosen, want %q", tc.why, got, tc.want)
			}
		}
		must(0, s.MarkBootstrapped(ctx, c.ID, noon))(t)
		if got := must(s.ClaimBootstrapAgain(ctx, c.ID, "b", "c"))(t); got != "b" {
			t.Errorf("after the bootstrap %q was chosen", got)
		}
		_, err := s.ClaimBootstrapAgain(ctx, "nope", "a", "b")
		want(t, err, fleet.NotFound, "nope")
	})
}

func TestAServersVSwitchIsNoted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		account := mustAccount(t, s, "a")
		must(s.SyncServers(ctx, account.ID, []fleet.Server{{ProviderID: "1", Name: "one"}}, []fleet.VSwitch{{ProviderID: "4321", Name: "lan", VLAN: 4000}}, noon))(t)
		server, lan := must(s.Server(ctx, "one"))(t), must(s.VSwitches(ctx, account.ID))(t)[0]
		for _, id := range []string{lan.ID, ""} {
			must(0, s.SetVSwitch(ctx, server.ID, id))(t)
			if got := must(s.Server(ctx, "one"))(t).VSwitchID; got != id {
				t.Errorf("it is in %q, want %q", got, id)
			}
		}
		want(t, s.SetVSwitch(ctx, "nope", ""), fleet.NotFound, "nope")
	})
}
