package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

func TestANewAccountsServersAreThereAtOnceAndStay(t *testing.T) {
	l := newLab(t)
	l.sim.AddDedicated(login, "db-1")
	a := l.robot(t)
	if s := l.server(t, "db-1"); s.AccountID != a.ID || s.State != fleet.Known || a.SyncedAt.IsZero() || a.Problem != "" {
		t.Errorf("server %+v of account %+v", s, a)
	}
	l.sim.AddDedicated(login, "db-2")
	done, err := l.Sync(t.Context(), "robot")
	if err != nil || len(done.Added) != 1 || done.Added[0].Name != "db-2" {
		t.Errorf("sync: %+v, %v", done, err)
	}
}

func TestWhatIsWrongWithAnAccountIsShownUntilItIsNotAnyMore(t *testing.T) {
	l := newLab(t)
	l.sim.AddDedicated(login, "db-1")
	a := l.robot(t)
	a.Password = "changed by somebody"
	must(t, l.Store.UpdateAccount(t.Context(), a))
	if _, err := l.Sync(t.Context(), "robot"); fleet.KindOf(err) != fleet.Unauthorized || fleet.HintOf(err) == "" || !strings.Contains(err.Error(), "account robot") {
		t.Errorf("sync: %v (hint %q)", err, fleet.HintOf(err))
	}
	if a, _ = l.Store.Account(t.Context(), "robot"); a.Problem == "" {
		t.Error("the account shows no problem")
	}
	if s := l.server(t, "db-1"); !s.MissingAt.IsZero() {
		t.Error("its servers are taken for gone")
	}
	a.Password = password
	must(t, l.Store.UpdateAccount(t.Context(), a))
	_, err := l.Sync(t.Context(), "robot")
	must(t, err)
	if a, _ = l.Store.Account(t.Context(), "robot"); a.Problem != "" {
		t.Errorf("it shows %q still", a.Problem)
	}
}

func TestAccountsAreListedWhenTheyAreDue(t *testing.T) {
	l := newLab(t)
	l.sim.AddDedicated(login, "db-1")
	a := l.robot(t)
	for _, tc := range []struct {
		why    string
		after  time.Duration
		listed bool
	}{
		{"it was listed this moment", 0, false},
		{"by another replica, some minutes ago", 5 * time.Minute, false},
		{"an interval ago", 10 * time.Minute, true},
	} {
		now := a.SyncedAt.Add(tc.after)
		l.Now = func() time.Time { return now }
		must(t, l.SyncDue(t.Context()))
		after, err := l.Store.Account(t.Context(), "robot")
		must(t, err)
		if listed := !after.SyncedAt.Equal(a.SyncedAt); listed != tc.listed {
			t.Errorf("%s: listed is %v", tc.why, listed)
		}
	}
}

func TestOneAccountThatFailsDoesNotKeepTheOthersFromBeingListed(t *testing.T) {
	l := newLab(t)
	a := l.cloud(t)
	a.Token = strings.Repeat("x", 64)
	must(t, l.Store.UpdateAccount(t.Context(), a))
	l.robot(t)
	l.sim.AddDedicated(login, "db-1")
	if err := l.SyncAll(t.Context()); err == nil || !strings.Contains(err.Error(), "account cloud") {
		t.Errorf("sync: %v", err)
	}
	l.server(t, "db-1")
}

func TestAServerOfTwoAccountsIsRefused(t *testing.T) {
	l := newLab(t)
	l.sim.AddCloud(token, "worker-1")
	l.cloud(t)
	twice, err := l.Store.CreateAccount(t.Context(), fleet.Account{Name: "again", Provider: fleet.HetznerCloud, Token: token}) // as if by a second token
	must(t, err)
	if _, err := l.Sync(t.Context(), twice.ID); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "worker-1") || !strings.Contains(fleet.HintOf(err), "account remove again") {
		t.Errorf("sync: %v (hint %q)", err, fleet.HintOf(err))
	}
	if n, err := l.Store.CountServers(t.Context(), store.ServerFilter{IncludeMissing: true}); err != nil || n != 1 {
		t.Errorf("%d servers, %v", n, err)
	}
}

// One cluster through what befalls nodes: lost labels, a node that is not well, an API that does not answer.
func TestNodesAreLookedAfter(t *testing.T) {
	l := newLab(t)
	c := l.running(t)
	ctx := t.Context()
	_, err := l.app.Manager.AddRule(ctx, "test", fleet.Rule{Match: "worker", Labels: map[string]string{"example.com/pool": "batch"}, Taints: []fleet.Taint{{Key: "role", Value: "batch", Effect: "NoSchedule"}}})
	must(t, err)
	k := l.kubernetes(t, c)
	worn := func() (string, int) {
		n, err := k.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		must(t, err)
		return n.Labels["example.com/pool"], len(n.Spec.Taints)
	}
	for _, when := range []string{"a new rule", "somebody took it off"} {
		must(t, l.LookAtNodes(ctx))
		if pool, taints := worn(); pool != "batch" || taints != 1 {
			t.Errorf("%s: label %q, %d taints", when, pool, taints)
		}
		_, err := k.CoreV1().Nodes().Patch(ctx, "worker-1", types.MergePatchType, []byte(`{"metadata":{"labels":{"example.com/pool":null}},"spec":{"taints":null}}`), metav1.PatchOptions{})
		must(t, err)
	}
	l.workerFailsAndComesBack(t)
	l.nodeIsDeleted(t, func() { must(t, k.CoreV1().Nodes().Delete(ctx, "worker-1", metav1.DeleteOptions{})) })
	l.upgradedByHand(t, c)
	l.apiFalls(t)
}

// is looks at the nodes until a server is in a state.
func (l *lab) is(t *testing.T, name string, state fleet.State) {
	t.Helper()
	until(t, name+" to be "+string(state), func() error {
		if err := l.LookAtNodes(t.Context()); err != nil {
			return err
		}
		if s := l.server(t, name); s.State != state {
			return fleet.Errorf(fleet.Unavailable, "it is %s", s.State)
		}
		return nil
	})
}

func (l *lab) workerFailsAndComesBack(t *testing.T) {
	t.Helper()
	for _, m := range l.sim.World.Machines() {
		if m.Name == "worker-1" {
			m.PowerCut()
			l.is(t, "worker-1", fleet.Unhealthy)
			m.PowerOn()
		}
	}
	if said := l.said(t, "server.unhealthy"); len(said) != 1 || !strings.HasPrefix(said[0], "worker-1 is unhealthy: ") {
		t.Errorf("the events say %q", said)
	}
	if s := l.server(t, "control-plane-1"); s.State != fleet.Ready {
		t.Errorf("the other is %s", s.State)
	}
	l.is(t, "worker-1", fleet.Ready)
	if said := l.said(t, "server.ready"); len(said) != 1 || said[0] != "worker-1 is ready" {
		t.Errorf("the events say %q", said)
	}
}

func (l *lab) nodeIsDeleted(t *testing.T, remove func()) {
	t.Helper()
	remove()
	must(t, l.LookAtNodes(t.Context()))
	if s := l.server(t, "worker-1"); s.State != fleet.Unhealthy {
		t.Errorf("without its node it is %s", s.State)
	}
	if said := l.said(t, "server.unhealthy"); said[0] != "worker-1 is unhealthy: its node worker-1 is gone" {
		t.Errorf("the events say %q", said)
	}
}

func (l *lab) upgradedByHand(t *testing.T, c fleet.Cluster) {
	t.Helper()
	c, err := l.Store.Cluster(t.Context(), c.ID)
	must(t, err)
	runs := c.KubernetesVersion
	c.KubernetesVersion = "v1.35.0" // what we believed
	must(t, l.Store.UpdateCluster(t.Context(), c))
	must(t, l.LookAtNodes(t.Context()))
	if c, err = l.Store.Cluster(t.Context(), c.ID); err != nil || c.KubernetesVersion != runs {
		t.Errorf("it runs %s, our records say %s, %v", runs, c.KubernetesVersion, err)
	}
	if said := l.said(t, "cluster.kubernetes"); len(said) != 1 || !strings.Contains(said[0], runs) {
		t.Errorf("the events say %q", said)
	}
}

func (l *lab) apiFalls(t *testing.T) {
	t.Helper()
	for _, m := range l.sim.World.Machines() {
		m.PowerCut()
	}
	for round := 1; round <= 3; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := l.LookAtNodes(ctx); err == nil || !strings.Contains(err.Error(), "cluster prod") {
			t.Errorf("round %d: %v", round, err)
		}
		cancel()
		want := fleet.Ready
		if round == 3 { // not before: it may only restart
			want = fleet.Unhealthy
		}
		if s := l.server(t, "control-plane-1"); s.State != want {
			t.Errorf("after %d rounds without an answer it is %s", round, s.State)
		}
	}
	if said := l.said(t, "server.unhealthy"); !strings.Contains(said[0], "API of prod does not answer") {
		t.Errorf("the events say %q", said)
	}
}

func TestTheFirstRoundsComeAtOnceAndEndWithTheProgram(t *testing.T) {
	l := newLab(t)
	l.sim.AddDedicated(login, "db-1")
	_, err := l.Store.CreateAccount(t.Context(), fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password}) // by a setting
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	until(t, "the first listing", func() error {
		_, err := l.Store.Server(t.Context(), "db-1")
		return err
	})
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}
