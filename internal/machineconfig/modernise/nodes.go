package modernise

import (
	"slices"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"go.yaml.in/yaml/v4"
)

func nodeRules() []rule {
	const kubelet = "the kubelet is configured by documents that are generated"
	const labels = "labels, annotations and taints are in the generated KubeNodeConfig"
	const kernel = "kernel settings are documents of their own"
	return []rule{
		{"machine.kubelet.nodeIP", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", kubelet, to("KubeNodeConfig", "nodeIP")},
		{"machine.kubelet.registerWithFQDN", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", kubelet, to("KubeNodeConfig", "registerWithFQDN")},
		{"machine.kubelet.skipNodeRegistration", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", kubelet, to("KubeNodeConfig", "skipNodeRegistration")},
		{"machine.kubelet", kubernetesDocs, kubernetesDocs, "KubeletConfig", kubelet, moveKubelet},
		{"machine.nodeLabels", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", labels, moveLabels("labels")},
		{"machine.nodeAnnotations", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", labels, to("KubeNodeConfig", "annotations")},
		{"machine.nodeTaints", kubernetesDocs, kubernetesDocs, "KubeNodeConfig", labels, to("KubeNodeConfig", "taints")},
		{"machine.pods", kubernetesDocs, 0, "", "static pods are documents of their own", movePods},
		{"machine.features.kubePrism", kubernetesDocs, kubernetesDocs, "KubePrismConfig", "KubePrism is a document that is generated", moveKubePrism},
		{"machine.features.rbac", multiDocument, 0, "", "always on", drop},
		{"machine.features.apidCheckExtKeyUsage", multiDocument, 0, "", "always on", drop},
		{"machine.features.imageCache", kubernetesDocs, 0, "", "the image cache is a document of its own", moveImageCache},
		{"machine.env", kubeSpanDoc, 0, "", "environment variables are a document of their own", to("EnvironmentConfig", "variables")},
		{"machine.sysctls", kubernetesDocs, 0, "", kernel, to("SysctlConfig", "params")},
		{"machine.sysfs", kubernetesDocs, 0, "", kernel, to("SysfsConfig", "params")},
		{"machine.kernel.modules", kubernetesDocs, 0, "", kernel, moveModules},
		{"machine.udev.rules", kubernetesDocs, 0, "", kernel, to("UdevRulesConfig", "rules")},
	}
}

// drop is for what has no effect any more.
func drop(*rewriter, field) {}

// moveLabels moves labels. Those of the control planes alone that are to be deleted are deleted there.
func moveLabels(path string) func(*rewriter, field) {
	return func(w *rewriter, f field) {
		if !holdsDelete(f.val) {
			w.doc("KubeNodeConfig", "", everyone).set(f.key, f.val, path)
			return
		}
		for _, p := range pairs(f.val) {
			where := everyone
			if isDelete(p[1]) && p[0].Value == constants.LabelExcludeFromExternalLB {
				where = controlPlanes // workers are generated without it, and what is not there cannot be deleted
			}
			if p[0].Value == "$patch" {
				w.doc("KubeNodeConfig", "", controlPlanes).set(f.key, deleted(), path)
				continue
			}
			w.doc("KubeNodeConfig", "", where).set(p[0], p[1], path, p[0].Value)
		}
	}
}

// noDocument are the settings of the older kubelet section that the KubeletConfig lacks.
const extraMounts = "extraMounts"

func moveKubelet(w *rewriter, f field) {
	if isDelete(f.val) {
		w.note(ByHand, f, "a deleted kubelet section has no counterpart: say in a KubeletConfig what should be otherwise")
		return
	}
	if n := child(f.val, extraMounts); n != nil && len(n.Content) > 0 {
		w.keepKubelet(f)
		return
	}
	for _, p := range pairs(f.val) {
		if p[0].Value == pairs(f.val)[0][0].Value {
			p[0].HeadComment = joinComments(f.key.HeadComment, p[0].HeadComment)
		}
		switch p[0].Value {
		case extraMounts: // an empty list
		case "extraConfig":
			w.doc("KubeletConfig", "", everyone).set(p[0], p[1], "config")
		case "credentialProviderConfig":
			w.doc("KubeCredentialProviderConfig", "", everyone).set(p[0], p[1], "configuration")
		case "disableManifestsDirectory":
			if yes, known := isTrue(p[1]); known && !yes {
				w.note(ByHand, f, "the kubelet no longer reads /etc/kubernetes/manifests: use KubeStaticPodConfig")
			}
		default:
			w.doc("KubeletConfig", "", everyone).set(p[0], p[1], p[0].Value)
		}
	}
}

// keepKubelet keeps the older section, whole, because nothing else has extra mounts; the generated document goes.
func (w *rewriter) keepKubelet(f field) {
	if w.clash(f, "KubeletConfig") {
		return
	}
	w.delete("KubeletConfig", "", everyone, nil)
	whole := mapping()
	for name, val := range map[string]*yaml.Node{
		"image": scalar(w.imageOf("ghcr.io/siderolabs/kubelet")), "defaultRuntimeSeccompProfileEnabled": boolean(true),
		"disableManifestsDirectory": boolean(true),
	} {
		if child(f.val, name) == nil {
			put(whole, scalar(name), val)
		}
	}
	sortKeys(whole)
	whole.Content = append(whole.Content, f.val.Content...)
	w.keep(f.path, f.key, whole)
	w.note(Hint, f, "extraMounts has no document: the older kubelet section stays, in place of the generated KubeletConfig; "+
		"no other patch may write a KubeletConfig. The new way is a UserVolumeConfig, which the kubelet sees under /var/mnt")
}

// imageOf is an image with the cluster's Kubernetes version.
func (w *rewriter) imageOf(repository string) string {
	if w.o.KubernetesVersion != "" {
		return repository + ":" + w.o.KubernetesVersion
	}
	return repository + ":${kubernetes_version}"
}

func sortKeys(m *yaml.Node) {
	all := pairs(m)
	slices.SortFunc(all, func(a, b [2]*yaml.Node) int {
		switch {
		case a[0].Value < b[0].Value:
			return -1
		case a[0].Value > b[0].Value:
			return 1
		}
		return 0
	})
	m.Content = nil
	for _, p := range all {
		m.Content = append(m.Content, p[0], p[1])
	}
}

func movePods(w *rewriter, f field) {
	for _, pod := range items(f.val) {
		namespace, name := value(child(pod, "metadata"), "namespace"), value(child(pod, "metadata"), "name")
		if namespace == "" {
			namespace = "default"
		}
		if name == "" {
			name = "default"
		}
		d := w.doc("KubeStaticPodConfig", namespace+"-"+name, everyone)
		d.comment(pod, f)
		d.set(nil, pod, "pod")
	}
}

func moveKubePrism(w *rewriter, f field) {
	yes, known := isTrue(child(f.val, "enabled"))
	if isDelete(f.val) || known && !yes {
		w.delete("KubePrismConfig", "", everyone, f.key)
		return
	}
	d := w.doc("KubePrismConfig", "", everyone)
	if !known {
		w.note(ByHand, f, "KubePrism is on where there is a KubePrismConfig, and off where it is deleted")
	}
	key, port := remove(f.val, "port")
	if port == nil {
		key, port = f.key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: "7445"}
	}
	d.set(key, port, "port")
}

func moveImageCache(w *rewriter, f field) {
	if key, val := remove(f.val, "localEnabled"); val != nil {
		key.HeadComment = joinComments(f.key.HeadComment, key.HeadComment)
		w.doc("ImageCacheConfig", "", everyone).set(key, val, "local", "enabled")
	}
}

func moveModules(w *rewriter, f field) {
	for _, m := range items(f.val) {
		if isDelete(m) {
			w.delete("KernelModuleConfig", value(m, "name"), everyone, nil)
			continue
		}
		d := w.doc("KernelModuleConfig", value(m, "name"), everyone)
		d.comment(m, f)
		if key, parameters := remove(m, "parameters"); parameters != nil {
			d.set(key, parameters, "parameters")
		}
	}
}
