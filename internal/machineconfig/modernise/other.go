package modernise

import (
	"regexp"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// other looks at a document that has a kind already: what is incomplete is completed, and the few documents that an
// older Talos can say in its own words are turned back.
func (w *rewriter) other(d *document) {
	if isDelete(d.root) {
		return
	}
	back := map[string]struct {
		since int
		turn  func(*rewriter, *document) bool
	}{
		"HostnameConfig":          {multiDocument, hostnameBack},
		"KubeSpanConfig":          {kubeSpanDoc, kubeSpanBack},
		"KubeNodeConfig":          {kubernetesDocs, nodeBack},
		"UnattendedInstallConfig": {kubernetesDocs, installBack},
		"SysctlConfig":            {kubernetesDocs, sectionBack("params", "sysctls")},
		"SysfsConfig":             {kubernetesDocs, sectionBack("params", "sysfs")},
		"EnvironmentConfig":       {kubeSpanDoc, sectionBack("variables", "env")},
	}
	if b, ok := back[d.kind]; ok && w.minor < b.since {
		line := d.root.Line
		w.old = w.classic()
		if !b.turn(w, d) {
			w.notes = append(w.notes, Note{Kind: ByHand, Line: line, Path: d.id(), Text: d.kind + " is known since Talos " + version(b.since) + " and cannot be said for this version"})
			return
		}
		w.old.touched = true
		d.root, d.raw = nil, ""
		w.changes = append(w.changes, Change{
			Line: line, Path: d.id(), To: []string{"v1alpha1"},
			Why: d.kind + " is known since Talos " + version(b.since), Since: version(oldestSupported),
		})
		return
	}
	if d.kind == "HostnameConfig" && child(d.root, "hostname") != nil && child(d.root, "auto") == nil {
		d.touched = true
		i := index(d.root, "hostname")
		line := d.root.Content[i].Line
		d.root.Content = append(d.root.Content[:i:i], append([]*yaml.Node{scalar("auto"), scalar("off")}, d.root.Content[i:]...)...)
		w.changes = append(w.changes, Change{
			Line: line, Path: "HostnameConfig.auto", To: []string{"HostnameConfig"}, Since: version(multiDocument),
			Why: "the generated HostnameConfig names the node by itself, and both at once are refused",
		})
	}
}

// classic finds or makes the v1alpha1 document that fields go back to.
func (w *rewriter) classic() *document {
	for _, d := range w.docs {
		if d.kind == "" && d.root != nil {
			return d
		}
	}
	d := &document{root: mapping(), touched: true}
	w.docs = append([]*document{d}, w.docs...)
	return d
}

func hostnameBack(w *rewriter, d *document) bool {
	i := index(d.root, "hostname")
	if i < 0 {
		return child(d.root, "auto") != nil // the older versions name nodes by themselves
	}
	w.keep("machine.network.hostname", d.root.Content[i], d.root.Content[i+1])
	return true
}

func kubeSpanBack(w *rewriter, d *document) bool {
	for _, p := range pairs(d.root) {
		if p[0].Value != "apiVersion" && p[0].Value != "kind" {
			w.keep("machine.network.kubespan."+p[0].Value, p[0], p[1])
		}
	}
	return true
}

func nodeBack(w *rewriter, d *document) bool {
	names := map[string]string{
		"labels": "machine.nodeLabels", "annotations": "machine.nodeAnnotations", "taints": "machine.nodeTaints",
		"nodeIP": "machine.kubelet.nodeIP", "registerWithFQDN": "machine.kubelet.registerWithFQDN",
		"skipNodeRegistration": "machine.kubelet.skipNodeRegistration",
	}
	const role = "node-role.kubernetes.io/control-plane"
	for _, p := range pairs(d.root) {
		path := names[p[0].Value]
		if path == "" {
			continue
		}
		if own := child(p[1], role); own != nil { // older versions add these by themselves
			if p[0].Value == "taints" && isDelete(own) && w.o.Role != fleet.Worker {
				w.keep("cluster.allowSchedulingOnControlPlanes", nil, boolean(true))
			}
			remove(p[1], role)
		}
		if len(p[1].Content) > 0 || p[1].Kind == yaml.ScalarNode {
			w.keep(path, p[0], p[1])
		}
	}
	return true
}

var (
	byPath = regexp.MustCompile(`^disk\.dev_path\s*==\s*["']([^"']+)["']$`)
	byID   = regexp.MustCompile(`^disk\.(wwid|serial|uuid|model|modalias)\s*==\s*["']([^"']+)["']$`)
)

func installBack(w *rewriter, d *document) bool {
	match := at(d.root, "provisioning", "diskSelector", "match")
	if match != nil {
		if m := byPath.FindStringSubmatch(match.Value); m != nil {
			w.keep("machine.install.disk", nil, scalar(m[1]))
		} else if m := byID.FindStringSubmatch(match.Value); m != nil {
			w.keep("machine.install.diskSelector."+m[1], nil, scalar(m[2]))
			w.keep("machine.install.disk", nil, scalar(""))
		} else {
			return false
		}
	}
	if image := at(d.root, "installer", "image"); image != nil {
		w.keep("machine.install.image", nil, image)
	}
	if wipe := at(d.root, "provisioning", "wipe"); wipe != nil {
		w.keep("machine.install.wipe", nil, wipe)
	}
	return true
}

func sectionBack(from, to string) func(*rewriter, *document) bool {
	return func(w *rewriter, d *document) bool {
		if i := index(d.root, from); i >= 0 {
			w.keep("machine."+to, d.root.Content[i], d.root.Content[i+1])
		}
		return true
	}
}
