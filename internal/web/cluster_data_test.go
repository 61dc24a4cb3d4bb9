package web_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// clusterData makes records for what clusters, accounts and settings show, besides those of populate, and gives the
// addresses of the pages that show them.
func (l *lab) clusterData(t testing.TB) []string {
	t.Helper()
	big := l.bigCluster(t)
	l.usedBudgets(t)
	_, _, err := l.app.Access.NewToken(t.Context(), "admin", "ci")
	must(t, err)
	l.app.Operations.URL = l.server.URL // where /healthz and /config answer in a test
	paths := []string{"/accounts", "/settings", "/settings?ask=now", "/clusters/prod/secrets"}
	for _, tab := range []string{
		"", "/nodes", "/nodes?ask=now", "/versions", "/versions?lint=" + big.TalosVersion, "/versions?lint=v1.2", "/versions?plan=yes&talos=v1.14.1", "/access",
		"/settings", "/settings?plan=yes&network=10.0.0.0%2F16&mtu=1400", "/settings?plan=yes&mtu=many", "/secrets",
	} {
		paths = append(paths, "/clusters/"+big.ID+tab)
	}
	return paths
}

// bigCluster runs, by our records, in three sites, with more workers in one of them than are drawn. At their addresses
// nothing listens.
func (l *lab) bigCluster(t testing.TB) fleet.Cluster {
	t.Helper()
	ctx := t.Context()
	account, err := l.store.CreateAccount(ctx, fleet.Account{Name: "big", Provider: fleet.HetznerRobot, User: "#ws+big", Password: "x"})
	must(t, err)
	all := make([]fleet.Server, 19)
	for i := range all {
		all[i] = fleet.Server{
			Provider: fleet.HetznerRobot, ProviderID: fmt.Sprint(8000 + i), Name: fmt.Sprintf("big-%d", i), Product: "AX102", Location: []string{"FSN1-DC8", "FSN1-DC14", "HEL1-DC2", "FSN1-DC3"}[i%4],
			Architecture: fleet.AMD64, Status: "ready", Power: fleet.PowerOn, IPv4: fmt.Sprintf("127.0.0.%d", 10+i),
		}
	}
	all[2].Location, all[18].Location, all[18].Provider = "NBG1-DC3", "", fleet.HetznerCloud
	for i := range 15 {
		all[i].VSwitchID = "9"
	}
	_, err = l.store.SyncServers(ctx, account.ID, all, []fleet.VSwitch{{ProviderID: "9", Name: "private", VLAN: 4009}}, time.Now())
	must(t, err)
	vswitches, err := l.store.VSwitches(ctx, account.ID)
	must(t, err)
	c, err := l.app.Manager.CreateCluster(ctx, "test", manage.NewCluster{Name: "big", Endpoint: "https://kubernetes.a-rather-long-name-of-a-company.example.com:6443", VSwitchID: vswitches[0].ID})
	must(t, err)
	must(t, l.store.MarkBootstrapped(ctx, c.ID, time.Now()))
	for i := range all {
		l.joins(t, c, i)
	}
	ref := manage.LayerRef{Scope: fleet.ScopeCluster, Owner: "big"}
	patches := fleet.Contents{Patches: []fleet.Patch{{Name: "old", Text: "machine:\n  time:\n    servers: [pool.ntp.org]\n"}}}
	_, err = l.app.Manager.SetLayer(ctx, "test", ref, patches, manage.Save{})
	must(t, err)
	_, err = l.app.Manager.SetLayer(ctx, "test", ref, fleet.Contents{}, manage.Save{Draft: true})
	must(t, err)
	return c
}

// joins makes a server a node of the cluster, by our records.
func (l *lab) joins(t testing.TB, c fleet.Cluster, i int) {
	t.Helper()
	s := l.serverNamed(t, fmt.Sprintf("big-%d", i))
	role, state := fleet.Worker, fleet.Ready
	if i < 3 {
		role = fleet.ControlPlane
	}
	switch i {
	case 3:
		state = fleet.Unhealthy
	case 4:
		state = fleet.Known
	case 7:
		state = fleet.Configured
	}
	_, err := l.store.Assign(t.Context(), s.ID, fleet.Assignment{
		ClusterID: c.ID, Role: role, Hostname: fmt.Sprintf("node-%d-of-the-big-cluster", i), PrivateIP: fmt.Sprintf("10.0.2.%d", i+1), InstallDisk: "eui.0000000000000000", Draft: i == 4,
	})
	must(t, err)
	if state != fleet.Known {
		must(t, l.store.SetState(t.Context(), s.ID, fleet.Known, state))
	}
}

// usedBudgets has one account with little left, and nothing of one group.
func (l *lab) usedBudgets(t testing.TB) {
	t.Helper()
	big, err := l.store.Account(t.Context(), "big")
	must(t, err)
	for group, used := range map[string]int{"robot POST /reset": 44, "robot POST /wol": 10, "robot /server": 12} {
		calls := map[string]int{"robot POST /reset": 50, "robot POST /wol": 10, "robot /server": 200}[group]
		for range used {
			_, err := l.store.TakeCall(t.Context(), big.ID, group, calls, time.Hour, false, time.Now().Add(-20*time.Minute))
			must(t, err)
		}
	}
}
