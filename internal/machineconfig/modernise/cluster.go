package modernise

import (
	"encoding/base64"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

func clusterRules() []rule {
	const components = "the Kubernetes components are documents that are generated"
	const discovery = "discovery is a document that is generated"
	const cluster = "the cluster's name and endpoint are in the generated KubeClusterConfig"
	const secret = "the cluster's secrets are documents that are generated from its secrets bundle"
	old := []rule{
		{"cluster.network", 0, 0, "KubeNetworkConfig", "the cluster's network is in documents that are generated", moveClusterNetwork},
		{"cluster.proxy", 0, 0, "KubeProxyConfig", components, moveProxy},
		{"cluster.apiServer", 0, 0, "KubeAPIServerConfig", components, moveAPIServer},
		{"cluster.controllerManager", 0, 0, "KubeControllerManagerConfig", components, moveComponent("KubeControllerManagerConfig", "registry.k8s.io/kube-controller-manager")},
		{"cluster.scheduler", 0, 0, "KubeSchedulerConfig", components, moveComponent("KubeSchedulerConfig", "registry.k8s.io/kube-scheduler")},
		{"machine.controlPlane.controllerManager", 0, 0, "KubeControllerManagerConfig", components, moveSwitch("KubeControllerManagerConfig")},
		{"machine.controlPlane.scheduler", 0, 0, "KubeSchedulerConfig", components, moveSwitch("KubeSchedulerConfig")},
		{"cluster.coreDNS", 0, 0, "KubeCoreDNSConfig", components, moveSwitch("KubeCoreDNSConfig")},
		{"cluster.discovery", 0, 0, "DiscoveryServiceConfig", discovery, moveDiscovery},
		{"cluster.id", 0, 0, "DiscoveryIdentityConfig", discovery, to("DiscoveryIdentityConfig", "clusterID")},
		{"cluster.secret", 0, 0, "DiscoveryIdentityConfig", discovery, to("DiscoveryIdentityConfig", "clusterSecret")},
		{"cluster.clusterName", 0, 0, "KubeClusterConfig", cluster, to("KubeClusterConfig", "clusterName")},
		{"cluster.controlPlane.endpoint", 0, 0, "KubeClusterConfig", cluster, moveEndpoint},
		{"cluster.controlPlane.localAPIServerPort", 0, 0, "KubeAPIServerConfig", components, moveAPIPort},
		{"cluster.allowSchedulingOnControlPlanes", 0, 0, "KubeNodeConfig", "the control planes' taint is in the generated KubeNodeConfig", moveScheduling},
		{"cluster.ca", 0, 0, "KubeAPIServerCAConfig", secret, moveSecret},
		{"cluster.acceptedCAs", 0, 0, "KubeAPIServerCAConfig", secret, moveAcceptedCAs},
		{"cluster.aggregatorCA", 0, 0, "KubeAggregatorCAConfig", secret, moveSecret},
		{"cluster.serviceAccount", 0, 0, "KubeServiceAccountConfig", secret, moveSecret},
		{"cluster.aescbcEncryptionSecret", 0, 0, "KubeEtcdEncryptionConfig", secret, moveSecret},
		{"cluster.secretboxEncryptionSecret", 0, 0, "KubeEtcdEncryptionConfig", secret, moveSecret},
	}
	for i := range old {
		old[i].since, old[i].must = kubernetesDocs, kubernetesDocs
	}
	return append(old,
		rule{"cluster.allowSchedulingOnMasters", oldestSupported, kubernetesDocs, "KubeNodeConfig", "it has another name since Talos 1.2, and the taint is in the generated KubeNodeConfig since 1.14", moveMasters},
		rule{"machine.features.kubernetesTalosAPIAccess", kubernetesDocs, 0, "", "access to the Talos API is a document of its own", moveTalosAccess},
		rule{"cluster.inlineManifests", kubernetesDocs, 0, "", "manifests are documents of their own", moveInlineManifests},
		rule{"cluster.extraManifests", kubernetesDocs, 0, "", "manifests are documents of their own", moveExtraManifests},
	)
}

func moveClusterNetwork(w *rewriter, f field) {
	if isDelete(f.val) {
		w.note(ByHand, f, "a deleted network section has no counterpart: write a KubeNetworkConfig")
		return
	}
	if _, cni := remove(f.val, "cni"); cni != nil {
		w.moveCNI(f, cni)
	}
	first := f.key
	for _, p := range pairs(f.val) {
		if first != nil {
			p[0].HeadComment = joinComments(first.HeadComment, p[0].HeadComment)
			first = nil
		}
		w.doc("KubeNetworkConfig", "", everyone).set(p[0], p[1], p[0].Value)
	}
}

func (w *rewriter) moveCNI(f field, cni *yaml.Node) {
	f.path += ".cni"
	if isDelete(cni) {
		return // back to what is generated
	}
	if len(cni.Content) > 0 {
		f.line = cni.Content[0].Line
	}
	_, which := remove(cni, "name")
	key, settings := remove(cni, "flannel")
	urlsKey, urls := remove(cni, "urls")
	if which != nil && which.Value != "flannel" {
		if w.vars.has(which.Value) {
			w.note(ByHand, f, "which network plugin is a variable: keep the KubeFlannelCNIConfig for flannel, delete it for others")
		}
		w.delete("KubeFlannelCNIConfig", "", controlPlanes, which)
	} else {
		for _, p := range pairs(settings) {
			key.HeadComment, p[0].HeadComment = "", joinComments(key.HeadComment, p[0].HeadComment)
			w.doc("KubeFlannelCNIConfig", "", controlPlanes).set(p[0], p[1], p[0].Value)
		}
	}
	w.manifests(field{path: f.path, key: keyOr(urlsKey), val: urls}, "custom-cni", at(w.old.root, "cluster", "extraManifestHeaders"))
}

func keyOr(key *yaml.Node) *yaml.Node {
	if key == nil {
		return scalar("")
	}
	return key
}

// moveSwitch moves the sections that are little more than a switch.
func moveSwitch(kind string) func(*rewriter, field) {
	return func(w *rewriter, f field) {
		if isDelete(f.val) {
			return // back to what is generated
		}
		d := w.doc(kind, "", controlPlanes)
		for i, p := range pairs(f.val) {
			if i == 0 {
				p[0].HeadComment = joinComments(f.key.HeadComment, p[0].HeadComment)
			}
			if p[0].Value == "disabled" {
				w.invert(d, f, p, "enabled")
				continue
			}
			d.set(p[0], p[1], p[0].Value)
		}
	}
}

// moveComponent moves a component whose fields are the same in its document, but for extra volumes, which it lacks.
func moveComponent(kind, image string) func(*rewriter, field) {
	return func(w *rewriter, f field) {
		if n := child(f.val, "extraVolumes"); n != nil && len(n.Content) > 0 {
			w.keepComponent(f, kind, image)
			return
		}
		remove(f.val, "extraVolumes")
		if isDelete(f.val) {
			return // back to what is generated
		}
		w.spread(w.doc(kind, "", controlPlanes), f)
	}
}

// keepComponent keeps the older section, whole, because its document has no extra volumes; the generated one goes.
func (w *rewriter) keepComponent(f field, kind, image string) {
	if w.clash(f, kind) {
		return
	}
	w.delete(kind, "", controlPlanes, nil)
	if child(f.val, "image") == nil {
		f.val.Content = append([]*yaml.Node{scalar("image"), scalar(w.imageOf(image))}, f.val.Content...)
	}
	w.doc("", "", controlPlanes).set(f.key, f.val, strings.Split(f.path, ".")...)
	w.note(Hint, f, "extraVolumes has no document: the older section stays, in place of the generated %s; no other patch may write one", kind)
}

// moveEndpoint also names the issuer of service accounts, which the old form takes from the endpoint.
func moveEndpoint(w *rewriter, f field) {
	w.doc("KubeClusterConfig", "", everyone).set(f.key, f.val, "endpoint")
	w.doc("KubeServiceAccountConfig", "", controlPlanes).set(nil, clone(f.val), "issuer", "issuerURL")
}

func moveAPIPort(w *rewriter, f field) {
	w.doc("KubeAPIServerConfig", "", controlPlanes).set(f.key, f.val, "apiPort")
}

func moveScheduling(w *rewriter, f field) {
	yes, known := isTrue(f.val)
	if !known {
		w.note(ByHand, f, "the taint of control planes is a KubeNodeConfig; a variable cannot delete it")
		return
	}
	const taint = "node-role.kubernetes.io/control-plane"
	if yes {
		w.doc("KubeNodeConfig", "", controlPlanes).set(f.key, deleted(), "taints", taint)
		return
	}
	w.doc("KubeNodeConfig", "", controlPlanes).set(f.key, scalar("NoSchedule"), "taints", taint)
}

func moveMasters(w *rewriter, f field) {
	if w.minor >= kubernetesDocs {
		moveScheduling(w, f)
		return
	}
	w.keep("cluster.allowSchedulingOnControlPlanes", f.key, f.val)
}

func moveDiscovery(w *rewriter, f field) {
	service, kubernetes := at(f.val, "registries", "service"), at(f.val, "registries", "kubernetes")
	if off, known := isTrue(child(kubernetes, "disabled")); kubernetes != nil && known && !off {
		w.note(ByHand, f, "discovery through Kubernetes has no document and does not work since Kubernetes 1.32: it is left out")
	}
	enabled, known := isTrue(child(f.val, "enabled"))
	disabled, _ := isTrue(child(service, "disabled"))
	if isDelete(f.val) || known && !enabled || disabled {
		w.delete("DiscoveryServiceConfig", "default", everyone, f.key)
		return
	}
	key, endpoint := scalar("endpoint"), scalar("https://discovery.talos.dev/")
	if i := index(service, "endpoint"); i >= 0 {
		key, endpoint = service.Content[i], service.Content[i+1]
	}
	key.HeadComment = joinComments(f.key.HeadComment, key.HeadComment)
	w.doc("DiscoveryServiceConfig", "default", everyone).set(key, endpoint, "endpoint")
}

func moveTalosAccess(w *rewriter, f field) {
	yes, known := isTrue(child(f.val, "enabled"))
	if isDelete(f.val) || known && !yes {
		return // what is generated has none
	}
	if !known {
		w.note(ByHand, f, "access to the Talos API is on where there is a KubeTalosAPIAccessConfig")
	}
	remove(f.val, "enabled")
	w.spread(w.doc("KubeTalosAPIAccessConfig", "", controlPlanes), f)
}

func moveInlineManifests(w *rewriter, f field) {
	for _, n := range items(f.val) {
		if isDelete(n) {
			w.delete("KubeInlineManifestConfig", value(n, "name"), controlPlanes, nil)
			continue
		}
		d := w.doc("KubeInlineManifestConfig", value(n, "name"), controlPlanes)
		d.comment(n, f)
		if key, contents := remove(n, "contents"); contents != nil {
			d.set(key, contents, "manifest")
		}
	}
}

func moveExtraManifests(w *rewriter, f field) {
	_, headers := w.take([]string{"cluster", "extraManifestHeaders"})
	w.manifests(f, "", headers)
}

// manifests makes a document of each address of a manifest.
func (w *rewriter) manifests(f field, base string, headers *yaml.Node) {
	for i, n := range items(f.val) {
		called := name(base, i+1)
		if base == "" {
			called = w.manifestName(n.Value)
		}
		d := w.doc("KubeExternalManifestConfig", called, controlPlanes)
		d.comment(n, f)
		d.set(nil, n, "url")
		if headers != nil {
			d.set(nil, clone(headers), "headers")
		}
	}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// manifestName makes a name of the end of an address, numbered where it is taken.
func (w *rewriter) manifestName(url string) string {
	url = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(w.vars.show(url), ".yaml"), ".yml"))
	parts := strings.Split(strings.Trim(url, "/"), "/")
	base := strings.Trim(notInNames.ReplaceAllString(strings.Join(parts[max(0, len(parts)-1):], "-"), "-"), "-")
	if base == "" {
		base = "manifest"
	}
	for n := 1; ; n++ {
		called, taken := name(base, n), false
		for _, d := range w.fresh {
			taken = taken || d.kind == "KubeExternalManifestConfig" && d.name == called
		}
		if !taken {
			return called
		}
	}
}

// moveSecret leaves out what the secrets bundle gives to every config.
func moveSecret(w *rewriter, f field) {
	w.note(ByHand, f, "%s comes from the cluster's secrets bundle: change it there", f.path)
}

func moveAcceptedCAs(w *rewriter, f field) {
	list := sequence()
	for _, n := range items(f.val) {
		if pem, ok := decode(value(n, "crt")); ok {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: pem, Style: yaml.LiteralStyle})
			continue
		}
		w.note(ByHand, f, "a certificate that is a variable must be PEM now, not base64 of it")
	}
	w.doc("KubeAPIServerCAConfig", "", everyone).set(f.key, list, "acceptedCAs")
}

// decode reads base64 of a PEM text.
func decode(text string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return string(b), err == nil && len(b) > 0
}
