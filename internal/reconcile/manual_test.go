package reconcile_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Nobody lists servers that were added by hand, so a sync makes nothing of theirs missing, and has nothing to complain of.
func TestASyncLeavesServersAloneThatNobodyLists(t *testing.T) {
	l := newLab(t)
	s, err := l.app.Manager.AddServer(t.Context(), "test", manage.NewServer{Name: "basement", Address: "192.0.2.10"})
	must(t, err)
	for range 2 {
		must(t, l.SyncAll(t.Context()))
	}
	_, err = l.Sync(t.Context(), s.AccountID)
	must(t, err)
	kept, err := l.app.Store.Server(t.Context(), "basement")
	must(t, err)
	account, err := l.app.Store.Account(t.Context(), fleet.ManualAccount)
	must(t, err)
	if !kept.MissingAt.IsZero() || kept.State != fleet.Known || account.Problem != "" {
		t.Errorf("the server is %+v, the account's problem %q", kept, account.Problem)
	}
	if _, err := l.app.Manager.CheckAccount(t.Context(), fleet.ManualAccount); err != nil {
		t.Errorf("checking the account: %v", err)
	}
}
