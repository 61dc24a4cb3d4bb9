package archtest

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/talos-manager/talos-manager"

// allowed lists, for each package, the packages of ours which it may import. Names are relative to internal/; a
// leading slash means relative to the root.
var allowed = map[string][]string{
	// nouns
	"internal/fleet":         {},
	"internal/wait":          {},
	"internal/seal":          {"fleet"},
	"internal/machineconfig": {"fleet", "machineconfig/schema"},
	// beside the engine: each knows one thing about machine configs
	"internal/machineconfig/schema":    {"fleet"},
	"internal/machineconfig/diff":      {"fleet", "machineconfig/schema"},
	"internal/machineconfig/modernise": {"fleet", "machineconfig", "machineconfig/diff", "machineconfig/schema"},
	"internal/machineconfig/recipe":    {"fleet", "machineconfig", "machineconfig/modernise", "machineconfig/schema"},
	// engine
	"internal/workflow":              {"fleet", "wait"},
	"internal/workflow/workflowtest": {"fleet", "wait", "workflow"},
	// the world: siblings never meet
	"internal/provider":              {"fleet"},
	"internal/provider/robot":        {"fleet", "provider", "wait"},
	"internal/provider/hcloud":       {"fleet", "provider", "wait"},
	"internal/provider/manual":       {"fleet", "provider"},
	"internal/provider/providertest": {"fleet", "provider", "wait"},
	"internal/rescue":                {"fleet", "wait"},
	"internal/talos":                 {"fleet", "wait"},
	"internal/kube":                  {"fleet", "wait"},
	"internal/imagefactory":          {"fleet"},
	"internal/imagecache":            {"fleet"},
	"internal/extension":             {"fleet"},
	"internal/store":                 {"fleet", "seal", "wait", "workflow"},
	"internal/store/storetest":       {"fleet", "seal", "skip", "store", "wait"},
	// use cases
	"internal/access":    {"fleet", "store"},
	"internal/manage":    {"fleet", "imagefactory", "machineconfig", "machineconfig/diff", "machineconfig/modernise", "machineconfig/recipe", "machineconfig/schema", "provider", "store"},
	"internal/operation": {"fleet", "imagefactory", "kube", "machineconfig", "machineconfig/diff", "manage", "provider", "rescue", "store", "talos", "wait", "workflow"},
	"internal/reconcile": {"fleet", "kube", "manage", "operation", "provider", "store", "talos", "wait"},
	// surfaces
	"internal/httpd":       {"fleet"},
	"internal/api":         {"/client", "access", "fleet", "httpd", "machineconfig", "machineconfig/diff", "machineconfig/modernise", "machineconfig/recipe", "machineconfig/schema", "manage", "operation", "reconcile", "store"},
	"internal/web":         {"access", "fleet", "httpd", "machineconfig", "machineconfig/diff", "machineconfig/modernise", "machineconfig/recipe", "machineconfig/schema", "manage", "operation", "reconcile", "store"},
	"internal/web/webtest": {"skip"},
	"internal/bootconfig":  {"fleet", "httpd", "imagefactory", "machineconfig", "manage", "store"},
	"client":               {},
	// the commands on plain files need no manager, so they use the engine itself
	"internal/cli": {"/client", "app", "demo", "extension", "fleet", "machineconfig", "machineconfig/diff", "machineconfig/modernise", "machineconfig/recipe", "machineconfig/schema"},
	// wiring
	"internal/app": {
		"access", "api", "bootconfig", "fleet", "httpd", "imagecache", "imagefactory", "manage", "operation", "provider", "provider/hcloud", "provider/manual",
		"provider/robot", "reconcile", "seal", "store", "web", "workflow",
	},
	"internal/demo":     {"/client", "app", "fleet", "simulator", "simulator/hetzner", "simulator/rescuehost", "simulator/world", "wait", "workflow"},
	"cmd/talos-manager": {"cli"},
	// the pretend world: nothing of the above
	"internal/simulator":                     {"simulator/factory", "simulator/hetzner", "simulator/kubeapi", "simulator/rescuehost", "simulator/talosnode", "simulator/world"},
	"internal/simulator/world":               {},
	"internal/simulator/hetzner":             {"simulator/world"},
	"internal/simulator/factory":             {"simulator/world"},
	"internal/simulator/rescuehost":          {"simulator/world"},
	"internal/simulator/kubeapi":             {"simulator/world"},
	"internal/simulator/talosnode":           {"simulator/talosnode/apid", "simulator/talosnode/host", "simulator/talosnode/resources", "simulator/world"},
	"internal/simulator/talosnode/apid":      {"simulator/world"},
	"internal/simulator/talosnode/host":      {"simulator/world"},
	"internal/simulator/talosnode/resources": {"simulator/world"},
	"internal/simulator/emulated":            {"skip"},
	// a disk image for emulated machines, and the programs in it
	"internal/simulator/emulated/image":             {"simulator/factory", "simulator/world", "skip"},
	"internal/simulator/emulated/image/console":     {},
	"internal/simulator/emulated/image/init":        {"simulator/emulated/image/console"},
	"internal/simulator/emulated/image/maintenance": {"simulator/emulated/image/console", "simulator/talosnode/apid", "simulator/talosnode/resources", "simulator/world"},
	// how a test ends that lacks something here
	"internal/skip": {},
}

func TestImportsFollowTheMap(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", module+"/...")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(out); ; {
		var pkg struct {
			ImportPath, Doc string
			Imports         []string
		}
		if err := dec.Decode(&pkg); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(pkg.ImportPath, module+"/")
		if name == "internal/archtest" {
			continue
		}
		seen[name] = true
		may, known := allowed[name]
		if !known {
			t.Errorf("%s is not on the map", name)
			continue
		}
		if pkg.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
		for _, imp := range pkg.Imports {
			if rel, ours := strings.CutPrefix(imp, module); ours && !slices.Contains(may, short(rel)) {
				t.Errorf("%s must not import %s", name, short(rel))
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("%s is on the map but not in the tree", name)
		}
	}
}

func short(rel string) string {
	if s, ok := strings.CutPrefix(rel, "/internal/"); ok {
		return s
	}
	return rel
}
