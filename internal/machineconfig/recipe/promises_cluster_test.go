package recipe

import (
	"maps"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/config"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func registryPromises() []promise {
	return []promise{
		{"registry-auth", "user and password", Params{"registry": "registry.example.com:5000", "username": "robot$a", "password": `s"ecret: ${x}`}, func(k kept) {
			a := k.RegistryAuthConfigs()["registry.example.com:5000"]
			k.want(a != nil && a.Username() == "robot$a" && a.Password() == `s"ecret: ${x}` && a.Auth() == "" && a.IdentityToken() == "", "auth %v", a)
		}},
		{"registry-auth", "a token", Params{"registry": "ghcr.io", "identity_token": "t"}, func(k kept) {
			k.want(k.RegistryAuthConfigs()["ghcr.io"].IdentityToken() == "t", "auth %v", k.RegistryAuthConfigs())
		}},
		{"registry-auth", "as Docker has it", Params{"registry": "ghcr.io", "auth": "dTpw"}, func(k kept) {
			k.want(k.RegistryAuthConfigs()["ghcr.io"].Auth() == "dTpw", "auth %v", k.RegistryAuthConfigs())
		}},
		{"registry-auth", "an authority of its own", Params{"registry": "ghcr.io", "ca": certificate()}, func(k kept) {
			k.want(string(k.RegistryTLSConfigs()["ghcr.io"].CA()) == certificate(), "TLS %v", k.RegistryTLSConfigs())
		}},
		{"registry-auth", "unchecked", Params{"registry": "ghcr.io", "insecure_skip_verify": true}, func(k kept) {
			k.want(k.RegistryTLSConfigs()["ghcr.io"].InsecureSkipVerify() && len(k.RegistryAuthConfigs()) == 0, "TLS %v", k.RegistryTLSConfigs())
		}},
		{"registry-mirrors", "several endpoints", Params{"mirrors": map[string]any{"docker.io": "http://10.5.0.1:5000 https://b/v2/x", "*": "http://10.5.0.1:5009"}, "override_path": true}, func(k kept) {
			m := k.RegistryMirrorConfigs()
			k.want(len(m) == 2 && len(m["*"].Endpoints()) == 1 && len(m["docker.io"].Endpoints()) == 2, "mirrors %v", m)
			e := m["docker.io"].Endpoints()[1]
			k.want(e.Endpoint() == "https://b/v2/x" && e.OverridePath() && !m["docker.io"].SkipFallback(), "endpoint %v", e)
		}},
		{"registry-mirrors", "without a way round", Params{"mirrors": "docker.io=http://10.5.0.1:5000", "skip_fallback": true}, func(k kept) {
			k.want(k.RegistryMirrorConfigs()["docker.io"].SkipFallback(), "mirrors %v", k.RegistryMirrorConfigs())
		}},
		{"harbor-mirror", "with a password", Params{"url": "https://harbor.example.com:8443/", "username": "admin", "password": "p"}, func(k kept) {
			m := k.RegistryMirrorConfigs()
			k.want(slices.Equal(slices.Sorted(maps.Keys(m)), []string{"docker.io", "gcr.io", "ghcr.io", "registry.k8s.io"}), "mirrors %v", m)
			for name, mirror := range m {
				e := mirror.Endpoints()
				k.want(len(e) == 1 && e[0].Endpoint() == "https://harbor.example.com:8443/v2/proxy-"+name && e[0].OverridePath(), "endpoints of %s: %v", name, e)
			}
			a := k.RegistryAuthConfigs()["harbor.example.com:8443"]
			k.want(a != nil && a.Username() == "admin" && a.Password() == "p", "auth %v", k.RegistryAuthConfigs())
		}},
	}
}

func gpuPromises() []promise {
	var out []promise
	for name, driver := range map[string]string{"nvidia-open": "nvidia-open-gpu-kernel-modules", "nvidia-proprietary": "nonfree-kmod-nvidia"} {
		out = append(
			out,
			promise{name, "long support", nil, func(k kept) { k.gpu("lts", driver, "nvidia-container-toolkit") }},
			promise{name, "newer drivers", Params{"branch": "production"}, func(k kept) { k.gpu("production", driver, "nvidia-container-toolkit") }},
		)
	}
	return append(
		out,
		promise{"nvidia-fabric-manager", "open", nil, func(k kept) {
			k.gpu("lts", "nvidia-open-gpu-kernel-modules", "nvidia-container-toolkit", "nvidia-fabricmanager")
		}},
		promise{"nvidia-fabric-manager", "proprietary", Params{"driver": "proprietary", "branch": "production"}, func(k kept) {
			k.gpu("production", "nonfree-kmod-nvidia", "nvidia-container-toolkit", "nvidia-fabricmanager")
		}},
		promise{"nvidia-default-runtime", "for all pods", nil, func(k kept) {
			section := `[plugins."io.containerd.grpc.v1.cri".containerd]`
			if k.minor >= 8 {
				section = `[plugins."io.containerd.cri.v1.runtime".containerd]`
			}
			k.cri(section)
			k.criHas(`default_runtime_name = "nvidia"`)
		}},
	)
}

// gpu says that extensions, modules and sysctl are there together.
func (k kept) gpu(branch string, extensions ...string) {
	k.Helper()
	for i, name := range extensions {
		extensions[i] = "siderolabs/" + strings.TrimPrefix(name, "siderolabs/")
		if k.minor >= 8 && !strings.HasSuffix(extensions[i], branch) {
			extensions[i] += "-" + branch
		}
	}
	k.want(slices.Equal(k.Schematic.Extensions, extensions), "extensions %v, want %v", k.Schematic.Extensions, extensions)
	var modules []string
	for _, m := range k.KernelModuleConfigs() {
		modules = append(modules, m.Name())
	}
	k.want(slices.Equal(modules, []string{"nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset"}), "modules %v", modules)
	k.want(k.SysctlConfig()["net.core.bpf_jit_harden"] == "1", "sysctls %v", k.SysctlConfig())
	k.want(strings.Contains(strings.Join(k.Notes, "\n"), "kind: RuntimeClass"), "no runtime class in the notes")
}

func kubernetesPromises() []promise {
	return []promise{
		{"talos-api-access", "for readers", Params{"roles": "os:reader,os:etcd:backup", "namespaces": "kube-system"}, func(k kept) {
			a := k.K8sTalosAPIAccessConfig()
			if k.role == fleet.Worker {
				k.want(a == nil, "workers have it")
				return
			}
			k.want(a != nil && slices.Equal(a.AllowedRoles(), []string{"os:reader", "os:etcd:backup"}) && slices.Equal(a.AllowedKubernetesNamespaces(), []string{"kube-system"}), "access %v", a)
		}},
		{"node-labels", "for all", Params{"labels": "example.com/rack=r13a25,empty="}, func(k kept) {
			labels := k.K8sNodeConfig().Labels()
			empty, there := labels["empty"]
			k.want(labels["example.com/rack"] == "r13a25" && there && empty == "", "labels %v", labels)
			k.defaults()
		}},
		{"node-labels", "for control planes", Params{"labels": "node-role.kubernetes.io/infra=", "control_planes": true}, func(k kept) {
			_, there := k.K8sNodeConfig().Labels()["node-role.kubernetes.io/infra"]
			k.want(there == (k.role == fleet.ControlPlane), "labels %v", k.K8sNodeConfig().Labels())
			k.defaults()
		}},
		{"node-taints", "for all", Params{"taints": "role=database:NoSchedule\ndedicated=NoExecute"}, func(k kept) {
			k.defaults()
			if k.role == fleet.Worker && k.minor < 14 {
				taints, ok := k.K8sKubeletConfig().ExtraConfig()["registerWithTaints"].([]any)
				if !ok || len(taints) != 2 {
					k.Fatalf("kubelet config %v", k.K8sKubeletConfig().ExtraConfig())
				}
				first, second := taints[0].(map[string]any), taints[1].(map[string]any)
				k.want(maps.Equal(first, map[string]any{"key": "dedicated", "effect": "NoExecute"}), "taint %v", first)
				k.want(maps.Equal(second, map[string]any{"key": "role", "value": "database", "effect": "NoSchedule"}), "taint %v", second)
				return
			}
			taints := k.K8sNodeConfig().Taints()
			k.want(taints["role"] == "database:NoSchedule" && taints["dedicated"] == "NoExecute", "taints %v", taints)
		}},
		{"node-taints", "for control planes", Params{"taints": "role=database:NoSchedule", "control_planes": true}, func(k kept) {
			_, there := k.K8sNodeConfig().Taints()["role"]
			k.want(there == (k.role == fleet.ControlPlane) && k.K8sKubeletConfig().ExtraConfig()["registerWithTaints"] == nil, "taints %v", k.K8sNodeConfig().Taints())
			k.defaults()
		}},
		{"cni-none", "no Flannel", nil, func(k kept) {
			k.want(k.K8sFlannelCNIConfig() == nil, "there is Flannel")
			k.want(!k.alone || k.role == fleet.Worker || k.K8sProxyConfig().Enabled(), "there is no kube-proxy either")
		}},
		{"no-kube-proxy", "no kube-proxy", nil, func(k kept) {
			k.want(k.role == fleet.Worker || !k.K8sProxyConfig().Enabled(), "kube-proxy is enabled")
			k.want(!k.alone || k.role == fleet.Worker || k.K8sFlannelCNIConfig() != nil, "there is no Flannel either")
		}},
		{"custom-ca", "trusted", Params{"certificates": certificate()}, func(k kept) {
			if k.minor < 8 {
				files, err := k.Machine().Files()
				at := slices.IndexFunc(files, func(f config.File) bool { return f.Path() == "/etc/ssl/certs/ca-certificates" })
				if err != nil || at < 0 {
					k.Fatalf("files %v (%v)", files, err)
				}
				k.want(files[at].Op() == "append" && files[at].Permissions() == 0o644 && files[at].Content() == certificate(), "file %v", files[at])
				return
			}
			roots := strings.Join(k.TrustedRoots().ExtraTrustedRootCertificates(), "")
			k.want(strings.HasSuffix(roots, certificate()), "roots %q", roots)
		}},
	}
}

// defaults says that the labels and taints Talos gives a control plane node are still there.
func (k kept) defaults() {
	k.Helper()
	if k.role == fleet.Worker || k.minor < 14 {
		return // before 1.14 Talos adds them on the node
	}
	_, label := k.K8sNodeConfig().Labels()["node-role.kubernetes.io/control-plane"]
	k.want(label && k.K8sNodeConfig().Taints()["node-role.kubernetes.io/control-plane"] == "NoSchedule", "labels %v, taints %v", k.K8sNodeConfig().Labels(), k.K8sNodeConfig().Taints())
}
