package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func operation(server, cluster, kind string) fleet.Operation {
	return fleet.Operation{ID: fleet.NewID(), Kind: kind, ServerID: server, ClusterID: cluster, Actor: "ada", CreatedAt: noon}
}

func mustCreate(t testing.TB, s *store.Store, op fleet.Operation) fleet.Operation {
	t.Helper()
	if err := s.CreateOperation(t.Context(), op, []byte(`{"force":true}`)); err != nil {
		t.Fatal(err)
	}
	return op
}

func mustClaim(t testing.TB, s *store.Store, id, holder string, now time.Time) workflow.Claim {
	t.Helper()
	c, err := s.ClaimOperation(t.Context(), id, holder, now, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustWrite(t testing.TB, s *store.Store, c workflow.Claim, change workflow.Change) {
	t.Helper()
	if err := s.WriteOperation(t.Context(), c.Operation.ID, c.Revision, change); err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestOperationIsKeptWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		op := operation("s1", "", "server.install")
		op.ParentID, op.Steps = "p1", []fleet.OperationStep{{Name: "b", State: fleet.Pending}, {Name: "a", State: fleet.Pending}}
		mustCreate(t, s, op)
		c := mustClaim(t, s, op.ID, "replica", noon)
		if string(c.Input) != `{"force":true}` || c.Revision != 1 || c.TakenOver || c.Operation.State != fleet.Running || len(c.Operation.Steps) != 2 {
			t.Errorf("claim = %+v", c)
		}
		mustWrite(t, s, c, workflow.Change{
			State: fleet.Waiting, Step: ptr("a"), WaitingFor: ptr("rescue"), WaitUntil: ptr(noon.Add(time.Minute)), Question: ptr("sure?"),
			Answer: ptr("yes"), Error: ptr("error"), Hint: ptr("hint"), Done: ptr(int64(5)), Total: ptr(int64(9)), Unit: ptr("bytes"),
			Steps: []fleet.OperationStep{
				{Name: "a", State: fleet.Running, Attempts: 2, StartedAt: noon, Error: "first try"},
				{Name: "c", State: fleet.Failed, Attempts: 1, StartedAt: noon, FinishedAt: noon.Add(time.Second)},
			},
			Log:     []fleet.LogLine{{At: noon, Step: "a", Level: "info", Text: "one"}, {At: noon, Step: "a", Level: "warn", Text: "two"}},
			Values:  map[string][]byte{"code": []byte(`"abc"`), "disk": []byte(`1`)},
			Release: true, Finished: ptr(noon.Add(time.Hour)),
		})
		got := must(s.Operation(t.Context(), op.ID))(t)
		wantOp := fleet.Operation{
			ID: op.ID, Kind: "server.install", ServerID: "s1", ParentID: "p1", Actor: "ada", State: fleet.Waiting, Step: "a",
			Steps: []fleet.OperationStep{
				{Name: "b", State: fleet.Pending},
				{Name: "a", State: fleet.Running, Attempts: 2, StartedAt: noon, Error: "first try"},
				{Name: "c", State: fleet.Failed, Attempts: 1, StartedAt: noon, FinishedAt: noon.Add(time.Second)},
			},
			WaitingFor: "rescue", WaitUntil: noon.Add(time.Minute), Question: "sure?", Answer: "yes", Error: "error", Hint: "hint",
			Done: 5, Total: 9, Unit: "bytes", CreatedAt: noon, UpdatedAt: got.UpdatedAt, FinishedAt: noon.Add(time.Hour),
		}
		if diff := cmp.Diff(wantOp, got); diff != "" {
			t.Errorf("operation (-want +got):\n%s", diff)
		}
		again := mustClaim(t, s, op.ID, "replica", noon.Add(time.Minute))
		if diff := cmp.Diff(map[string][]byte{"code": []byte(`"abc"`), "disk": []byte(`1`)}, again.Values); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
		if again.TakenOver {
			t.Error("a slice that waited and released counts as interrupted")
		}
		mustWrite(t, s, again, workflow.Change{Values: map[string][]byte{"code": nil, "disk": []byte(`2`)}, WaitingFor: ptr("")})
		mustWrite(t, s, again, workflow.Change{State: fleet.Running, Release: true})
		last := mustClaim(t, s, op.ID, "replica", noon.Add(time.Minute))
		if diff := cmp.Diff(map[string][]byte{"disk": []byte(`2`)}, last.Values); diff != "" || last.Operation.WaitingFor != "" || last.Operation.Step != "a" {
			t.Errorf("after a second write: values (-want +got):\n%s\noperation %+v", diff, last.Operation)
		}
	})
}

func TestOneActiveOperation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for i, test := range []struct {
			why           string
			first, second fleet.Operation
			conflict      bool
		}{
			{"a server is for one operation of any kind", operation("s1", "", "server.install"), operation("s1", "", "server.reboot"), true},
			{"also when it is part of a cluster's", operation("s1", "c1", "server.install"), operation("s1", "", "server.install"), true},
			{"two servers", operation("s1", "", "server.install"), operation("s2", "", "server.install"), false},
			{"a cluster has one of a kind", operation("", "c1", "cluster.create"), operation("", "c1", "cluster.create"), true},
			{"two kinds on a cluster", operation("", "c1", "cluster.create"), operation("", "c1", "cluster.upgrade"), false},
			{"two servers of a cluster", operation("s1", "c1", "server.install"), operation("s2", "c1", "server.install"), false},
			{"neither server nor cluster", operation("", "", "account.sync"), operation("", "", "account.sync"), false},
		} {
			for _, op := range []*fleet.Operation{&test.first, &test.second} { // apart from the other cases
				op.ServerID, op.ClusterID = own(op.ServerID, i), own(op.ClusterID, i)
			}
			mustCreate(t, s, test.first)
			err := s.CreateOperation(t.Context(), test.second, nil)
			if !test.conflict {
				if err != nil {
					t.Errorf("%s: %v", test.why, err)
				}
				continue
			}
			want(t, err, fleet.Conflict, test.first.ID, test.first.Kind)
			c := mustClaim(t, s, test.first.ID, "r", noon)
			mustWrite(t, s, c, workflow.Change{State: fleet.Failed, Release: true, Finished: ptr(noon)})
			mustCreate(t, s, test.second)
			err = s.RequestOperation(t.Context(), test.first.ID, func(fleet.Operation) (workflow.Change, error) {
				return workflow.Change{State: fleet.Pending}, nil
			})
			want(t, err, fleet.Conflict, test.second.ID)
			if op := must(s.Operation(t.Context(), test.first.ID))(t); op.State != fleet.Failed {
				t.Errorf("the refused retry left it %s", op.State)
			}
		}
	})
}

// own makes an id of a case's own, and leaves an empty one empty.
func own(id string, i int) string {
	if id == "" {
		return ""
	}
	return fmt.Sprint(id, "-", i)
}

func TestClaim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, test := range []struct {
			why      string
			change   workflow.Change // after a first claim at noon for 10 s
			released bool            // ReleaseLeases(first holder)
			at       time.Duration
			due      bool
			takeover bool
		}{
			{"held", workflow.Change{}, false, 9 * time.Second, false, false},
			{"its lease passed: the holder died", workflow.Change{}, false, 10 * time.Second, true, true},
			{"the holder's earlier life is over", workflow.Change{}, true, time.Second, true, true},
			{"its slice ended, it goes on", workflow.Change{Release: true}, false, time.Second, true, false},
			{"waits", workflow.Change{State: fleet.Waiting, WaitUntil: ptr(noon.Add(time.Minute)), Release: true}, false, 59 * time.Second, false, false},
			{"waited long enough", workflow.Change{State: fleet.Waiting, WaitUntil: ptr(noon.Add(time.Minute)), Release: true}, false, time.Minute, true, false},
			{"asks a person", workflow.Change{State: fleet.Asking, Release: true}, false, time.Hour, false, false},
			{"succeeded", workflow.Change{State: fleet.Succeeded, Release: true}, false, time.Hour, false, false},
			{"failed", workflow.Change{State: fleet.Failed, Release: true}, false, time.Hour, false, false},
			{"cancelled", workflow.Change{State: fleet.Cancelled, Release: true}, false, time.Hour, false, false},
		} {
			op := mustCreate(t, s, operation("", "", test.why))
			first := mustClaim(t, s, op.ID, "first", noon)
			mustWrite(t, s, first, test.change)
			if test.released {
				must(0, s.ReleaseLeases(t.Context(), "another"))(t)
				must(0, s.ReleaseLeases(t.Context(), "first"))(t)
			}
			now := noon.Add(test.at)
			due := must(s.DueOperations(t.Context(), now, 100))(t)
			if slices.Contains(due, op.ID) != test.due {
				t.Errorf("%s: DueOperations has it: %v, want %v", test.why, !test.due, test.due)
			}
			c, err := s.ClaimOperation(t.Context(), op.ID, "second", now, time.Second)
			if !test.due {
				if !errors.Is(err, workflow.ErrNotDue) {
					t.Errorf("%s: claim = %v, want ErrNotDue", test.why, err)
				}
				continue
			}
			if err != nil || c.TakenOver != test.takeover || c.Revision != first.Revision+1 {
				t.Errorf("%s: claim = %v, taken over %v, revision %d; want taken over %v, revision %d", test.why, err, c.TakenOver, c.Revision, test.takeover, first.Revision+1)
			}
			if err := s.WriteOperation(t.Context(), op.ID, first.Revision, workflow.Change{State: fleet.Failed}); !errors.Is(err, workflow.ErrFenced) {
				t.Errorf("%s: the first holder's write = %v, want ErrFenced", test.why, err)
			}
		}
	})
}

func TestOneOfManyClaimsWins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for range 5 {
			op := mustCreate(t, s, operation("", "", "test"))
			var won atomic.Int32
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					_, err := s.ClaimOperation(t.Context(), op.ID, fmt.Sprint(i), noon, time.Minute)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, workflow.ErrNotDue) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d claims of one operation won", won.Load())
			}
		}
	})
}

func TestFencedWriteWritesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		op := mustCreate(t, s, operation("s1", "", "server.install"))
		c := mustClaim(t, s, op.ID, "r", noon)
		err := s.RequestOperation(t.Context(), op.ID, func(o fleet.Operation) (workflow.Change, error) {
			if o.State != fleet.Running {
				t.Errorf("request sees state %s", o.State)
			}
			return workflow.Change{State: fleet.Cancelled, Finished: ptr(noon), Log: []fleet.LogLine{{At: noon, Text: "cancelled by ada"}}}, nil
		})
		must(0, err)(t)
		err = s.WriteOperation(t.Context(), op.ID, c.Revision, workflow.Change{
			State: fleet.Succeeded, Steps: []fleet.OperationStep{{Name: "late"}}, Log: []fleet.LogLine{{Text: "late"}}, Values: map[string][]byte{"late": []byte("1")},
		})
		if !errors.Is(err, workflow.ErrFenced) {
			t.Errorf("write = %v, want ErrFenced", err)
		}
		got := must(s.Operation(t.Context(), op.ID))(t)
		lines := must(s.OperationLog(t.Context(), op.ID, 0, 0))(t)
		if got.State != fleet.Cancelled || len(got.Steps) != 0 || len(lines) != 1 {
			t.Errorf("after a fenced write: %s, steps %v, log %v", got.State, got.Steps, lines)
		}
	})
}

func TestRequestRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		op := mustCreate(t, s, operation("s1", "", "server.install"))
		c := mustClaim(t, s, op.ID, "r", noon)
		refusal := fleet.Errorf(fleet.Conflict, "not now")
		err := s.RequestOperation(t.Context(), op.ID, func(fleet.Operation) (workflow.Change, error) { return workflow.Change{State: fleet.Failed}, refusal })
		if !errors.Is(err, refusal) {
			t.Errorf("request = %v, want %v", err, refusal)
		}
		mustWrite(t, s, c, workflow.Change{Log: []fleet.LogLine{{Text: "still mine"}}}) // a refused request fences nobody
	})
}

func TestUnknownOperationIsNotFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		_, err := s.Operation(ctx, "nope")
		want(t, err, fleet.NotFound, "nope")
		_, err = s.ClaimOperation(ctx, "nope", "r", noon, time.Second)
		want(t, err, fleet.NotFound, "nope")
		want(t, s.WriteOperation(ctx, "nope", 1, workflow.Change{}), fleet.NotFound, "nope")
		want(t, s.RequestOperation(ctx, "nope", nil), fleet.NotFound, "nope")
	})
}

func TestLogIsOrderedAndPaged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		op := mustCreate(t, s, operation("s1", "", "server.install"))
		c := mustClaim(t, s, op.ID, "r", noon)
		for i := range 3 {
			mustWrite(t, s, c, workflow.Change{Log: []fleet.LogLine{
				{At: noon, Step: "x", Level: "info", Text: fmt.Sprint(2 * i)}, {At: noon, Step: "x", Level: "info", Text: fmt.Sprint(2*i + 1)},
			}})
		}
		var got strings.Builder
		for after, page := int64(0), 0; page < 4; page++ {
			for _, l := range must(s.OperationLog(t.Context(), op.ID, after, 2))(t) {
				got.WriteString(l.Text)
				after = l.Seq
			}
		}
		if got.String() != "012345" {
			t.Errorf("log in pages = %s", got.String())
		}
	})
}

func TestLogTakesWhatMachinesPrint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		op := mustCreate(t, s, operation("s1", "", "server.install"))
		c := mustClaim(t, s, op.ID, "r", noon)
		mustWrite(t, s, c, workflow.Change{
			Log: []fleet.LogLine{{Text: "zero\x00byte and \xff\xfe"}}, Error: ptr("a\x00b"), Steps: []fleet.OperationStep{{Name: "s", Error: "\xc3("}},
		})
		line := must(s.OperationLog(t.Context(), op.ID, 0, 0))(t)[0]
		if line.Text != "zero\uFFFDbyte and \uFFFD" {
			t.Errorf("text = %q", line.Text)
		}
	})
}

func TestOperationsAreListed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var ids []string
		for i := range 6 {
			op := operation(fmt.Sprintf("s%d", i), "c1", "server.install")
			if i%2 == 1 {
				op.Kind, op.ClusterID, op.ParentID = "server.reboot", "c2", ids[0]
			}
			op.CreatedAt = noon.Add(time.Duration(i/2) * time.Second) // two at each time: the id decides
			ids = append(ids, mustCreate(t, s, op).ID)
		}
		c := mustClaim(t, s, ids[0], "r", noon)
		mustWrite(t, s, c, workflow.Change{State: fleet.Succeeded, Finished: ptr(noon), Release: true})
		for _, test := range []struct {
			why    string
			filter store.OperationFilter
			want   []int
		}{
			{"all, newest first", store.OperationFilter{}, []int{5, 4, 3, 2, 1, 0}},
			{"by kind", store.OperationFilter{Kind: "server.reboot"}, []int{5, 3, 1}},
			{"by cluster", store.OperationFilter{ClusterID: "c1"}, []int{4, 2, 0}},
			{"by server", store.OperationFilter{ServerID: "s3"}, []int{3}},
			{"by parent", store.OperationFilter{ParentID: ids[0]}, []int{5, 3, 1}},
			{"by states", store.OperationFilter{States: []fleet.OperationState{fleet.Succeeded, fleet.Failed}}, []int{0}},
			{"active", store.OperationFilter{Active: true, ClusterID: "c1"}, []int{4, 2}},
			{"a page", store.OperationFilter{Limit: 2}, []int{5, 4}},
			{"the next page", store.OperationFilter{Limit: 3, Before: ids[4]}, []int{3, 2, 1}},
		} {
			var got, expected []string
			for _, op := range must(s.Operations(t.Context(), test.filter))(t) {
				got = append(got, op.ID)
			}
			for _, i := range test.want {
				expected = append(expected, ids[i])
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.why, diff)
			}
		}
		children := must(s.Children(t.Context(), ids[0]))(t)
		if len(children) != 3 || children[0].ID != ids[1] {
			t.Errorf("children = %v, want three, oldest first", children)
		}
		counts := must(s.OperationCounts(t.Context()))(t)
		if counts[fleet.Pending] != 5 || counts[fleet.Succeeded] != 1 {
			t.Errorf("counts = %v", counts)
		}
		if due := must(s.DueOperations(t.Context(), noon, 2))(t); len(due) != 2 || due[0] != ids[1] {
			t.Errorf("due = %v, want the two oldest", due)
		}
	})
}

func TestOldOperationsAreRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		old, active := mustCreate(t, s, operation("s1", "", "x")), mustCreate(t, s, operation("s2", "", "x"))
		c := mustClaim(t, s, old.ID, "r", noon)
		mustWrite(t, s, c, workflow.Change{
			State: fleet.Succeeded, Finished: ptr(noon), Log: []fleet.LogLine{{Text: "x"}}, Steps: []fleet.OperationStep{{Name: "x"}},
			Values: map[string][]byte{"x": []byte("1")},
		})
		if n := must(s.RemoveOperations(t.Context(), noon))(t); n != 0 {
			t.Errorf("removed %d that are not old enough", n)
		}
		if n := must(s.RemoveOperations(t.Context(), noon.Add(time.Second)))(t); n != 1 {
			t.Errorf("removed %d, want 1", n)
		}
		_, err := s.Operation(t.Context(), old.ID)
		want(t, err, fleet.NotFound)
		must(s.Operation(t.Context(), active.ID))(t)
	})
}

func TestConcurrentWritesLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const operations, writes = 8, 10
		var wg sync.WaitGroup
		for i := range operations {
			op := mustCreate(t, s, operation(fmt.Sprint("s", i), "", "x"))
			c := mustClaim(t, s, op.ID, "r", noon)
			wg.Go(func() {
				for range writes {
					err := s.WriteOperation(t.Context(), op.ID, c.Revision, workflow.Change{Log: []fleet.LogLine{{Text: "line"}}, Done: ptr(int64(1))})
					if err != nil {
						t.Error(err)
					}
				}
				lines, err := s.OperationLog(t.Context(), op.ID, 0, 0)
				if err != nil || len(lines) != writes || lines[writes-1].Seq != writes {
					t.Errorf("%d lines, %v", len(lines), err)
				}
			})
		}
		wg.Wait()
	})
}
