package web_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// wizardData makes records for what the install wizard shows, besides those of populate, and gives the addresses of the pages that show them.
func (l *lab) wizardData(t testing.TB) []string {
	t.Helper()
	ctx := t.Context()
	rack, err := l.store.CreateAccount(ctx, fleet.Account{Name: "rack", Provider: fleet.Manual})
	must(t, err)
	_, err = l.browser.PostForm(l.server.URL+"/install/cluster", url.Values{"name": {"stage"}, "endpoint": {"https://stage.example.com:6443"}, "privateNetwork": {"10.1.0.0/24"}})
	must(t, err)
	c, err := l.store.Cluster(ctx, "stage")
	must(t, err)
	q := url.Values{}
	for i, name := range []string{"rack-control-plane-1", "rack-2-with-a-name-that-is-as-long-as-names-of-servers-ever-get", "rack-3"} {
		s, err := l.store.AddServer(ctx, fleet.Server{
			AccountID: rack.ID, Provider: fleet.Manual, ProviderID: "203.0.113." + string(rune('1'+i)) + ":22", IPv4: "203.0.113." + string(rune('1'+i)), Name: name, Architecture: fleet.AMD64,
			Power: fleet.PowerUnknown, State: fleet.Known, CreatedAt: time.Now(),
		})
		must(t, err)
		role := fleet.Worker
		if i == 0 {
			role = fleet.ControlPlane
		}
		f := diskFacts(name)
		if i < 2 {
			must(t, l.store.SetFacts(ctx, s.ID, f))
		}
		_, err = l.store.Assign(ctx, s.ID, fleet.Assignment{ClusterID: c.ID, Role: role, Hostname: "rack-" + string(rune('1'+i)), InstallDisk: f.Disks[i%2].ID()})
		must(t, err)
		q.Add("server", s.ID)
	}
	q.Add("server", "server-2")
	all := []string{"/install", "/installs", "/servers/add", "/servers/add?server=" + q.Get("server")}
	for _, path := range []string{"/install", "/install/disks", "/install/boot", "/install/plan"} {
		all = append(all, path+"?"+q.Encode())
	}
	q.Set("policy", "wipe-all")
	return append(all, "/install/disks?"+q.Encode(), "/install/plan?"+q.Encode())
}
