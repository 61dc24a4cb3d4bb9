package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestAnOldPatchIsPutInItsNewForm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.withNodes(t, "control-plane-1")
	ctx := t.Context()
	_, err := l.app.Manager.SaveConfig(ctx, "admin", fleet.Config{Name: "base"})
	must(t, err)
	_, err = l.app.Manager.UpdateCluster(ctx, "admin", c.ID, manage.ClusterChange{Config: ptr("base")})
	must(t, err)
	ref := manage.LayerRef{Scope: fleet.ScopeConfig, Owner: "base"}
	const old = "# tuned for search\nmachine:\n  sysctls:\n    vm.max_map_count: \"262144\"\n"
	_, err = l.app.Manager.SetLayer(ctx, "admin", ref, fleet.Contents{Patches: []fleet.Patch{{Name: "search", Text: old}}}, manage.Save{})
	must(t, err)

	p := l.get(t, "/modernise", http.StatusOK)
	p.has(t, "search", "Config base", "Deprecated form")
	l.get(t, "/modernise?version=v1.9.0", http.StatusOK).has(t, "Every patch is as its Talos version wants it")
	at := "/modernise?" + url.Values{"layer": {"config/base"}, "patch": {"search"}, "version": {"v1.14.1"}, "all": {"true"}}.Encode()
	p = l.get(t, at, http.StatusOK)
	p.has(t, "Patch search of config base", "Proven equal", "vm.max_map_count", "SysctlConfig", "# tuned for search", "control-plane-1", "patch modernise config/base search --talos-version v1.14.1 --all")
	if l.layerOf(t, ref).Text("search") != old {
		t.Fatal("looking has changed the patch")
	}
	p = l.submit(t, p, "/modernise/patch", url.Values{"why": {"1.14"}}, http.StatusOK)
	p.has(t, "Patch search of config base has its new form for Talos v1.14.1")
	if text := l.layerOf(t, ref).Text("search"); !strings.Contains(text, "kind: SysctlConfig") || !strings.Contains(text, "# tuned for search") {
		t.Errorf("the patch is\n%s", text)
	}
	l.get(t, "/modernise", http.StatusOK).has(t, "Every patch is as its Talos version wants it")
	l.get(t, at, http.StatusOK).has(t, "There is nothing to do")
}

func TestAnyTextIsModernised(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.get(t, "/modernise", http.StatusOK)
	fill := url.Values{"text": {"machine:\r\n  network:\r\n    hostname: node-1\r\n"}, "version": {"v1.14.1"}}
	p = l.submit(t, p, "/modernise/text", fill, http.StatusOK)
	p.has(t, "HostnameConfig", "hostname: node-1", "Proven equal", "is now HostnameConfig")
	fill.Set("version", "v1.10.0")
	l.submit(t, p, "/modernise/text", fill, http.StatusOK).has(t, "There is nothing to do")
	l.submit(t, p, "/modernise/text", url.Values{"text": {"machine: ["}}, http.StatusUnprocessableEntity).has(t, "machine: [")
	l.submit(t, p, "/modernise/text", url.Values{"text": {""}}, http.StatusUnprocessableEntity).has(t, "no text to rewrite")
}
