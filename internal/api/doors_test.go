package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestCredentialsAreReplacedAndNeverComeBack(t *testing.T) {
	l := open(t)
	l.accounts()
	auth := []string{"Authorization", "Bearer " + l.token, "Content-Type", "application/json"}
	resp, e := l.raw("PUT", "/api/v1/accounts/robot/credentials", `{"password":"swordfish"}`, auth...) // raw looks for it in the answer
	if resp.StatusCode != 401 || !strings.Contains(e.Error.Message, "new credentials of account robot") {
		t.Errorf("wrong ones: %d %+v", resp.StatusCode, e.Error)
	}
	a, err := l.RotateAccount(t.Context(), "robot", client.Credentials{Password: "secret"})
	l.must(err)
	if a.User != "#ws+lab" || a.Problem != "" {
		t.Errorf("after: %+v", a)
	}
	resp, e = l.raw("PUT", "/api/v1/accounts/cloud/credentials", `{"token":""}`, auth...)
	if resp.StatusCode != 422 || e.Error.Hint == "" {
		t.Errorf("none: %d %+v", resp.StatusCode, e.Error)
	}
	_, err = l.RotateAccount(t.Context(), "nobody", client.Credentials{Token: "x"})
	l.want(err, client.NotFound, 404, "nobody", "account list")
}

func TestBudgetsSayWhenCallsAreBack(t *testing.T) {
	l := open(t)
	l.accounts()
	robot, err := l.Account(t.Context(), "robot")
	l.must(err)
	_, err = l.app.Store.TakeCall(t.Context(), robot.ID, "robot POST /reset", 50, time.Hour, false, time.Now())
	l.must(err)
	all, err := l.Budgets(t.Context(), "robot")
	l.must(err)
	for _, b := range all.Items {
		if b.Group != "robot POST /reset" {
			continue
		}
		if b.Account.Name != "robot" || b.What == "" || b.Calls != 50 || b.Left != 49 || b.WindowSeconds != 3600 || b.Evenly || time.Until(b.BackAt).Round(time.Minute) != time.Hour {
			t.Errorf("resets: %+v", b)
		}
		return
	}
	t.Errorf("no resets are in %+v", all.Items)
}

func TestSecretsAreReplacedWhileNoMachineHasThem(t *testing.T) {
	l := open(t)
	l.assigned()
	_, err := l.ReplaceSecrets(t.Context(), "prod", "cluster: {}\n")
	l.want(err, client.Invalid, 422, "secrets", "")
	_, err = l.ReplaceSecrets(t.Context(), "prod", "")
	l.want(err, client.Invalid, 422, "secrets", "")
	c, err := l.ReplaceSecrets(t.Context(), "prod", strings.ReplaceAll(l.secrets(), "\n", "\r\n"))
	l.must(err)
	if c.Name != "prod" {
		t.Errorf("the cluster is %+v", c)
	}
	l.must(l.app.Store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
	_, err = l.ReplaceSecrets(t.Context(), "prod", l.secrets())
	l.want(err, client.Refused, 412, "it runs already", "cluster create NAME --secrets")
}

func TestServersAreChosenByPlaceAndByProblem(t *testing.T) {
	l := open(t)
	l.assigned()
	s, err := l.app.Store.Server(t.Context(), "worker-1")
	l.must(err)
	l.must(l.app.Store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now(), UUID: "03000200-0400-0500-0006-000700080009"}))
	for _, c := range []struct {
		why  string
		f    client.ServerFilter
		want string
	}{
		{"at a place", client.ServerFilter{Location: "fsn1"}, "cp-1 worker-1"},
		{"with a UUID that will not do", client.ServerFilter{Problem: client.ProblemUUID}, "worker-1"},
		{"both", client.ServerFilter{Problem: client.ProblemUUID, Location: "FSN1-DC8"}, ""},
	} {
		got, err := l.Servers(t.Context(), c.f)
		l.must(err)
		var names []string
		for _, s := range got.Items {
			names = append(names, s.Name)
		}
		if strings.Join(names, " ") != c.want || got.Total != len(names) {
			t.Errorf("%s: got %v of %d, want %s", c.why, names, got.Total, c.want)
		}
	}
}

func TestAClusterThatDoesNotRunSaysSo(t *testing.T) {
	l := open(t)
	l.assigned()
	h, err := l.ClusterHealth(t.Context(), "prod")
	l.must(err)
	if len(h.Problems) != 1 || !strings.Contains(h.Problems[0], "not bootstrapped") || h.Nodes == nil || h.Etcd.Members == nil || h.Kubernetes.Problem == "" || h.At.IsZero() {
		t.Errorf("health %+v", h)
	}
	_, err = l.ClusterHealth(t.Context(), "nobody")
	l.want(err, client.NotFound, 404, "nobody", "cluster list")
}
