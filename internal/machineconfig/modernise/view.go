package modernise

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	conf "github.com/siderolabs/talos/pkg/machinery/config/config"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// viewer reads a config as a node does: through the library's resolved interfaces, behind which it makes no
// difference whether a value came from the old document or a new one. Where a node itself reads both (links, install,
// files, environment, disk encryption), the view joins them as the node does.
type viewer struct {
	role  fleet.Role
	minor int // of the nodes
}

// joined are the methods of a config that the view does not take as they are.
func joined() []string {
	return []string{
		"Machine", "Cluster", "NetworkCommonLinkConfigs", "NetworkLinkAliasConfigs", "NetworkDHCPConfigs",
		"NetworkDHCPv4Configs", "NetworkDHCPv6Configs", "NetworkVirtualIPConfigs", "RunDefaultDHCPOperators",
		"Volumes", "UnattendedInstallConfig", "Runtime", "Environment", "TrustedRoots", "EtcFileConfigs",
		"CRICustomizationConfigs", "DiscoveryServiceConfigs", "K8sExternalManifestConfigs", "K8sProxyConfig",
		"NetworkHostnameConfig", "NetworkResolverConfig", "NetworkKubeSpanConfig", "OOMConfig",
	}
}

// controlPlaneOnly are the methods whose values a worker never uses.
func controlPlaneOnly() []string {
	return []string{
		"K8sAPIServerConfig", "K8sAPIServerCAConfig", "K8sAggregatorCAConfig", "K8sAdmissionControlPluginConfigs",
		"K8sAuditPolicyConfig", "K8sAuthenticationConfig", "K8sAuthorizerConfigs", "K8sEtcdEncryptionConfig",
		"K8sControllerManagerConfig", "K8sSchedulerConfig", "K8sProxyConfig", "K8sFlannelCNIConfig", "K8sCoreDNSConfig",
		"K8sServiceAccountConfig", "K8sInlineManifestConfigs", "K8sExternalManifestConfigs", "K8sTalosAPIAccessConfig",
	}
}

func (v viewer) view(p config.Provider) map[string]any {
	worker := v.role == fleet.Worker
	var c conf.Config = p
	out := map[string]any{}
	val := reflect.ValueOf(&c).Elem()
	for name, e := range methods(val, func(name string) bool {
		return !slices.Contains(joined(), name) && (!worker || !slices.Contains(controlPlaneOnly(), name))
	}) {
		out[name] = e
	}
	if o := p.OOMConfig(); o != (conf.DefaultOOMConfig{}) { // the default is the same everywhere, and slow to parse
		out["OOMConfig"] = methods(reflect.ValueOf(&o).Elem(), nil)
	}
	if p.K8sTalosAPIAccessConfig() != nil && !worker {
		out["K8sTalosAPIAccess"] = "true" // it is on where there is one
	}
	v.machine(out, p)
	v.cluster(out, p, worker)
	maps.Copy(out, map[string]any{"network": links(p), "Volumes": v.volumes(p)})
	return out
}

func set(m map[string]any, key string, v any) {
	if v != nil {
		m[key] = v
	}
}

// machine joins what is in the machine section with the documents that took it over.
func (v viewer) machine(out map[string]any, p config.Provider) {
	m := p.Machine()
	machine := map[string]any{}
	for _, name := range []string{"Security", "Disks", "Type", "Features", "Logging", "SeccompProfiles"} {
		var i conf.MachineConfig = m
		set(machine, name, methods(reflect.ValueOf(&i).Elem(), func(n string) bool { return n == name })[name])
	}
	out["Machine"] = machine
	env := maps.Clone(m.Env())
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, p.Environment().Variables())
	set(out, "Environment", resolve(reflect.ValueOf(env)))
	set(out, "Install", install(p))
	v.files(out, p)
	set(out, "Runtime", v.runtime(p))
	v.network(out, p)
}

// network are the settings that stand in each other's way.
func (viewer) network(out map[string]any, p config.Provider) {
	host := map[string]any{}
	if h := p.NetworkHostnameConfig(); h != nil {
		set(host, "Hostname", resolve(reflect.ValueOf(h.Hostname())))
		if h.Hostname() == "" { // a name that is given wins over one that a node makes itself
			set(host, "AutoHostname", h.AutoHostname().String())
		}
	}
	out["NetworkHostnameConfig"] = host
	if r := p.NetworkResolverConfig(); r != nil {
		resolver := map[string]any{}
		var servers []any
		for _, s := range r.Resolvers() {
			servers = append(servers, strings.TrimSpace(fmt.Sprintf("%s %s", s.Addr, s.TLSServerName)))
		}
		if servers != nil {
			resolver["Resolvers"] = servers
		}
		if domains, ok := r.SearchDomains().Get(); ok {
			resolver["SearchDomains"] = append([]any{"(set)"}, resolveList(domains)...)
		}
		set(resolver, "DisableSearchDomain", resolve(reflect.ValueOf(r.DisableSearchDomain())))
		out["NetworkResolverConfig"] = resolver
	}
	if k := p.NetworkKubeSpanConfig(); k != nil && k.Enabled() { // nothing else of it counts while it is off
		var i conf.NetworkKubeSpanConfig = k
		out["NetworkKubeSpanConfig"] = methods(reflect.ValueOf(&i).Elem(), nil)
	}
}

func resolveList(list []string) []any {
	var out []any
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

func (viewer) runtime(p config.Provider) any {
	r := p.Runtime()
	out := map[string]any{}
	var urls []any
	for _, arg := range p.Machine().Install().ExtraKernelArgs() {
		if url, ok := strings.CutPrefix(arg, kernelLog); ok {
			urls = append(urls, url)
		}
	}
	for _, u := range r.KmsgLogURLs() {
		urls = append(urls, u.String())
	}
	if urls != nil {
		out["KmsgLogURLs"] = urls
	}
	if e := r.EventsEndpoint(); e != nil {
		out["EventsEndpoint"] = *e
	}
	if w := r.WatchdogTimer(); w != nil {
		out["WatchdogTimer"] = methods(reflect.ValueOf(&w).Elem(), nil)
	}
	return out
}

// files joins files by path with their documents.
func (viewer) files(out map[string]any, p config.Provider) {
	var roots, customizations []any
	files := map[string]any{}
	old, _ := p.Machine().Files()
	for i, f := range old {
		switch {
		case strings.HasPrefix(f.Path(), rootsPrefix):
			roots = append(roots, certificates(f.Content())...)
		case f.Path() == criPart:
		default:
			files[fileKey(f, i)] = fileText(f)
		}
	}
	for _, r := range p.TrustedRoots().ExtraTrustedRootCertificates() {
		roots = append(roots, certificates(r)...)
	}
	for _, c := range p.CRICustomizationConfigs() {
		customizations = append(customizations, trimmed(c.Content()))
	}
	for _, f := range p.EtcFileConfigs() {
		files["/etc/"+f.Name()] = fmt.Sprintf("%o %s", f.Mode(), f.Content())
	}
	out["Files"] = files
	if roots != nil {
		out["TrustedRoots"] = roots
	}
	if customizations != nil {
		out["CRICustomizationConfigs"] = customizations
	}
}

// fileKey is the path of a file, numbered where it may be written several times.
func fileKey(f conf.File, i int) string {
	if etcFile(f.Path()) {
		return f.Path()
	}
	return fmt.Sprintf("%s#%d", f.Path(), i)
}

func fileText(f conf.File) string {
	mode, how := f.Permissions(), ""
	if mode == 0 {
		mode = 0o644
	}
	if f.Op() == "append" {
		how = "appended "
	}
	return fmt.Sprintf("%o %s%s", mode, how, f.Content())
}

// certificates lists the certificates of a bundle. Documents put their name above theirs.
func certificates(text string) []any {
	var out []any
	for part := range strings.SplitSeq(text, "-----BEGIN ") {
		if body, _, ok := strings.Cut(part, "-----END "); ok {
			out = append(out, strings.Join(strings.Fields(body), " "))
		}
	}
	return out
}

// trimmed is a text without the blanks at the ends of its lines.
func trimmed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \t\n"))
		b.WriteByte('\n')
	}
	return b.String()
}

// install joins the install section with its document.
func install(p config.Provider) any {
	out := map[string]any{}
	if u := p.UnattendedInstallConfig(); u != nil {
		set(out, "Image", resolve(reflect.ValueOf(u.InstallerImage())))
		set(out, "Disk", canonical(u.VolumeSelector().String()))
		set(out, "Wipe", resolve(reflect.ValueOf(u.VolumeWipe())))
	}
	i := p.Machine().Install()
	if i.Image() == "" && i.Disk() == "" && len(out) > 0 {
		return out
	}
	set(out, "Image", resolve(reflect.ValueOf(i.Image())))
	if i.Disk() != "" {
		out["Disk"] = canonical(fmt.Sprintf("disk.dev_path == %q", i.Disk()))
	}
	if match, err := i.DiskMatchExpression(); err == nil && match != nil {
		out["Disk"] = canonical(match.String())
	}
	set(out, "Wipe", resolve(reflect.ValueOf(i.Zero())))
	set(out, "LegacyBIOSSupport", resolve(reflect.ValueOf(i.LegacyBIOSSupport())))
	var args, extensions []any
	for _, a := range i.ExtraKernelArgs() {
		if !strings.HasPrefix(a, kernelLog) {
			args = append(args, a)
		}
	}
	for _, e := range i.Extensions() {
		extensions = append(extensions, extensionImage.FindStringSubmatch(e.Image())[1])
	}
	if args != nil {
		out["KernelArguments"] = args
	}
	if extensions != nil {
		out["Extensions"] = extensions
	}
	return out
}

// canonical writes an expression without what makes no difference.
func canonical(cel string) string {
	return strings.NewReplacer(" ", "", "\n", "", "(", "", ")", "", "'", `"`, "u&&", "&&").Replace(cel)
}

// moved adds to a view what the schematic has taken over.
func moved(view map[string]any, s Schematic) {
	i, ok := view["Install"].(map[string]any)
	if !ok {
		return
	}
	for key, list := range map[string][]string{"KernelArguments": s.KernelArguments, "Extensions": s.Extensions} {
		if len(list) > 0 {
			had, _ := i[key].([]any)
			i[key] = append(had, resolveList(list)...)
		}
	}
}

// cluster are the settings that are read from the old section or from documents, by endpoint rather than by name.
func (viewer) cluster(out map[string]any, p config.Provider, worker bool) {
	c := p.Cluster()
	names := []string{"Token", "ExternalCloudProvider"}
	if !worker {
		names = append(names, "AESCBCEncryptionSecret", "SecretboxEncryptionSecret", "Etcd", "AdminKubeconfig")
	}
	cluster := methods(reflect.ValueOf(&c).Elem(), func(n string) bool { return slices.Contains(names, n) })
	if d := c.Discovery(); d.Enabled() && d.Registries().Kubernetes().Enabled() {
		cluster["KubernetesDiscovery"] = "true"
	}
	out["Cluster"] = cluster
	var endpoints []any
	for _, d := range p.DiscoveryServiceConfigs() {
		endpoints = append(endpoints, d.Endpoint().String())
	}
	if endpoints != nil {
		out["DiscoveryServiceConfigs"] = endpoints
	}
	if worker {
		return
	}
	manifests := map[string]any{}
	for _, m := range p.K8sExternalManifestConfigs() {
		manifests[m.URL()] = append([]any{"(fetched)"}, pairsOf(m.Headers())...)
	}
	out["K8sExternalManifestConfigs"] = manifests
	out["K8sProxyConfig"] = proxy(p)
}

func pairsOf(m map[string]string) []any {
	var out []any
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+": "+m[k])
	}
	return out
}

// proxy reads kube-proxy's arguments as the config fields that mean the same.
func proxy(p config.Provider) any {
	k := p.K8sProxyConfig()
	if k == nil || !k.Enabled() {
		return map[string]any{} // nothing of it counts
	}
	out := methods(reflect.ValueOf(&k).Elem(), func(n string) bool {
		return slices.Contains([]string{"Enabled", "Image", "Resources", "Mode"}, n)
	})
	settings, rest := map[string]any{}, map[string]any{}
	known := proxyFlags()
	for name, values := range k.ExtraArgs() {
		switch name {
		case "nodeport-addresses":
			settings["nodePortAddresses"] = strings.Join(values, " ")
			continue
		case "feature-gates":
			for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
				gate, on, _ := strings.Cut(part, "=")
				settings["featureGates."+gate] = on
			}
			continue
		}
		path, ok := known[name]
		if !ok {
			rest[name] = resolveList(values)
			continue
		}
		settings[strings.Join(path, ".")] = strings.Join(values, ",")
	}
	flatten("", k.Config(), settings)
	out["Config"] = settings
	out["ExtraArgs"] = rest
	return out
}

func flatten(path string, m map[string]any, out map[string]any) {
	for k, e := range m {
		if sub, ok := e.(map[string]any); ok {
			flatten(join(path, k), sub, out)
			continue
		}
		out[join(path, k)] = strings.NewReplacer("[", "", "]", "").Replace(fmt.Sprint(e))
	}
}

// volumes joins the encryption of the system's volumes with their documents, of which a node prefers the document.
func (v viewer) volumes(p config.Provider) any {
	out := map[string]any{}
	for _, name := range []string{"STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG", "IMAGECACHE"} {
		doc, _ := p.Volumes().ByName(name)
		m := methods(reflect.ValueOf(&doc).Elem(), func(n string) bool {
			// older nodes know nothing else
			return n == "Encryption" || n == "Provisioning" || n != "Name" && v.minor >= kubernetesDocs
		})
		if m["Encryption"] == nil {
			old := p.Machine().SystemDiskEncryption().Get(name)
			if old != nil {
				m["Encryption"] = methods(reflect.ValueOf(&old).Elem(), nil)
			}
		}
		out[name] = m
	}
	return out
}
