package recipe

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// kept is what a promise is looked for in: the config as Talos resolves it, whatever documents said it.
type kept struct {
	*testing.T
	rendered
	Result
	minor int
	role  fleet.Role
	alone bool // no other recipe is used
}

func (k kept) want(ok bool, what string, args ...any) {
	k.Helper()
	if !ok {
		k.Errorf(what, args...)
	}
}

// promise is a recipe with parameters, and what a node then has.
type promise struct {
	recipe string
	why    string
	params Params
	kept   func(k kept)
}

func TestPromisesAreKeptOnEveryVersionForEveryRole(t *testing.T) {
	promised := map[string]bool{}
	for _, p := range promises() {
		promised[p.recipe] = true
		t.Run(p.recipe+"/"+p.why, func(t *testing.T) { p.everywhere(t) })
	}
	for _, r := range List() {
		if !promised[r.Name] {
			t.Errorf("nothing is proven of recipe %s", r.Name)
		}
	}
}

func (p promise) everywhere(t *testing.T) {
	r, err := Get(p.recipe)
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range releases {
		m := minor(t, release.talos)
		if !r.has(m) {
			continue
		}
		params := p.known(r, m)
		if params == nil {
			continue
		}
		result := mustApply(t, p.recipe, release.talos, params)
		names := map[string]bool{}
		for _, patch := range result.Patches {
			if names[patch.Name] || !strings.HasPrefix(patch.Name, p.recipe) {
				t.Errorf("the name %s", patch.Name)
			}
			names[patch.Name] = true
		}
		for _, role := range roles {
			t.Run(result.Version+"/"+string(role), func(t *testing.T) {
				c, err := render(t, release.talos, role, of(role, result)...)
				if err != nil {
					t.Fatal(err)
				}
				p.kept(kept{T: t, rendered: c, Result: result, minor: m, role: role, alone: true})
				if t.Failed() {
					t.Log(indent(c.text))
				}
			})
		}
	}
}

// known gives the parameters, or nil where the version does not know one of them.
func (p promise) known(r Recipe, m int) Params {
	for _, q := range r.Parameters {
		v, given := p.params[q.Name]
		if !given {
			continue
		}
		if !q.has(m) {
			return nil
		}
		for _, value := range q.Values {
			if value.Value == v && !value.has(m) {
				return nil
			}
		}
	}
	if p.params == nil {
		return Params{}
	}
	return p.params
}

func promises() []promise {
	return slices.Concat(systemPromises(), diskPromises(), networkPromises(), registryPromises(), gpuPromises(), kubernetesPromises())
}

func systemPromises() []promise {
	return []promise{
		{"cpu-governor", "in the image", nil, func(k kept) {
			k.want(slices.Equal(k.Schematic.KernelArgs, []string{"cpufreq.default_governor=performance"}), "schematic %v", k.Schematic)
			k.want(len(k.Patches) == 0, "%d patches", len(k.Patches))
		}},
		{"cpu-governor", "by the installer", Params{"method": "install"}, func(k kept) {
			k.want(slices.Equal(k.Machine().Install().ExtraKernelArgs(), []string{"cpufreq.default_governor=performance"}), "%v", k.Machine().Install().ExtraKernelArgs())
			k.want(len(k.Schematic.KernelArgs) == 0, "it is in the schematic too")
		}},
		{"cpu-governor", "by sysfs", Params{"method": "sysfs", "cpus": 2, "governor": "powersave"}, func(k kept) {
			want := map[string]string{"devices.system.cpu.cpu0.cpufreq.scaling_governor": "powersave", "devices.system.cpu.cpu1.cpufreq.scaling_governor": "powersave"}
			k.want(maps.Equal(k.SysfsConfig(), want), "sysfs %v", k.SysfsConfig())
		}},
		{"hostname", "of its own", Params{"hostname": "${hostname}.example.com"}, func(k kept) {
			got := k.NetworkHostnameConfig()
			k.want(got != nil && got.Hostname() == "worker-1.example.com", "hostname %v", got)
		}},
		{"sysctls", "two", Params{"sysctls": "vm.max_map_count=262144\nkernel.domainname=a \"quoted\": name"}, func(k kept) {
			k.want(k.SysctlConfig()["vm.max_map_count"] == "262144" && k.SysctlConfig()["kernel.domainname"] == `a "quoted": name`, "sysctls %v", k.SysctlConfig())
		}},
		{"containerd-metrics", "on the private address", Params{"address": "${private_ip}:11234"}, func(k kept) {
			section := "[metrics]"
			if k.minor >= 14 {
				section = `[plugins."io.containerd.server.v1.metrics"]`
			}
			k.cri(section + "\n  address = \"10.0.1.1:11234\"\n")
		}},
		{"pause-image", "of one's own", Params{"image": "registry.example.com/pause:3.10"}, func(k kept) { k.cri(pauseSection(k.minor, "registry.example.com/pause:3.10")) }},
		{"containerd", "everything at once", Params{"metrics": ":1", "pause_image": "a/b:c", "default_runtime": "nvidia", "extra": "[debug]\n  level = \"warn\"\n"}, func(k kept) {
			for _, part := range []string{"address = \":1\"", "\"a/b:c\"", "default_runtime_name = \"nvidia\"", "[debug]\n  level = \"warn\"\n"} {
				k.criHas(part)
			}
			k.want(k.minor >= 14 || len(k.CRICustomizationConfigs()) == 1, "%d customizations", len(k.CRICustomizationConfigs()))
		}},
		{"containerd", "pause image only", Params{"pause_image": "a/b:c"}, func(k kept) { k.criHas("\"a/b:c\"") }},
		{"service-logs", "two destinations", Params{"destinations": "udp://127.0.0.1:12345/, tcp://10.0.0.9:5044/"}, func(k kept) {
			var got []string
			for _, d := range k.Machine().Logging().Destinations() {
				got = append(got, d.Endpoint().String()+" "+d.Format())
			}
			k.want(slices.Equal(got, []string{"udp://127.0.0.1:12345/ json_lines", "tcp://10.0.0.9:5044/ json_lines"}), "destinations %v", got)
		}},
		{"service-logs", "with tags", Params{"destinations": []string{"tcp://10.0.0.9:5044/"}, "tags": map[string]any{"cluster": "${hostname}"}}, func(k kept) {
			k.want(k.Machine().Logging().Destinations()[0].ExtraTags()["cluster"] == "worker-1", "tags %v", k.Machine().Logging().Destinations()[0].ExtraTags())
		}},
		{"kernel-logs", "from the config on", Params{"destination": "tcp://10.0.0.9:5044/"}, func(k kept) {
			urls := k.Runtime().KmsgLogURLs()
			k.want(len(urls) == 1 && urls[0].String() == "tcp://10.0.0.9:5044/" && len(k.Schematic.KernelArgs) == 0, "urls %v, args %v", urls, k.Schematic.KernelArgs)
		}},
		{"kernel-logs", "from the start on", Params{"destination": "udp://10.0.0.9:5044/", "early": true}, func(k kept) {
			k.want(slices.Equal(k.Schematic.KernelArgs, []string{"talos.logging.kernel=udp://10.0.0.9:5044/"}), "args %v", k.Schematic.KernelArgs)
		}},
		{"system-extensions", "two", Params{"extensions": "siderolabs/gvisor, siderolabs/intel-ucode"}, func(k kept) {
			k.want(slices.Equal(k.Schematic.Extensions, []string{"siderolabs/gvisor", "siderolabs/intel-ucode"}) && len(k.Patches) == 0, "%v", k.Schematic)
		}},
		{"extension-service-config", "file and environment", Params{"service": "tailscale", "mount_path": "/etc/a.conf", "content": "a: 1\n  b\n", "environment": "TS_AUTHKEY=tskey-1,TS_HOSTNAME=${hostname}"}, func(k kept) {
			configs := k.ExtensionServiceConfigs()
			if len(configs) != 1 || configs[0].Name() != "tailscale" || len(configs[0].ConfigFiles()) != 1 {
				k.Fatalf("configs %v", configs)
			}
			f := configs[0].ConfigFiles()[0]
			k.want(f.MountPath() == "/etc/a.conf" && f.Content() == "a: 1\n  b\n", "file %s %q", f.MountPath(), f.Content())
			k.want(slices.Equal(configs[0].Environment(), []string{"TS_AUTHKEY=tskey-1", "TS_HOSTNAME=worker-1"}), "environment %v", configs[0].Environment())
		}},
		{"rbac", "where it is a choice", nil, func(k kept) {
			features := k.RawV1Alpha1().MachineConfig.MachineFeatures
			k.want(k.minor >= 12 && len(k.Patches) == 0 || features.RBAC != nil && *features.RBAC, "features %v", features)
		}},
	}
}

func pauseSection(minor int, image string) string {
	if minor < 8 {
		return "sandbox_image = \"" + image + "\""
	}
	return "\"io.containerd.cri.v1.images\".pinned_images]"
}

func (k kept) cri(part string) {
	k.Helper()
	k.want(k.minor >= 14 || len(k.CRICustomizationConfigs()) == 1, "%d customizations of containerd, of which the last would win", len(k.CRICustomizationConfigs()))
	k.criHas(part)
}

func (k kept) criHas(part string) {
	k.Helper()
	for _, c := range k.CRICustomizationConfigs() {
		if strings.Contains(c.Content(), part) {
			return
		}
	}
	k.Errorf("containerd is not told %q", part)
}

func (k kept) encryption(volume string) config.EncryptionConfig {
	if k.minor < 11 {
		return k.Machine().SystemDiskEncryption().Get(volume)
	}
	v, _ := k.Volumes().ByName(volume)
	return v.Encryption()
}

// keys are the key slots of a volume: "0 nodeid".
func (k kept) keys(volume string) []string {
	e := k.encryption(volume)
	if e == nil {
		return nil
	}
	k.want(e.Provider() == block.EncryptionProviderLUKS2, "provider %v", e.Provider())
	var out []string
	for _, key := range e.Keys() {
		var kind string
		switch {
		case key.NodeID() != nil:
			kind = "nodeID"
		case key.Static() != nil:
			kind = "static " + string(key.Static().Key())
		case key.KMS() != nil:
			kind = "kms " + key.KMS().Endpoint()
		case key.TPM() != nil:
			kind = "tpm"
			if key.TPM().CheckSecurebootOnEnroll() {
				kind += " with Secure Boot"
			}
		}
		if key.LockToSTATE() {
			kind += " locked"
		}
		out = append(out, string(rune('0'+key.Slot()))+" "+kind)
	}
	return out
}

func (k kept) keysAre(state, ephemeral []string) {
	k.Helper()
	k.want(slices.Equal(k.keys(constants.StatePartitionLabel), state), "STATE %q, want %q", k.keys(constants.StatePartitionLabel), state)
	k.want(slices.Equal(k.keys(constants.EphemeralPartitionLabel), ephemeral), "EPHEMERAL %q, want %q", k.keys(constants.EphemeralPartitionLabel), ephemeral)
	// The old and the new way are refused together by the node.
	k.want(k.minor >= 11 == (k.Machine().SystemDiskEncryption().Get(constants.StatePartitionLabel) == nil && k.Machine().SystemDiskEncryption().Get(constants.EphemeralPartitionLabel) == nil), "the syntax of another version")
}
