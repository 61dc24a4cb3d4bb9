package resources

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	timesync "github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
)

// configured says that the node runs a config that is enough to boot.
func (v View) configured() bool { return v.Running != nil && !v.Maintenance }

// resources are all that the view says.
func (v View) resources() *wanted {
	w := &wanted{}
	if v.Discovered == nil && v.Machine != nil {
		v.Discovered = v.discover()
	}
	if v.Volumes == nil {
		v.Volumes = v.systemVolumes()
	}
	v.runtime(w)
	v.configs(w)
	v.hardware(w)
	v.network(w)
	v.specs(w)
	v.block(w)
	v.services(w)
	v.cluster(w)
	v.kubernetes(w)
	return w
}

func (v View) runtime(w *wanted) {
	unmet := []runtime.UnmetCondition{}
	for _, u := range v.Unmet {
		unmet = append(unmet, runtime.UnmetCondition{Name: u.Name, Reason: u.Reason})
	}
	w.add("runtime.MachineStatusController", with(runtime.NewMachineStatus(), runtime.MachineStatusSpec{
		Stage: v.Stage, Status: runtime.MachineStatusStatus{Ready: v.Ready, UnmetConditions: unmet},
	}))
	w.add("runtime.VersionController", with(runtime.NewVersion(), runtime.VersionSpec{Name: "Talos", Version: v.Version}))
	w.add("runtime.DevicesStatusController",
		with(runtime.NewDevicesStatus(runtime.NamespaceName, runtime.DevicesID), runtime.DevicesStatusSpec{Ready: true}))
	w.add("runtime.SecurityStateController",
		with(runtime.NewSecurityStateSpec(runtime.NamespaceName), runtime.SecurityStateSpec{SecureBoot: v.SecureBoot}))
	if v.Cmdline != "" {
		w.add("runtime.KernelCmdlineController", with(runtime.NewKernelCmdline(), runtime.KernelCmdlineSpec{Cmdline: v.Cmdline}))
	}
	w.add("runtime.EnvironmentController", with(runtime.NewEnvironment("machined"), runtime.EnvironmentSpec{Variables: []string{
		"HOME=/", "PATH=/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/cni/bin", "PLATFORM=" + v.Platform.Name, "TERM=linux",
	}}))
	if v.TimeSynced {
		w.add("time.SyncController", with(timesync.NewStatus(), timesync.StatusSpec{Synced: true}))
	}
	w.add("cri.ImageCacheConfigController", with(cri.NewImageCacheConfig(), cri.ImageCacheConfigSpec{
		Status: cri.ImageCacheStatusDisabled, CopyStatus: cri.ImageCacheCopyStatusSkipped, Roots: []string{},
	}))
	etc := []string{"cri/conf.d/01-registries.part", "cri/conf.d/cri.toml", "hosts", "machine-id", "resolv.conf"}
	if v.configured() {
		etc = append(etc, "cri/conf.d/base-spec.json")
	}
	for _, id := range etc {
		w.add("files.EtcFileController", with(files.NewEtcFileStatus(files.NamespaceName, id), files.EtcFileStatusSpec{SpecVersion: "2"}))
	}
	v.meta(w)
	v.params(w)
	w.add("runtime.BootIDController", with(runtime.NewBootID(), runtime.BootIDSpec{BootID: v.BootID}))
	for i, e := range v.Extensions {
		w.add("runtime.ExtensionStatusController",
			with(runtime.NewExtensionStatus(runtime.NamespaceName, strconv.Itoa(i)), e.layer(i)))
		if flavor, url, _ := strings.Cut(e.Author, " ("); e.Name == constants.ImageFactorySchematicExtensionName {
			w.add("runtime.ImageFactorySchematicController", with(runtime.NewImageFactorySchematic(runtime.NamespaceName, runtime.ImageFactorySchematicID),
				runtime.ImageFactorySchematicSpec{SchematicID: e.Version, Flavor: flavor, APIURL: strings.TrimSuffix(url, ")")}))
		}
	}
	for _, m := range v.Modules {
		w.add("runtime.LoadedKernelModuleController", with(runtime.NewLoadedKernelModule(runtime.NamespaceName, m),
			runtime.LoadedKernelModuleSpec{Size: 65536, State: "Live", Address: "0x0000000000000000"}))
	}
}

func (e Extension) layer(i int) extensions.Layer {
	l := extensions.Layer{Image: fmt.Sprintf("%d.sqsh", i)}
	l.Metadata.Name, l.Metadata.Version, l.Metadata.Author, l.Metadata.Description = e.Name, e.Version, e.Author, e.Description
	return l
}

// meta has the id 0x0a for key 10, as talosctl meta writes it.
func (v View) meta(w *wanted) {
	w.add("runtime.MetaController", with(runtime.NewMetaLoaded(), runtime.MetaLoadedSpec{Done: true}))
	for _, k := range slices.Sorted(maps.Keys(v.Meta)) {
		w.add("", with(runtime.NewMetaKey(runtime.NamespaceName, runtime.MetaKeyTagToID(k)), runtime.MetaKeySpec{Value: v.Meta[k]}))
	}
}

// params are the kernel parameters that Talos sets and those of the config.
func (v View) params(w *wanted) {
	defaults := kernelDefaults()
	for _, k := range slices.Sorted(maps.Keys(defaults)) {
		d := defaults[k]
		w.add("runtime.KernelParamDefaultsController", with(runtime.NewKernelParamDefaultSpec(runtime.NamespaceName, k),
			runtime.KernelParamDefaultSpecSpec{Value: d.talos}))
		if _, set := v.Params[k]; !set {
			w.add("runtime.KernelParamSpecController", with(runtime.NewKernelParamStatus(runtime.NamespaceName, k),
				runtime.KernelParamStatusSpec{Current: d.talos, Default: d.kernel}))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(v.Params)) {
		w.add("runtime.KernelParamConfigController", with(runtime.NewKernelParamSpec(runtime.NamespaceName, k),
			runtime.KernelParamSpecSpec{Value: v.Params[k]}))
		w.add("runtime.KernelParamSpecController", with(runtime.NewKernelParamStatus(runtime.NamespaceName, k),
			runtime.KernelParamStatusSpec{Current: v.Params[k], Default: defaults[k].kernel}))
	}
}

type kernelDefault struct{ talos, kernel string }

// kernelDefaults are Talos' own kernel parameters (internal/app/machined/pkg/controllers/runtime, kernel
// self-protection included) with what a kernel has without them.
func kernelDefaults() map[string]kernelDefault {
	return map[string]kernelDefault{
		"proc.sys.fs.aio-max-nr":                              {"1048576", "65536"},
		"proc.sys.fs.inotify.max_user_instances":              {"8192", "128"},
		"proc.sys.kernel.panic":                               {"10", "1"},
		"proc.sys.kernel.pid_max":                             {"262144", "4194304"},
		"proc.sys.kernel.panic_on_oops":                       {"1", "0"},
		"proc.sys.net.core.bpf_jit_harden":                    {"1", "0"},
		"proc.sys.net.ipv4.icmp_echo_ignore_broadcasts":       {"1", "1"},
		"proc.sys.net.ipv4.icmp_ignore_bogus_error_responses": {"1", "1"},
		"proc.sys.net.ipv4.ip_forward":                        {"1", "0"},
		"proc.sys.net.ipv4.tcp_keepalive_intvl":               {"60", "75"},
		"proc.sys.net.ipv4.tcp_keepalive_time":                {"600", "7200"},
		"proc.sys.net.ipv6.conf.default.accept_ra":            {"2", "1"},
		"proc.sys.net.ipv6.conf.default.forwarding":           {"1", "0"},
		"proc.sys.vm.overcommit_memory":                       {"1", "0"},
	}
}

// configs are the machine config and how it came.
func (v View) configs(w *wanted) {
	kind := config.NewMachineType()
	kind.SetMachineType(v.Type)
	w.add("config.MachineTypeController", kind)
	if v.Persistent != nil {
		w.all = append(w.all, owned{Resource: config.NewMachineConfigWithID(v.Persistent, config.PersistentID), provider: v.Persistent})
	}
	if v.Running != nil {
		w.all = append(w.all, owned{Resource: config.NewMachineConfigWithID(v.Running, config.ActiveID), provider: v.Running})
	}
	if v.Maintenance {
		w.add("", v1alpha1.NewAcquireConfigSpec())
		w.add("config.AcquireController", runtime.NewMaintenanceServiceRequest())
	} else if v.Running != nil {
		w.add("config.AcquireController", v1alpha1.NewAcquireConfigStatus())
	}
	w.add("runtime.MaintenanceConfigController", with(runtime.NewMaintenanceServiceConfig(), runtime.MaintenanceServiceConfigSpec{
		ListenAddress: ":50000", ReachableAddresses: v.bare(),
	}))
	if v.Maintenance || v.Running != nil {
		w.add("runtime.APIServiceConfigController", with(runtime.NewAPIServiceConfig(), runtime.APIServiceConfigSpec{
			ListenAddress: ":50000", NodeRoutingDisabled: v.Maintenance, ReadonlyRoleMode: v.Maintenance,
			SkipVerifyingClientCert: v.Maintenance,
		}))
	}
}

func (v View) hardware(w *wanted) {
	w.add("hardware.PCRStatusController", hardware.NewPCCRStatus(constants.UKIPCR))
	m := v.Machine
	if m == nil {
		return
	}
	w.add("hardware.SystemInfoController", with(hardware.NewSystemInformation(hardware.SystemInformationID), hardware.SystemInformationSpec{
		Manufacturer: m.Manufacturer, ProductName: m.Product, Version: "1.0", SerialNumber: m.Serial, UUID: cmp.Or(v.UUID, m.UUID),
		WakeUpType: "Power Switch",
	}))
	w.add("hardware.SystemInfoController", with(hardware.NewProcessorInfo("CPU-0"), hardware.ProcessorSpec{
		Socket: "CPU 0", Manufacturer: m.CPU, ProductName: m.CPU, MaxSpeed: 3600, BootSpeed: 3600, Status: 65,
		CoreCount: uint32(m.Cores), CoreEnabled: uint32(m.Cores), ThreadCount: uint32(m.Cores),
	}))
	w.add("hardware.SystemInfoController", with(hardware.NewMemoryModuleInfo("DIMM-0"), hardware.MemoryModuleSpec{
		Size: uint32(m.MemoryBytes >> 20), DeviceLocator: "DIMM 0", BankLocator: "BANK 0", Speed: 3200, Manufacturer: m.Manufacturer,
	}))
	kib := uint64(m.MemoryBytes >> 10)
	w.add("perf.StatsController", with(perf.NewMemory(), perf.MemorySpec{
		MemTotal: kib, MemUsed: kib / 8, MemAvailable: kib - kib/8, Cached: kib / 16, Hugepagesize: 2048, VmallocTotal: 34359738367,
	}))
	stats := perf.CPUSpec{CPU: make([]perf.CPUStat, m.Cores), ProcessRunning: 1}
	w.add("perf.StatsController", with(perf.NewCPU(), stats))
}

func (v View) services(w *wanted) {
	for _, s := range v.Services {
		w.add("v1alpha1.ServiceController", with(v1alpha1.NewService(s.ID),
			v1alpha1.ServiceSpec{Running: true, Healthy: s.Healthy, Unknown: s.Unknown}))
		if s.PID != 0 {
			w.add("", with(runtime.NewServicePID(s.ID), runtime.ServicePIDSpec{PID: s.PID, MountNamespace: "mnt:[4026532473]"}))
		}
	}
}
