package web_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// fabric is a cluster whose machine configs can be made, with a config that its three servers use.
type fabric struct {
	cluster fleet.Cluster
	config  fleet.Config
	servers []fleet.Server
}

const (
	sysctls = "machine:\n  sysctls:\n    vm.max_map_count: \"262144\"\n"
	mirror  = "machine:\n  env:\n    PASSWORD: s3cr3t-of-mirror\n    REGION: ${location}\n"
)

// fabric makes it, under a name.
func (l *lab) fabric(t testing.TB, name string) fabric {
	t.Helper()
	ctx, m := t.Context(), l.app.Manager
	var f fabric
	var err error
	f.config, err = m.SaveConfig(ctx, "admin", fleet.Config{Name: name + "-base"})
	must(t, err)
	f.cluster, err = m.CreateCluster(ctx, "admin", manage.NewCluster{Name: name, Endpoint: "https://203.0.113.5:6443", TalosVersion: "v1.13.3", KubernetesVersion: "v1.36.0", Config: f.config.ID})
	must(t, err)
	account, err := l.store.CreateAccount(ctx, fleet.Account{Name: name, Provider: fleet.HetznerRobot, User: robotUser + name, Password: robotPassword})
	must(t, err)
	var all []fleet.Server
	for i, role := range []string{"cp-1", "worker-1", "worker-2"} {
		all = append(all, fleet.Server{
			ProviderID: name + string(rune('1'+i)), Name: name + "-" + role, Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64,
			Status: "ready", Power: fleet.PowerOn, IPv4: "203.0.113." + string(rune('5'+i)),
		})
	}
	l.list(t, account, all...)
	for i, s := range all {
		s = l.serverNamed(t, s.Name)
		role := fleet.Worker
		if i == 0 {
			role = fleet.ControlPlane
		}
		s.Assignment = fleet.Assignment{ClusterID: f.cluster.ID, Role: role, Hostname: s.Name, InstallDisk: "eui.00000000000000ff"}
		_, err := l.store.Assign(ctx, s.ID, s.Assignment)
		must(t, err)
		f.servers = append(f.servers, s)
	}
	return f
}

// layer is the config as a layer.
func (f fabric) layer() manage.LayerRef {
	return manage.LayerRef{Scope: fleet.ScopeConfig, Owner: f.config.ID}
}

// patch adds a patch to the config.
func (l *lab) patch(t testing.TB, f fabric, p fleet.Patch, how manage.Save) {
	t.Helper()
	_, err := l.app.Manager.AddPatch(t.Context(), "admin", f.layer(), p, -1, how)
	must(t, err)
}

// configsData makes records for configs with patches, drafts and variables, besides those of populate, and gives the addresses of the pages that show them.
func (l *lab) configsData(t testing.TB) []string {
	t.Helper()
	f := l.fabric(t, "fabric")
	l.patch(t, f, fleet.Patch{Name: "sysctls", Text: sysctls}, manage.Save{Why: "elasticsearch wants it"})
	l.patch(t, f, fleet.Patch{Name: "mirror", Text: mirror, Role: fleet.Worker}, manage.Save{})
	l.patch(t, f, fleet.Patch{Name: "of-a-very-long-name-that-somebody-gave-it-in-a-hurry-at-night", Text: "machine: {sysctls: {a.b: c}}\n", Architecture: fleet.ARM64, Off: true}, manage.Save{})
	m := l.app.Manager
	_, err := m.SetVariable(t.Context(), "admin", f.layer(), "registry", "registry.example.com", manage.Save{})
	must(t, err)
	_, err = m.UpdatePatch(t.Context(), "admin", f.layer(), "sysctls", func(p *fleet.Patch) { p.Text += "    net.core.somaxconn: \"4096\"\n" }, manage.Save{Draft: true})
	must(t, err)
	_, err = m.SaveConfig(t.Context(), "admin", fleet.Config{Name: "nobody-uses-it"})
	must(t, err)
	config, role := "/configs/"+f.config.ID, "/layers/role/"+f.cluster.ID
	return []string{
		"/configs", config, config + "/edit", config + "/edit?patch=sysctls", config + "/edit?patch=sysctls&of=draft", config + "/edit?patch=mirror",
		config + "/variables", config + "/preview", config + "/preview?of=draft", config + "/history", config + "/diff?from=current&to=draft",
		config + "/blame", config + "/settings", "/configs/nobody-uses-it", "/configs/nobody-uses-it/preview", "/configs/nobody-uses-it/variables",
		"/configs/nobody-uses-it/history", "/configs/nobody-uses-it/settings",
		role + "?role=worker", role + "/edit?role=worker", "/layers/cluster/prod", "/layers/cluster/prod/preview", "/layers/server/" + f.servers[1].ID,
	}
}
