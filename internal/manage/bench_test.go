package manage_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

// planGoal is how long a plan for an unchanged fleet of 1,000 servers may take, on two cores.
const planGoal = 2 * time.Second

const (
	registryPatch = `apiVersion: v1alpha1
kind: RegistryMirrorConfig
name: docker.io
endpoints:
  - url: https://${mirror}/v2/docker.io
`
	commonPatch = `machine:
  sysctls:
    net.core.somaxconn: "65535"
    vm.max_map_count: "262144"
  kernel:
    modules:
      - name: br_netfilter
`
	vlanPatch = `apiVersion: v1alpha1
kind: LinkAliasConfig
name: net0
selector:
  match: mac(link.permanent_addr) == "${mac}"
---
apiVersion: v1alpha1
kind: LinkConfig
name: net0
addresses:
  - address: ${public_ip}/32
routes:
  - destination: ${gateway}/32
  - gateway: ${gateway}
---
apiVersion: v1alpha1
kind: VLANConfig
name: vlan${vlan}
vlanID: ${vlan}
parent: net0
mtu: ${private_mtu}
addresses:
  - address: ${private_ip}/${private_prefix}
`
)

// thousand is a cluster of 1,000 servers: patches for all with variables, network documents of each server's own
// values, and every tenth with a patch of its own.
func thousand(b *testing.B) (*store.Store, *imagefactory.Client) {
	b.Helper()
	ctx := b.Context()
	good := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	st := storetest.SQLite(b).Open(b)
	factory, err := imagefactory.New("https://factory.talos.dev", nil)
	good(err)
	account, err := st.CreateAccount(ctx, fleet.Account{Name: "robot", Provider: fleet.HetznerRobot, User: login, Password: password})
	good(err)
	var servers []fleet.Server
	for i := range 1000 {
		servers = append(servers, fleet.Server{
			Provider: fleet.HetznerRobot, ProviderID: fmt.Sprint(i), Name: fmt.Sprintf("worker-%d", i), Product: "AX41-NVMe", Location: "FSN1-DC8",
			IPv4: fmt.Sprintf("203.0.%d.%d", i/250, i%250+1), Architecture: fleet.AMD64,
		})
	}
	servers[0].Name, servers[1].Name, servers[2].Name = "control-plane-0", "control-plane-1", "control-plane-2"
	synced, err := st.SyncServers(ctx, account.ID, servers, []fleet.VSwitch{{ProviderID: "4321", Name: "lan", VLAN: 4001}}, time.Now())
	good(err)
	lan, err := st.VSwitches(ctx, account.ID)
	good(err)
	bundle, err := secrets()
	good(err)
	m := manager(st, factory)
	c, err := m.CreateCluster(ctx, "bench", manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.9:6443", Secrets: bundle, VSwitchID: lan[0].ID, PrivateNetwork: "10.0.0.0/16"})
	good(err)
	good(st.Edit(ctx, "fill the cluster", nil, func(e *store.Edit) error {
		for i, s := range synced.Added {
			a := fleet.Assignment{ClusterID: c.ID, Role: fleet.GuessRole(s.Name), PrivateIP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), InstallDisk: fmt.Sprintf("eui.%016x", i)}
			if _, err := e.Assign(ctx, s.ID, a); err != nil {
				return err
			}
			if i%10 == 0 {
				own := fleet.Contents{Patches: []fleet.Patch{{Name: "own", Text: fmt.Sprintf("machine:\n  sysctls:\n    vm.rack: r%d\n", i)}}}
				if _, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: s.ID, Verb: store.VerbSave, Contents: own}); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	for i, s := range synced.Added {
		good(st.SetFacts(ctx, s.ID, fleet.Facts{
			At: time.Now(), UUID: fmt.Sprintf("4c4c4544-0042-3510-8050-%012x", i), Gateway: "203.0.113.254", Cores: 12, MemoryBytes: 64 << 30,
			NICs:  []fleet.NIC{{Name: "eth0", MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256), Up: true, Addresses: []string{s.IPv4 + "/26"}}},
			Disks: []fleet.Disk{{Name: "nvme0n1", WWID: fmt.Sprintf("eui.%016x", i), SizeBytes: 512 << 30}, {Name: "nvme1n1", WWID: fmt.Sprintf("eui.%016x", i+5000), SizeBytes: 512 << 30}},
		}))
	}
	_, err = m.SetLayer(ctx, "bench", onCluster("prod"), fleet.Contents{
		Patches: []fleet.Patch{{Name: "mirror", Text: registryPatch}, {Name: "common", Text: commonPatch}}, Variables: map[string]string{"mirror": "harbor.example.com"},
	}, manage.Save{})
	good(err)
	_, err = m.SetLayer(ctx, "bench", onRole("prod", fleet.Worker), fleet.Contents{Patches: []fleet.Patch{{Name: "network", Text: vlanPatch, Provider: fleet.HetznerRobot}}}, manage.Save{})
	good(err)
	return st, factory
}

// manager is a new program on a database: it has rendered nothing yet.
func manager(st *store.Store, factory *imagefactory.Client) *manage.Manager {
	return &manage.Manager{Store: st, Factory: factory, Renderer: manage.NewRenderer(st, factory, manage.RenderedBytes), Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

// BenchmarkPlan plans for 1,000 servers: all unchanged, by a program that was just started, and again; a sysctl more
// for all of them; and the save of that, which checks them all.
func BenchmarkPlan(b *testing.B) {
	st, factory := thousand(b)
	plan := func(b *testing.B, m *manage.Manager, c manage.Change, unchanged, groups int) {
		b.Helper()
		p, err := m.Plan(b.Context(), c, manage.PlanOptions{})
		if err != nil || len(p.Unchanged) != unchanged || len(p.Groups) != groups || len(p.Broken) != 0 {
			b.Fatalf("%d unchanged, %d groups, broken %+v, %v", len(p.Unchanged), len(p.Groups), p.Broken, err)
		}
	}
	more := layerChange(onRole("prod", fleet.Worker), fleet.Patch{Name: "network", Text: vlanPatch, Provider: fleet.HetznerRobot}, fleet.Patch{Name: "more", Text: sysctl("vm.swappiness", "1")})
	last := manager(st, factory)
	b.Run("1000-unchanged-cold", func(b *testing.B) {
		for b.Loop() {
			last = manager(st, factory)
			plan(b, last, manage.Change{}, 1000, 0)
		}
		b.ReportMetric((b.Elapsed() / time.Duration(b.N)).Seconds(), "s/plan")
		b.ReportMetric(planGoal.Seconds(), "goal-s/plan")
	})
	b.Run("1000-unchanged-warm", func(b *testing.B) {
		for b.Loop() {
			plan(b, last, manage.Change{}, 1000, 0)
		}
	})
	b.Run("1000-changed", func(b *testing.B) {
		for b.Loop() {
			plan(b, manager(st, factory), more, 0, 1)
		}
	})
	b.Run("1000-checked-at-save", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			contents := more.Layers[0].Contents.Clone()
			contents.Patches[1].Text = sysctl("vm.swappiness", fmt.Sprint(i))
			if _, err := manager(st, factory).SetLayer(b.Context(), "bench", onRole("prod", fleet.Worker), contents, manage.Save{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
