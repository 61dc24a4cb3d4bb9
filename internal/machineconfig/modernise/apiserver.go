package modernise

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// moveAPIServer moves the API server's section to the five documents that share it now.
func moveAPIServer(w *rewriter, f field) {
	if isDelete(f.val) {
		return // back to what is generated
	}
	w.moveAdmission(f)
	if key, policy := remove(f.val, "auditPolicy"); policy != nil {
		if isDelete(policy) {
			w.delete("KubeAuditPolicyConfig", "", controlPlanes, key)
		} else {
			w.doc("KubeAuditPolicyConfig", "", controlPlanes).set(key, policy, "configuration")
		}
	}
	w.moveAuthorizers(f)
	remove(f.val, "disablePodSecurityPolicy") // always so since Talos 1.12
	if n := child(f.val, "extraVolumes"); n != nil && len(n.Content) > 0 {
		w.keepComponent(f, "KubeAPIServerConfig", "registry.k8s.io/kube-apiserver")
		return
	}
	remove(f.val, "extraVolumes")
	if args := child(f.val, "extraArgs"); args != nil {
		w.moveAuthentication(f, args)
		if len(args.Content) == 0 {
			remove(f.val, "extraArgs")
		}
	}
	if i := index(f.val, "certSANs"); i >= 0 {
		f.val.Content[i] = renamed(f.val.Content[i], "certExtraSANs")
	}
	if len(f.val.Content) > 0 {
		w.spread(w.doc("KubeAPIServerConfig", "", controlPlanes), f)
	}
}

func (w *rewriter) moveAdmission(f field) {
	key, plugins := remove(f.val, "admissionControl")
	if isDelete(plugins) {
		w.delete("KubeAdmissionControlConfig", "PodSecurity", controlPlanes, key)
		return
	}
	for _, p := range items(plugins) {
		named := value(p, "name")
		if isDelete(p) {
			w.delete("KubeAdmissionControlConfig", named, controlPlanes, key)
			continue
		}
		d := w.doc("KubeAdmissionControlConfig", named, controlPlanes)
		d.comment(p, field{key: key, val: plugins})
		if k, c := remove(p, "configuration"); c != nil {
			d.set(k, c, "configuration")
		}
	}
}

func (w *rewriter) moveAuthorizers(f field) {
	key, list := remove(f.val, "authorizationConfig")
	for _, p := range items(list) {
		d := w.doc("KubeAuthorizerConfig", value(p, "name"), controlPlanes)
		d.comment(p, field{key: key, val: list})
		for _, name := range []string{"type", "webhook"} {
			if k, v := remove(p, name); v != nil {
				d.set(k, v, name)
			}
		}
	}
}

// moveAuthentication turns the flags that the KubeAPIServerConfig refuses into the KubeAuthenticationConfig, which
// replaces the generated one. What a flag means is from Kubernetes' own reference of kube-apiserver.
func (w *rewriter) moveAuthentication(f field, args *yaml.Node) {
	flags := map[string]string{}
	for _, p := range pairs(args) {
		switch name := p[0].Value; {
		case strings.HasPrefix(name, "oidc-"), name == "anonymous-auth":
			flags[name] = textOf(p[1])
		case name == "authentication-config", name == "authorization-config", name == "authorization-mode",
			strings.HasPrefix(name, "authorization-webhook-"):
			w.note(ByHand, f, "the argument %s is refused: write a KubeAuthenticationConfig or KubeAuthorizerConfig", name)
		default:
			continue
		}
		remove(args, p[0].Value)
	}
	if len(flags) == 0 {
		return
	}
	d := w.doc("KubeAuthenticationConfig", "", controlPlanes)
	d.set(nil, anonymous(flags["anonymous-auth"]), "configuration", "anonymous")
	jwt := sequence()
	if flags["oidc-issuer-url"] != "" {
		jwt.Content = append(jwt.Content, w.issuer(f, flags))
	}
	d.set(nil, jwt, "configuration", "jwt")
	w.note(Hint, f, "the flags for authentication are a KubeAuthenticationConfig, which replaces the generated one: compare it")
}

func textOf(n *yaml.Node) string {
	if l := items(n); len(l) > 0 {
		return l[0].Value
	}
	return n.Value
}

// anonymous is what is generated, unless the patch switched it.
func anonymous(flag string) *yaml.Node {
	if flag != "" {
		yes, _ := isTrue(scalar(flag))
		return mapping(scalar("enabled"), boolean(yes))
	}
	paths := sequence()
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		paths.Content = append(paths.Content, mapping(scalar("path"), scalar(path)))
	}
	return mapping(scalar("enabled"), boolean(true), scalar("conditions"), paths)
}

func (w *rewriter) issuer(f field, flags map[string]string) *yaml.Node {
	url := flags["oidc-issuer-url"]
	claim := flags["oidc-username-claim"]
	if claim == "" {
		claim = "sub"
	}
	prefix, given := flags["oidc-username-prefix"]
	switch {
	case prefix == "-", !given && claim == "email":
		prefix = ""
	case !given:
		prefix = url + "#"
	}
	mappings := mapping(scalar("username"), mapping(scalar("claim"), scalar(claim), scalar("prefix"), scalar(prefix)))
	if groups := flags["oidc-groups-claim"]; groups != "" {
		put(mappings, scalar("groups"), mapping(scalar("claim"), scalar(groups), scalar("prefix"), scalar(flags["oidc-groups-prefix"])))
	}
	out := mapping(
		scalar("issuer"), mapping(scalar("url"), scalar(url), scalar("audiences"), sequence(scalar(flags["oidc-client-id"]))),
		scalar("claimMappings"), mappings,
	)
	if claim, want, ok := strings.Cut(flags["oidc-required-claim"], "="); ok {
		put(out, scalar("claimValidationRules"), sequence(mapping(scalar("claim"), scalar(claim), scalar("requiredValue"), scalar(want))))
	}
	if file := flags["oidc-ca-file"]; file != "" {
		w.note(ByHand, f, "write the certificate of %s into issuer.certificateAuthority of the KubeAuthenticationConfig", file)
	}
	if flags["oidc-signing-algs"] != "" {
		w.note(Hint, f, "oidc-signing-algs has no counterpart: all asymmetric algorithms are accepted")
	}
	return out
}

// proxyFlags are arguments of kube-proxy and the fields of its config file that mean the same: with a config file,
// which Talos 1.14 gives it, kube-proxy does not look at the arguments. From Kubernetes' reference of kube-proxy.
func proxyFlags() map[string][]string {
	return map[string][]string{
		"bind-address":                    {"bindAddress"},
		"cluster-cidr":                    {"clusterCIDR"},
		"conntrack-max-per-core":          {"conntrack", "maxPerCore"},
		"conntrack-min":                   {"conntrack", "min"},
		"detect-local-mode":               {"detectLocalMode"},
		"healthz-bind-address":            {"healthzBindAddress"},
		"iptables-masquerade-bit":         {"iptables", "masqueradeBit"},
		"iptables-min-sync-period":        {"iptables", "minSyncPeriod"},
		"iptables-sync-period":            {"iptables", "syncPeriod"},
		"ipvs-min-sync-period":            {"ipvs", "minSyncPeriod"},
		"ipvs-scheduler":                  {"ipvs", "scheduler"},
		"ipvs-strict-arp":                 {"ipvs", "strictARP"},
		"ipvs-sync-period":                {"ipvs", "syncPeriod"},
		"masquerade-all":                  {"iptables", "masqueradeAll"},
		"metrics-bind-address":            {"metricsBindAddress"},
		"oom-score-adj":                   {"oomScoreAdj"},
		"profiling":                       {"enableProfiling"},
		"proxy-mode":                      {"mode"},
		"show-hidden-metrics-for-version": {"showHiddenMetricsForVersion"},
	}
}

func moveProxy(w *rewriter, f field) {
	if isDelete(f.val) {
		return // back to what is generated
	}
	d := w.doc("KubeProxyConfig", "", controlPlanes)
	for i, p := range pairs(f.val) {
		if i == 0 {
			p[0].HeadComment = joinComments(f.key.HeadComment, p[0].HeadComment)
		}
		switch p[0].Value {
		case "disabled":
			w.invert(d, f, p, "enabled")
		case "extraArgs":
			w.moveProxyArgs(d, f, p[1])
		default:
			d.set(p[0], p[1], p[0].Value)
		}
	}
}

func (w *rewriter) moveProxyArgs(d *document, f field, args *yaml.Node) {
	known := proxyFlags()
	for _, p := range pairs(args) {
		if name := p[0].Value; name == "nodeport-addresses" || name == "feature-gates" {
			d.set(p[0], proxyList(name, textOf(p[1])), "config", map[string]string{"nodeport-addresses": "nodePortAddresses", "feature-gates": "featureGates"}[name])
			continue
		}
		path, ok := known[p[0].Value]
		if !ok {
			d.set(p[0], p[1], "extraArgs", p[0].Value)
			w.note(ByHand, f, "kube-proxy has a config file now and may ignore the argument %s: find its field and write it below config", p[0].Value)
			continue
		}
		d.set(p[0], natural(p[1]), append([]string{"config"}, path...)...)
	}
}

// proxyList writes the two arguments that hold several values.
func proxyList(name, text string) *yaml.Node {
	list, gates := sequence(), mapping()
	for part := range strings.SplitSeq(text, ",") {
		list.Content = append(list.Content, scalar(part))
		gate, on, _ := strings.Cut(part, "=")
		put(gates, scalar(gate), natural(scalar(on)))
	}
	if name == "feature-gates" {
		return gates
	}
	return list
}

// natural gives a value that was the text of an argument the type it looks like.
func natural(n *yaml.Node) *yaml.Node {
	c := *n
	if c.Kind == yaml.ScalarNode {
		c.Style, c.Tag = 0, ""
	}
	return &c
}
