package web_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// oldPatch is as people wrote it for Talos 1.11.
const oldPatch = `# Nodes at Hetzner.
machine:
  network:
    hostname: ${hostname}
    interfaces:
      - interface: eth0
        mtu: 1400
  sysctls:
    vm.max_map_count: "262144" # for search engines
`

// galleryData makes records for recipes, schematics and rules, besides those of populate, and gives the addresses of the pages that show them.
func (l *lab) galleryData(t testing.TB) []string {
	t.Helper()
	ctx := t.Context()
	_, err := l.store.CreateConfig(ctx, fleet.Config{Name: "before-1-12", Contents: fleet.Contents{Patches: []fleet.Patch{{Name: "network", Text: oldPatch}}}}, "admin")
	must(t, err)
	storage, err := l.app.Manager.CreateSchematic(ctx, "admin", manage.SchematicEdit{Name: "storage", Parts: &fleet.Customization{
		Extensions: []string{"iscsi-tools", "siderolabs/zfs"}, KernelArgs: []string{"net.ifnames=0", "-console"}, Bootloader: "grub",
	}})
	must(t, err)
	_, err = l.store.CreateSchematic(ctx, fleet.Schematic{ID: fleet.NewID(), Name: "unknown-extension", YAML: "customization: {systemExtensions: {officialExtensions: [siderolabs/zsf]}}"})
	must(t, err)
	cluster, err := l.store.Cluster(ctx, "prod")
	must(t, err)
	cluster.SchematicID = storage.ID
	must(t, l.store.UpdateCluster(ctx, cluster))
	for _, r := range []fleet.Rule{
		{Match: "server", Labels: map[string]string{"node-role.kubernetes.io/worker": ""}},
		{Match: "nobody", ClusterID: cluster.ID, Labels: map[string]string{"tier": "database"}, Taints: []fleet.Taint{{Key: "dedicated", Value: "database", Effect: fleet.NoSchedule}}},
	} {
		_, err := l.app.Manager.AddRule(ctx, "admin", r)
		must(t, err)
	}
	broken, err := l.store.Schematic(ctx, "unknown-extension")
	must(t, err)
	at := "/schematics/" + storage.ID
	return []string{
		"/recipes", "/recipes?search=nothing-is-like-this", "/recipes/kubespan?example", "/recipes/disk-encryption?layer=role/prod/worker", "/recipes/registry-auth",
		"/modernise", "/modernise?layer=config/before-1-12&patch=network&version=v1.14.1",
		"/schematics", "/schematics/new?search=nvidia", at, at + "/edit", at + "/edit?as=yaml", "/schematics/" + broken.ID,
		"/rules", "/rules?match=server&labels=tier%3Dweb", "/rules?match=none&taints=bad",
	}
}
