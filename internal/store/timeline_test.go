package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// installs makes installs that were asked for a minute apart and took as many minutes as their number, each with a step;
// the last is not over.
func installs(t *testing.T, s *store.Store, n int) (ids []string, noon time.Time) {
	t.Helper()
	noon = time.Now().Add(-time.Hour).Truncate(time.Second)
	account := mustAccount(t, s, "a")
	for i := range n {
		_, err := s.SyncServers(t.Context(), account.ID, []fleet.Server{{ProviderID: fmt.Sprint(i), Name: fmt.Sprintf("web-%d", i)}}, nil, noon)
		must(0, err)(t)
		op := operation(must(s.Server(t.Context(), fmt.Sprintf("web-%d", i)))(t).ID, "c1", "server.install")
		op.CreatedAt, op.Actor = noon.Add(time.Duration(i)*time.Minute), "ada"
		if i%2 == 1 {
			op.ClusterID, op.Actor = "c2", "bob"
		}
		ids = append(ids, mustCreate(t, s, op).ID)
		c := mustClaim(t, s, ids[i], "r", noon)
		change := workflow.Change{
			Step: ptr("write"), Steps: []fleet.OperationStep{{Name: "check", State: fleet.Succeeded}, {Name: "write", State: fleet.Running}},
			WaitingFor: ptr("the image"), Values: map[string][]byte{"secret": []byte(fmt.Sprint("value ", i))},
		}
		if i < n-1 {
			change.State, change.Finished, change.Release = fleet.Succeeded, ptr(op.CreatedAt.Add(time.Duration(i+1)*time.Minute)), true
		}
		mustWrite(t, s, c, change)
	}
	return ids, noon
}

func chosenOf(t *testing.T, ids []string, want []int, got []fleet.Operation, why string) {
	t.Helper()
	var have, expected []string
	for _, op := range got {
		have = append(have, op.ID)
	}
	for _, i := range want {
		expected = append(expected, ids[i])
	}
	if diff := cmp.Diff(expected, have); diff != "" {
		t.Errorf("%s (-want +got):\n%s", why, diff)
	}
}

func TestOperationsOfOneTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ids, noon := installs(t, s, 6)
		for _, c := range []struct {
			why    string
			beside store.Beside
			want   []int
		}{
			{"in the cluster, until now", store.Beside{ClusterID: "c1", From: noon}, []int{0, 2, 4}},
			{"in the cluster, between", store.Beside{ClusterID: "c1", From: noon.Add(90 * time.Second), To: noon.Add(3 * time.Minute)}, []int{2}},
			{"one that is not over is under way", store.Beside{ClusterID: "c2", From: noon.Add(time.Hour)}, []int{5}},
			{"of one kind and person", store.Beside{Kind: "server.install", Actor: "bob", From: noon}, []int{1, 3, 5}},
			{"at most so many", store.Beside{ClusterID: "c1", From: noon, Limit: 2}, []int{0, 2}},
		} {
			all := must(s.OperationsBeside(t.Context(), c.beside))(t)
			chosenOf(t, ids, c.want, all, c.why)
			for _, op := range all {
				if len(op.Steps) != 2 || op.Steps[0].Name != "check" || op.Steps[1].Name != "write" {
					t.Errorf("%s: steps of %s are %v", c.why, op.ID, op.Steps)
				}
			}
		}
		if v := must(s.OperationValue(t.Context(), ids[1], "secret"))(t); string(v) != "value 1" {
			t.Errorf("the value is %q", v)
		}
		if v := must(s.OperationValue(t.Context(), ids[1], "none"))(t); v != nil {
			t.Errorf("no value is %q", v)
		}
	})
}

func TestOperationsAreLookedThrough(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ids, noon := installs(t, s, 6)
		for _, c := range []struct {
			why   string
			query store.OperationQuery
			want  []int
			total int
		}{
			{"all, newest first", store.OperationQuery{}, []int{5, 4, 3, 2, 1, 0}, 6},
			{"a page", store.OperationQuery{Limit: 2, Offset: 2}, []int{3, 2}, 6},
			{"by state", store.OperationQuery{States: []fleet.OperationState{fleet.Running}}, []int{5}, 1},
			{"by actor and cluster", store.OperationQuery{Actor: "bob", ClusterID: "c2"}, []int{5, 3, 1}, 3},
			{"by kind", store.OperationQuery{Kind: "server.rescue"}, nil, 0},
			{"since and until", store.OperationQuery{Since: noon.Add(time.Minute), Until: noon.Add(3 * time.Minute)}, []int{2, 1}, 2},
			{"by a server's name", store.OperationQuery{Search: "WEB-3"}, []int{3}, 1},
			{"by what it waits for", store.OperationQuery{Search: "the image", Limit: 1}, []int{5}, 6},
			{"by its id", store.OperationQuery{Search: ids[4]}, []int{4}, 1},
			{"a wildcard is only a character", store.OperationQuery{Search: "web_3"}, nil, 0},
			{"by begin", store.OperationQuery{Sort: "begun"}, []int{0, 1, 2, 3, 4, 5}, 6},
			{"the longest first, and one that is not over lasts until now", store.OperationQuery{Sort: "-duration", Limit: 3}, []int{5, 4, 3}, 6},
			{"the shortest first", store.OperationQuery{Sort: "duration", Limit: 2}, []int{0, 1}, 6},
			{"an order that there is not", store.OperationQuery{Sort: "id; DROP", Limit: 1}, []int{5}, 6},
		} {
			all, total, err := s.OperationPage(t.Context(), c.query)
			must(0, err)(t)
			chosenOf(t, ids, c.want, all, c.why)
			if total != c.total {
				t.Errorf("%s: %d in all, want %d", c.why, total, c.total)
			}
		}
		runs := must(s.RunTimes(t.Context(), "server.install", 2))(t)
		if len(runs) != 2 || runs[0].ID != ids[3] || runs[0].Took != 4*time.Minute || runs[1].Took != 5*time.Minute {
			t.Errorf("runs are %+v", runs)
		}
		if diff := cmp.Diff([]string{"ada", "bob"}, must(s.OperationActors(t.Context()))(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatAFilterOfEventsOffers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for i, verb := range []string{"server.rename", "account.add", "server.rename"} {
			must(s.AddEvent(t.Context(), fleet.Event{Actor: []string{"bob", "ada"}[i%2], Verb: verb}))(t)
		}
		if diff := cmp.Diff([]string{"ada", "bob"}, must(s.EventActors(t.Context()))(t)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"account.add", "server.rename"}, must(s.EventVerbs(t.Context()))(t)); diff != "" {
			t.Error(diff)
		}
	})
}
