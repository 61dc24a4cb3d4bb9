package manage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Credentials are exchanged only for those that work, are nobody else's, and list the account's servers.
func TestCredentialsAreReplacedByThoseThatListTheSameServers(t *testing.T) {
	l := newLab(t)
	l.rent(t, "db-1")
	ctx := t.Context()
	robot, err := l.Store.Account(ctx, ok(l.Store.Server(ctx, "db-1"))(t).AccountID)
	must(t, err)
	for _, tc := range []struct {
		why  string
		to   manage.Credentials
		kind fleet.Kind
		says string
	}{
		{"none", manage.Credentials{}, fleet.Invalid, "needs a webservice user"},
		{"wrong ones", manage.Credentials{User: login, Password: "another"}, fleet.Unauthorized, "new credentials of account"},
	} {
		if _, err := l.RotateAccount(ctx, "test", robot.ID, tc.to); fleet.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.why, err)
		}
	}
	must(t, l.Store.AccountChecked(ctx, robot.ID, time.Now(), "401"))
	after, err := l.RotateAccount(ctx, "test", robot.ID, manage.Credentials{User: login, Password: password})
	if err != nil || after.Problem != "" {
		t.Fatalf("the right ones: %+v, %v", after, err)
	}
	kept, err := l.Store.Account(ctx, robot.ID)
	if err != nil || kept.Password != password || kept.Problem != "" {
		t.Errorf("kept is a password of %d characters, problem %q, %v", len(kept.Password), kept.Problem, err)
	}
	// A login that works, and has other servers.
	elsewhere, err := l.Store.CreateAccount(ctx, fleet.Account{Name: "elsewhere", Provider: fleet.HetznerCloud, Token: strings.Repeat("x", 64)})
	must(t, err)
	_, err = l.Store.SyncServers(ctx, elsewhere.ID, []fleet.Server{{ProviderID: "4711", Name: "cloud-1", Provider: fleet.HetznerCloud}}, nil, time.Now())
	must(t, err)
	if _, err := l.RotateAccount(ctx, "test", "elsewhere", manage.Credentials{Token: token}); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "none of its 1 servers") {
		t.Errorf("another project: %v", err)
	}
}

func TestBudgetsTellWhatIsLeftAndWhenItIsBack(t *testing.T) {
	l := newLab(t)
	l.rent(t, "db-1")
	ctx := t.Context()
	id := ok(l.Store.Server(ctx, "db-1"))(t).AccountID
	now := time.Now()
	for range 3 {
		_, err := l.Store.TakeCall(ctx, id, "robot POST /reset", 50, time.Hour, false, now)
		must(t, err)
	}
	all, err := l.Budgets(ctx, id)
	must(t, err)
	found := false
	for _, b := range all {
		if b.Group == "robot POST /reset" {
			found = true
			if b.Left() != 47 || b.Back.Sub(now).Round(time.Minute) != time.Hour {
				t.Errorf("%+v: %d left", b, b.Left())
			}
		} else if b.Used != 0 || !b.Back.IsZero() || b.Limit.Calls == 0 || b.What == "" {
			t.Errorf("unused: %+v", b)
		}
	}
	if !found || len(all) < 5 {
		t.Errorf("budgets: %+v", all)
	}
}
