package store_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// edit saves contents in a layer of the cluster "c".
func edit(t testing.TB, s *store.Store, verb, base, text string) (fleet.Layer, error) {
	t.Helper()
	var l fleet.Layer
	err := s.Edit(t.Context(), "edit", nil, func(e *store.Edit) (err error) {
		l, err = e.Layer(t.Context(), store.LayerEdit{
			Scope: fleet.ScopeCluster, OwnerID: "c", Verb: verb, Base: base, Actor: "ada", Why: "why " + text, Contents: patched(text),
		})
		return err
	})
	return l, err
}

func TestALayerKeepsEveryRevisionAndADraftBeside(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if l := must(s.Layer(ctx, fleet.ScopeCluster, "c"))(t); l.Revision != "" || !l.Empty() || l.OwnerID != "c" {
			t.Errorf("never saved: %+v", l)
		}
		one := must(edit(t, s, store.VerbDraft, "", "one"))(t)
		if one.Draft == "" || one.Revision != "" || !one.Empty() || one.DraftBase != "" {
			t.Errorf("only a draft: %+v", one)
		}
		two := must(edit(t, s, store.VerbSave, "", "two"))(t)
		if two.Draft != one.Draft || two.Revision == "" || two.DraftBase != "" {
			t.Errorf("saved beside a draft: %+v", two)
		}
		if diff := cmp.Diff(two, must(s.Layer(ctx, fleet.ScopeCluster, "c"))(t)); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
		must(edit(t, s, store.VerbSave, "", "two"))(t) // no change, no revision
		_, err := edit(t, s, store.VerbSave, one.Draft, "three")
		want(t, err, fleet.Conflict, "meanwhile")
		again := must(edit(t, s, store.VerbDraft, one.Draft, "three"))(t) // a draft may be based on the draft
		if again.DraftBase != two.Revision {
			t.Errorf("a new draft: %+v", again)
		}
		done := must(edit(t, s, store.VerbPublish, two.Revision, "three"))(t)
		if done.Draft != "" || done.Revision != again.Draft || done.Text("all") != "three" {
			t.Errorf("published: %+v", done)
		}
		must(edit(t, s, store.VerbDraft, "", "four"))(t)
		if gone := must(edit(t, s, store.VerbDiscard, "", ""))(t); gone.Draft != "" || gone.Revision != done.Revision {
			t.Errorf("discarded: %+v", gone)
		}
		var got []string
		history := must(s.LayerHistory(ctx, fleet.ScopeCluster, "c"))(t)
		for _, r := range history {
			got = append(got, r.Verb+" "+r.Contents.Text("all")+" "+r.Actor+" "+r.Why)
		}
		wanted := []string{"draft one ada why one", "save two ada why two", "draft three ada why three", "publish three ada why three", "draft four ada why four", "discard four ada why "}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		newest := must(s.LayerRevisions(ctx, fleet.ScopeCluster, "c"))(t)
		if len(newest) != len(history) || newest[0] != history[len(history)-1].LayerRevision {
			t.Errorf("newest first: %+v", newest[0])
		}
	})
}

func TestAnEditIsRefusedWhenSomethingChangedSinceItWasChecked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, c := mustAccount(t, s, "a"), mustCluster(t, s, "prod")
		v := mustSync(t, s, a.ID, "x").Added[0]
		for _, tc := range []struct {
			why    string
			change func()
			stale  bool
		}{
			{"nothing", func() {}, false},
			{"a layer", func() { must(edit(t, s, store.VerbSave, "", "changed"))(t) }, true},
			{"a config", func() { must(s.CreateConfig(ctx, fleet.Config{Name: "base"}, "ada"))(t) }, true},
			{"a cluster", func() { must(0, s.UpdateCluster(ctx, c))(t) }, true},
			{"a bootstrap", func() { must(0, s.MarkBootstrapped(ctx, c.ID, noon))(t) }, true},
			{"a schematic", func() { must(s.CreateSchematic(ctx, fleet.Schematic{Name: "x"}))(t) }, true},
			{"an assignment", func() { must(s.Assign(ctx, v.ID, fleet.Assignment{ClusterID: c.ID}))(t) }, true},
			{"a state", func() { must(0, s.SetState(ctx, v.ID, fleet.Known, fleet.Installing))(t) }, false},
			{"an event", func() { must(s.AddEvent(ctx, fleet.Event{Verb: "x"}))(t) }, false},
		} {
			base := must(s.Version(ctx))(t)
			tc.change()
			err := s.Edit(ctx, "edit", &base, func(e *store.Edit) error {
				if err := e.Event(ctx, fleet.Event{Verb: "written", Text: tc.why}); err != nil {
					return err
				}
				_, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: "s", Verb: store.VerbSave, Contents: patched(tc.why)})
				return err
			})
			if errors.Is(err, store.ErrStale) != tc.stale || !tc.stale && err != nil {
				t.Errorf("%s: %v", tc.why, err)
			}
			written := must(s.Events(ctx, store.EventFilter{Verb: "written", Limit: 1}))(t)
			if yes := len(written) == 1 && written[0].Text == tc.why; yes == tc.stale {
				t.Errorf("%s: written: %t", tc.why, yes)
			}
		}
	})
}

func TestRecordsAreReadAsTheyAre(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		c := mustCluster(t, s, "prod")
		config := must(s.CreateConfig(ctx, fleet.Config{Name: "base", Contents: patched("one")}, "ada"))(t)
		first := must(s.Records(ctx, nil))(t)
		if first.Clusters[c.ID].Name != "prod" || first.Configs[config.ID].Text("all") != "one" || first.Configs[config.ID].Revision != config.Revision {
			t.Errorf("records %+v", first)
		}
		for i := range 30 { // more than are read one by one
			mustEdit(t, s, func(e *store.Edit) error {
				_, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: string(rune('a' + i)), Verb: store.VerbSave, Contents: patched(string(rune('a' + i)))})
				return err
			})
		}
		must(edit(t, s, store.VerbDraft, "", "draft"))(t)
		second := must(s.Records(ctx, first))(t)
		if l := second.Layer(fleet.ScopeServer, "c"); l.Text("all") != "c" {
			t.Errorf("layer %+v", l)
		}
		if n := len(second.Layers("")); n != 32 || len(second.Layers(fleet.ScopeServer)) != 30 {
			t.Errorf("%d layers", n)
		}
		draft, ok := second.ContentsOf(second.Layer(fleet.ScopeCluster, "c").Draft)
		if !ok || draft.Text("all") != "draft" {
			t.Errorf("draft %+v", draft)
		}
		if len(first.Layers("")) != 1 {
			t.Error("what was read earlier has changed")
		}
		must(0, s.RemoveConfig(ctx, config.ID))(t)
		third := must(s.Records(ctx, second))(t)
		if l := third.Layer(fleet.ScopeConfig, config.ID); !l.Empty() || len(third.Configs) != 0 {
			t.Errorf("a removed config has %+v", l)
		}
	})
}

func TestLayersGoWithTheirOwner(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		c := mustCluster(t, s, "prod")
		owners := map[string]fleet.Scope{c.ID: fleet.ScopeCluster, fleet.RoleOwner(c.ID, fleet.Worker): fleet.ScopeRole, fleet.RoleOwner(c.ID, fleet.ControlPlane): fleet.ScopeRole}
		for owner, scope := range owners {
			mustEdit(t, s, func(e *store.Edit) error {
				_, err := e.Layer(ctx, store.LayerEdit{Scope: scope, OwnerID: owner, Verb: store.VerbSave, Contents: patched("x")})
				return err
			})
		}
		must(0, s.RemoveCluster(ctx, c.ID))(t)
		if all := must(s.Records(ctx, nil))(t).Layers(""); len(all) != 0 {
			t.Errorf("left: %+v", all)
		}
		for owner, scope := range owners {
			if all := must(s.LayerRevisions(ctx, scope, owner))(t); len(all) != 1 {
				t.Errorf("%d revisions of the removed %s", len(all), scope)
			}
		}
	})
}

// A database of the first version, with what it held: a config with its three patches, two revisions of it, and a
// server's own patch.
func TestPatchesOfTheFirstVersionBecomeLayers(t *testing.T) {
	storetest.EachEmpty(t, func(t *testing.T, d storetest.Database) {
		db, box := formerVersion(t, d, 1), d.Options.Box
		body := `{"kubeSpan":true,"patchAll":"a: 1","patchControlPlane":"b: 2","patchWorker":"c: 3"}`
		for _, statement := range []struct {
			text string
			args []any
		}{
			{`INSERT INTO config_contents (revision, body) VALUES ('r1', $1)`, []any{box.Seal([]byte(body), "config_contents/body/r1")}},
			{`INSERT INTO config_contents (revision, body) VALUES ('r2', $1)`, []any{box.Seal([]byte(`{"patchAll":"a: 2"}`), "config_contents/body/r2")}},
			{`INSERT INTO configs (id, name, revision, created_at, updated_at) VALUES ('cfg', 'base', 'r1', 1, 2)`, nil},
			{`INSERT INTO config_revisions (config_id, position, revision, actor, saved_at) VALUES ('cfg', 0, 'r2', 'ada', 1), ('cfg', 1, 'r1', 'bob', 2), ('old', 0, 'r2', 'eve', 1)`, nil},
			{`INSERT INTO accounts (id, name, provider, token, login, password, created_at) VALUES ('a', 'a', 'hetzner_cloud', $1, $1, $1, 1)`, []any{box.Seal(nil, "accounts/token/a")}},
			{`INSERT INTO clusters (id, name, endpoint, talos_version, kubernetes_version, config_id, secrets, created_at) VALUES ('c', 'prod', '', '', '', 'cfg', $1, 1)`, []any{box.Seal([]byte("s"), "clusters/secrets/c")}},
			{`INSERT INTO servers (id, account_id, provider, provider_id, name, product, location, architecture, status, power, locked, ipv4, ipv6, ipv6_net, cancelled, created_at, seen_at, state, cluster_id, config_id, patch)
				VALUES ('s', 'a', 'hetzner_cloud', '1', 'db-1', '', '', 'amd64', '', 'on', FALSE, '', '', '', FALSE, 1, 1, 'known', 'c', 'cfg', $1)`, []any{box.Seal([]byte("d: 4"), "servers/patch/s")}},
		} {
			if _, err := db.ExecContext(t.Context(), statement.text, statement.args...); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()

		s := d.Open(t)
		three := []fleet.Patch{{Name: "all", Text: "a: 1"}, {Name: "control-plane", Text: "b: 2", Role: fleet.ControlPlane}, {Name: "worker", Text: "c: 3", Role: fleet.Worker}}
		config := must(s.Config(t.Context(), "base"))(t)
		if diff := cmp.Diff(fleet.Contents{KubeSpan: true, Patches: three}, config.Contents); diff != "" || config.Revision != "r1" {
			t.Errorf("%s: config at %s (-want +got):\n%s", s.Adapter(), config.Revision, diff)
		}
		if old := must(s.Contents(t.Context(), "r2"))(t); old.Text("all") != "a: 2" {
			t.Errorf("old revision %+v", old)
		}
		if all := must(s.LayerRevisions(t.Context(), fleet.ScopeConfig, "cfg"))(t); len(all) != 2 || all[0].Actor != "bob" || all[1].Revision != "r2" {
			t.Errorf("revisions %+v", all)
		}
		if own := must(s.Layer(t.Context(), fleet.ScopeServer, "s"))(t); own.Text(fleet.PatchOwn) != "d: 4" || own.Revision == "" {
			t.Errorf("the server's layer is %+v", own)
		}
		if server := must(s.Server(t.Context(), "db-1"))(t); server.Assignment.ConfigID != "cfg" || server.Assignment.Draft {
			t.Errorf("server %+v", server.Assignment)
		}
		same := must(s.UpdateConfig(t.Context(), config, "carol"))(t)
		if same.Revision != "r1" {
			t.Error("a save without a change makes a revision because it would be written otherwise today")
		}
	})
}

// Several programs read, check and write at once: nobody's change is lost, and nobody waits for ever.
func TestEditsAtOnceLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		a, c := mustAccount(t, s, "a"), mustCluster(t, s, "prod")
		servers := mustSync(t, s, a.ID, "x", "y", "z").Added
		add := func(name string) error {
			for {
				base, err := s.Version(ctx)
				if err != nil {
					return err
				}
				l, err := s.Layer(ctx, fleet.ScopeCluster, c.ID)
				if err != nil {
					return err
				}
				l.Patches = append(l.Patches, fleet.Patch{Name: name, Text: name})
				err = s.Edit(ctx, "add "+name, &base, func(e *store.Edit) error {
					_, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeCluster, OwnerID: c.ID, Contents: l.Contents, Verb: store.VerbSave})
					return err
				})
				if !errors.Is(err, store.ErrStale) {
					return err
				}
			}
		}
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() {
				if err := add(string(rune('a' + i))); err != nil {
					t.Error(err)
				}
			})
		}
		for _, v := range servers {
			wait.Go(func() {
				if _, err := s.Assign(ctx, v.ID, fleet.Assignment{ClusterID: c.ID, Hostname: v.Name}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if l := must(s.Layer(ctx, fleet.ScopeCluster, c.ID))(t); len(l.Patches) != 6 {
			t.Errorf("%d patches are left of 6", len(l.Patches))
		}
	})
}
