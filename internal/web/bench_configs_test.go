package web_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/store"
)

// fiveThousandConfigs are servers that all use one config of three patches, every tenth with a patch of its own.
func fiveThousandConfigs(b *testing.B) (l *lab, f fabric) {
	b.Helper()
	l = newLab(b)
	ctx, m := b.Context(), l.app.Manager
	var err error
	f.config, err = m.SaveConfig(ctx, "admin", fleet.Config{Name: "base"})
	must(b, err)
	f.cluster, err = m.CreateCluster(ctx, "admin", manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.5:6443", TalosVersion: "v1.13.3", KubernetesVersion: "v1.36.0", Config: f.config.ID})
	must(b, err)
	robot, _ := l.accounts(b)
	all := make([]fleet.Server, benchServers)
	for i := range all {
		all[i] = fleet.Server{ProviderID: fmt.Sprint(i), Name: fmt.Sprintf("server-%04d", i), Product: "AX41-NVMe", Location: "FSN1-DC8", Architecture: fleet.AMD64, Power: fleet.PowerOn, IPv4: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
	}
	l.list(b, robot, all...)
	f.servers, err = l.store.Servers(ctx, store.ServerFilter{})
	must(b, err)
	must(b, l.store.Edit(ctx, "fill the cluster", nil, func(e *store.Edit) error {
		for i, s := range f.servers {
			if _, err := e.Assign(ctx, s.ID, fleet.Assignment{ClusterID: f.cluster.ID, Role: fleet.Worker, Hostname: s.Name, InstallDisk: fmt.Sprintf("eui.00000000000000%02d", i)}); err != nil {
				return err
			}
			if i%10 != 0 {
				continue
			}
			own := fleet.Contents{Patches: []fleet.Patch{{Name: fleet.PatchOwn, Text: fmt.Sprintf("machine:\n  sysctls:\n    vm.rack: r%d\n", i)}}}
			if _, err := e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: s.ID, Verb: store.VerbSave, Contents: own}); err != nil {
				return err
			}
		}
		return nil
	}))
	for i, s := range f.servers {
		must(b, l.store.SetFacts(ctx, s.ID, someFacts(i)))
	}
	_, err = m.SetLayer(ctx, "admin", f.layer(), fleet.Contents{Patches: []fleet.Patch{{Name: "sysctls", Text: sysctls}, {Name: "mirror", Text: mirror}, {Name: "rack", Text: "machine:\n  nodeLabels:\n    rack: ${hostname}\n"}}}, manage.Save{})
	must(b, err)
	return l, f
}

// BenchmarkWebConfigs makes the pages of configs and of the install's plan. A plan for all is reckoned for each of them:
// how long that takes is said beside the page, which has to be as small as the others.
func BenchmarkWebConfigs(b *testing.B) {
	l, f := fiveThousandConfigs(b)
	mux := l.pages()
	config := "/configs/" + f.config.ID
	some := func(n int) string {
		q := url.Values{}
		for _, s := range f.servers[:n] {
			q.Add("server", s.ID)
		}
		return "/install/plan?" + q.Encode()
	}
	patch := func(name, text string) url.Values {
		return url.Values{"do": {"patch"}, "patch": {name}, "name": {name}, "text": {text}}
	}
	for _, page := range []struct {
		name, path string
		times      int
		form       url.Values
	}{
		{"configs", "/configs", 25, nil},
		{"config", config, 25, nil},
		{"edit", config + "/edit?patch=sysctls", 25, nil},
		{"preview", config + "/preview", 25, nil},
		{"variables", config + "/variables", 25, nil},
		{"history", config + "/history", 25, nil},
		{"modernise", "/modernise", 5, nil},
		{"cluster", "/clusters/" + f.cluster.ID, 25, nil},
		{"plan", config + "/plan", 3, patch("sysctls", sysctls+"    vm.swappiness: \"1\"\n")},
		{"plan-all-different", config + "/plan", 3, patch("rack", "machine:\n  nodeLabels:\n    rack: ${hostname}-b\n")},
		{"install-plan-50", some(50), 5, nil},
		{"install-plan-200", some(200), 5, nil},
	} {
		b.Run(page.name, func(b *testing.B) {
			measurePage(b, mux, page.times, page.path, page.form)
		})
	}
}
