package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// armed has as many servers with an arm each, in a cluster with everything a config can be made of.
func armed(t testing.TB, s *store.Store, n int) []store.Waiting {
	t.Helper()
	ctx := t.Context()
	a := mustAccount(t, s, "a")
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("server-%05d", i))
	}
	mustSync(t, s, a.ID, names...)
	for _, v := range must(s.Servers(ctx, store.ServerFilter{}))(t) {
		must(s.Arm(ctx, store.Arm{ServerID: v.ID, CodeHash: "hash of " + v.Name, UUID: "uuid of " + v.Name, ArmedAt: noon, ExpiresAt: noon.Add(time.Hour)}))(t)
	}
	waiting := must(s.Waiting(ctx, noon))(t)
	if len(waiting) != n {
		t.Fatalf("%d wait, want %d", len(waiting), n)
	}
	return waiting
}

// handOver is the handing over of a config that was made when w was read.
func handOver(w store.Waiting) store.HandOver {
	return store.HandOver{ArmID: w.ID, ServerID: w.ServerID, Stamp: w.Stamp, At: noon, Text: "to \x00 UUID " + w.UUID}
}

func served(t testing.TB, s *store.Store) int {
	t.Helper()
	return len(must(s.Events(t.Context(), store.EventFilter{Verb: "config.served"}))(t))
}

func TestAConfigIsHandedOverOnceWithItsEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		all := armed(t, s, 4)
		changes := s.Changes(ctx)
		must(0, s.HandOver(ctx, handOver(all[0])))(t)
		await(t, changes, store.Change{Table: "arms", ID: all[0].ID})
		if got := must(s.ArmOf(ctx, all[0].ServerID))(t); !got.ServedAt.Equal(noon) || got.Attempts != 1 {
			t.Errorf("the arm is %+v", got)
		}
		events := must(s.Events(ctx, store.EventFilter{TargetID: all[0].ServerID}))(t)
		if len(events) != 1 || events[0].Text != "to \uFFFD UUID uuid of server-00000" || events[0].Actor != "machine" || events[0].At.IsZero() {
			t.Errorf("events %+v", events)
		}
		if left := must(s.Waiting(ctx, noon))(t); len(left) != 3 {
			t.Errorf("%d wait, want 3", len(left))
		}

		late, again := handOver(all[1]), handOver(all[2])
		late.At = noon.Add(time.Hour)
		must(s.Arm(ctx, store.Arm{ServerID: all[2].ServerID, CodeHash: "new", ArmedAt: noon, ExpiresAt: noon.Add(time.Hour)}))(t)
		must(0, s.Disarm(ctx, all[3].ServerID))(t)
		for why, h := range map[string]store.HandOver{"a second time": handOver(all[0]), "too late": late, "armed again": again, "disarmed": handOver(all[3])} {
			if err := s.HandOver(ctx, h); fleet.KindOf(err) != fleet.Conflict {
				t.Errorf("%s: %v", why, err)
			}
		}
		if n := served(t, s); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// Whatever a config may be made of: once it changed, a config made before is not handed over. What no config is made
// of changes all the time, and must not be in the way.
func TestAConfigMadeBeforeAChangeIsNotHandedOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		c := must(s.CreateCluster(ctx, fleet.Cluster{Name: "prod", Endpoint: "https://a:6443", Secrets: []byte("x")}))(t)
		config := must(s.CreateConfig(ctx, fleet.Config{Name: "base"}, "tester"))(t)
		schematic := must(s.CreateSchematic(ctx, fleet.Schematic{Name: "plain", YAML: "{}"}))(t)
		all := armed(t, s, 2)
		id := all[0].ServerID
		v := must(s.Server(ctx, id))(t)
		listing := func(name string, vlan int) {
			vs := []fleet.VSwitch{{ProviderID: "v", Name: "v", VLAN: vlan}}
			must(s.SyncServers(ctx, v.AccountID, []fleet.Server{{Provider: v.Provider, ProviderID: v.ProviderID, Name: name}}, vs, noon))(t)
		}
		layer := func(scope fleet.Scope, owner string) func() {
			return func() {
				must(0, s.Edit(ctx, "test", nil, func(e *store.Edit) error {
					_, err := e.Layer(ctx, store.LayerEdit{Scope: scope, OwnerID: owner, Verb: store.VerbSave, Actor: "tester", Contents: fleet.Contents{Variables: map[string]string{"a": "b"}}})
					return err
				}))(t)
			}
		}
		listing(v.Name, 4000)
		for _, tc := range []struct {
			why    string
			change func()
			stale  bool
		}{
			{"nothing", func() {}, false},
			{"its assignment", func() { must(s.Assign(ctx, id, fleet.Assignment{ClusterID: c.ID, Role: fleet.Worker}))(t) }, true},
			{"its facts", func() { must(0, s.SetFacts(ctx, id, fleet.Facts{UUID: "u"}))(t) }, true},
			{"its name, as its provider was just asked", func() { must(0, s.SetObserved(ctx, id, "renamed", "", "on", false, noon))(t) }, true},
			{"its name, as listed", func() { listing("renamed again", 4000) }, true},
			{"the same listing", func() { listing("renamed again", 4000) }, false},
			{"the VLAN of a vSwitch", func() { listing("renamed again", 4001) }, true},
			{"its cluster", func() {
				must(0, s.UpdateCluster(ctx, fleet.Cluster{ID: c.ID, Name: "prod", Endpoint: "https://b:6443"}))(t)
			}, true},
			{"the bootstrap of its cluster", func() { must(0, s.MarkBootstrapped(ctx, c.ID, noon))(t) }, true},
			{"a config", func() {
				must(s.UpdateConfig(ctx, fleet.Config{ID: config.ID, Name: "base", Contents: fleet.Contents{KubeSpan: true}}, "tester"))(t)
			}, true},
			{"a schematic", func() {
				must(0, s.UpdateSchematic(ctx, fleet.Schematic{ID: schematic.ID, Name: "plain", YAML: "a: b"}))(t)
			}, true},
			{"patches of its cluster", layer(fleet.ScopeCluster, c.ID), true},
			{"patches of a role", layer(fleet.ScopeRole, fleet.RoleOwner(c.ID, fleet.Worker)), true},
			{"patches of a config", layer(fleet.ScopeConfig, config.ID), true},
			{"patches of its own", layer(fleet.ScopeServer, id), true},
			{"its state", func() { must(0, s.SetState(ctx, id, fleet.Known, fleet.Installing))(t) }, false},
			{"facts of another server", func() { must(0, s.SetFacts(ctx, all[1].ServerID, fleet.Facts{}))(t) }, false},
			{"an operation", func() { mustCreate(t, s, operation(all[1].ServerID, "", "x")) }, false},
			{"an event", func() { must(s.AddEvent(ctx, fleet.Event{}))(t) }, false},
		} {
			w := store.Waiting{Arm: must(s.Arm(ctx, store.Arm{ServerID: id, CodeHash: "again", ArmedAt: noon, ExpiresAt: noon.Add(time.Hour)}))(t)}
			w.Stamp = must(s.StampOf(ctx, w.Arm))(t)
			tc.change()
			err := s.HandOver(ctx, handOver(w))
			if tc.stale && fleet.KindOf(err) != fleet.Conflict || !tc.stale && err != nil {
				t.Errorf("%s changed: %v", tc.why, err)
			}
			if now := must(s.StampOf(ctx, w.Arm))(t); (now != w.Stamp) != tc.stale {
				t.Errorf("%s changed: the stamp goes from %+v to %+v", tc.why, w.Stamp, now)
			}
			if tc.stale {
				w.Stamp = must(s.StampOf(ctx, w.Arm))(t)
				must(0, s.HandOver(ctx, handOver(w)))(t)
			}
		}
	})
}

func TestAReplicaHandsOverNothingThatAnotherChanged(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		here, there := d.Open(t), d.Open(t)
		all := armed(t, here, 2)
		must(0, there.SetFacts(t.Context(), all[0].ServerID, fleet.Facts{UUID: "another"}))(t)
		want(t, here.HandOver(t.Context(), handOver(all[0])), fleet.Conflict)
		must(0, there.HandOver(t.Context(), handOver(all[1])))(t)
		want(t, here.HandOver(t.Context(), handOver(all[1])), fleet.Conflict)
	})
}

func TestOfManyHandOversAtOnceEachArmHasOne(t *testing.T) {
	storetest.EachDatabase(t, func(t *testing.T, d storetest.Database) {
		here, there := d.Open(t), d.Open(t)
		all := armed(t, here, 100)
		var wg sync.WaitGroup
		got := make(chan string, 3*len(all))
		for i, w := range all {
			for _, s := range []*store.Store{here, here, there} {
				wg.Go(func() {
					err := s.HandOver(t.Context(), handOver(w))
					switch {
					case err == nil:
						got <- w.ID
					case fleet.KindOf(err) != fleet.Conflict:
						t.Errorf("%d: %v", i, err)
					}
				})
			}
		}
		wg.Wait()
		close(got)
		once := map[string]int{}
		for id := range got {
			once[id]++
		}
		for _, w := range all {
			if once[w.ID] != 1 {
				t.Errorf("%s was handed over %d times", w.ServerID, once[w.ID])
			}
		}
		if n := served(t, here); n != len(all) {
			t.Errorf("%d events, want %d", n, len(all))
		}
	})
}

func TestNothingIsHandedOverWithoutTheDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := armed(t, s, 20)
		must(0, s.Close())(t)
		var wg sync.WaitGroup
		for _, w := range all {
			wg.Go(func() {
				if err := s.HandOver(context.WithoutCancel(t.Context()), handOver(w)); err == nil || fleet.KindOf(err) == fleet.Conflict {
					t.Errorf("handed over: %v", err)
				}
			})
		}
		wg.Wait()
	})
}
