package talosnode

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/resource/definitions/block"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// stages are the words of MachineStatus for those of its event.
var stages = map[machine.MachineStatusEvent_MachineStage]runtime.MachineStage{
	machine.MachineStatusEvent_UNKNOWN:       runtime.MachineStageUnknown,
	machine.MachineStatusEvent_BOOTING:       runtime.MachineStageBooting,
	machine.MachineStatusEvent_INSTALLING:    runtime.MachineStageInstalling,
	machine.MachineStatusEvent_MAINTENANCE:   runtime.MachineStageMaintenance,
	machine.MachineStatusEvent_RUNNING:       runtime.MachineStageRunning,
	machine.MachineStatusEvent_REBOOTING:     runtime.MachineStageRebooting,
	machine.MachineStatusEvent_SHUTTING_DOWN: runtime.MachineStageShuttingDown,
	machine.MachineStatusEvent_RESETTING:     runtime.MachineStageResetting,
	machine.MachineStatusEvent_UPGRADING:     runtime.MachineStageUpgrading,
}

// resources gives the COSI state.
func (n *node) resources() state.State { return n.store.State() }

// publish has the COSI resources say what the node is, soon.
func (n *node) publish() {
	select {
	case n.dirty <- struct{}{}:
	default:
	}
}

// publisher brings the resources up to date after changes, several at a time.
func (n *node) publisher() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.dirty:
		}
		n.publishNow()
		if !n.sleep(n.ctx, publishTime) {
			return
		}
	}
}

// publishNow does it at once: no two configs may become one version.
func (n *node) publishNow() {
	n.publishing.Lock()
	defer n.publishing.Unlock()
	if n.ctx.Err() != nil {
		return
	}
	if err := n.store.Apply(n.ctx, n.view()); err != nil && n.ctx.Err() == nil {
		n.w.Log.Error("talos resources", "machine", n.machine.Name, "error", err)
	}
}

// view is the node as its resources show it.
func (n *node) view() resources.View {
	st := n.status.now()
	n.mu.Lock()
	v := resources.View{
		Version: n.info.Version, Platform: resources.Platform{Name: n.info.Platform}, Booted: n.booted, BootID: n.bootID,
		Cmdline: n.info.Cmdline, Machine: n.machine, Running: n.running, Persistent: n.persistent,
		Maintenance: n.maintained, TimeSynced: n.synced, Meta: cloneMeta(n.meta),
	}
	online := n.online
	n.mu.Unlock()
	v.Hostname, v.Type, v.NodeID, v.UUID = n.hostname(), n.machineType(), n.nodeID(), n.uuid()
	v.Stage, v.Ready = stages[st.stage], len(st.unmet) == 0
	for _, u := range st.unmet {
		v.Unmet = append(v.Unmet, resources.Unmet{Name: u.name, Reason: u.reason})
	}
	v.Network = n.networkView(online)
	for _, s := range n.services.running() {
		v.Services = append(v.Services, resources.Service{ID: s.id, Healthy: s.healthy, Unknown: s.unknown, PID: s.pid})
	}
	for _, e := range n.info.Extensions {
		v.Extensions = append(v.Extensions, resources.Extension{Name: e[strings.LastIndex(e, "/")+1:], Version: n.info.Version, Author: "Sidero Labs"})
	}
	if n.info.Schematic != "" { // the factory puts one into every image, that of the vanilla schematic included (image-factory internal/profile)
		v.Extensions = append(v.Extensions, resources.Extension{
			Name: constants.ImageFactorySchematicExtensionName, Version: n.info.Schematic,
			Author: "Image Factory (https://factory.talos.dev)", Description: "Virtual extension which specifies the schematic of the image built with Image Factory.",
		})
	}
	if n.boot != nil {
		v.SystemDisk = n.boot.Name
	}
	if v.Maintenance || !n.configured() {
		return v
	}
	n.configuredView(&v)
	return v
}

func (n *node) configuredView(v *resources.View) {
	cfg := n.config()
	v.ClusterName = cfg.K8sClusterConfig().ClusterName()
	if id := cfg.DiscoveryIdentityConfig(); id != nil {
		v.ClusterID = id.ClusterID()
	}
	v.Nodename = n.kube.nodeName()
	for _, m := range n.env.Clusters.members(n) {
		v.Members = append(v.Members, m.Member)
	}
	if _, m := n.etcd.serving(); m != nil {
		v.EtcdMember = m.id
	}
	v.Node, v.StaticPods = n.kube.view()
}

// member is the node as other nodes know it.
func (n *node) member() resources.Member {
	m := resources.Member{
		NodeID: n.nodeID(), Hostname: n.hostname(), Nodename: n.kube.nodeName(), Type: n.machineType(),
		OperatingSystem: "Talos (" + n.info.Version + ")", Addresses: n.addresses(),
	}
	if m.Type.IsControlPlane() {
		m.Port = 6443
	}
	return m
}

func (n *node) networkView(online bool) resources.Network {
	link := n.link()
	net := resources.Network{
		Links: []resources.Link{{Name: link, MAC: n.machine.MAC}}, HostnameReady: true, EtcFilesReady: true,
		AddressReady: online, ConnectivityReady: online, TimeServers: []string{"time.cloudflare.com"},
		Resolvers: []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8")},
	}
	if !online {
		return net
	}
	for _, a := range n.addresses() {
		net.Addresses = append(net.Addresses, resources.Address{Link: link, Prefix: n.prefix(a)})
	}
	if n.machine.Gateway.IsValid() {
		net.Gateways = []resources.Gateway{{Link: link, Via: n.machine.Gateway}}
	}
	return net
}

// link is the name of the machine's network interface: the Cloud image asks for the old names.
func (n *node) link() string {
	if v, _ := n.info.Arg("net.ifnames"); v == "0" {
		return "eth0"
	}
	return "enp1s0"
}

func (n *node) prefix(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64)
	}
	if slices.Contains(n.machine.Addresses(), a) {
		return netip.PrefixFrom(a, 32)
	}
	return netip.PrefixFrom(a, 24)
}

// log writes to a service's log, and machined's to the kernel log too.
func (n *node) log(service, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(n.logs.Service(service), line)
	if service == "machined" {
		n.kernel("%s", line)
	}
}

func (n *node) kernel(format string, args ...any) {
	n.dmesg.User(fmt.Sprintf(format, args...))
}

// newHost makes the half of the API that looks at the machine.
func (n *node) newHost() *host.Host {
	return host.New(host.Options{
		Machine: n.machine, Version: n.info.Version, Platform: n.info.Platform, Kernel: "6.18.44-talos", Cmdline: n.info.Cmdline,
		Booted: n.booted, BootID: n.bootID, Hostname: n.hostname, Links: func() []string { return []string{n.link()} }, ControlPlane: n.controlPlane,
		Addresses: func() []netip.Prefix {
			var all []netip.Prefix
			for _, a := range n.addresses() {
				all = append(all, n.prefix(a))
			}
			return all
		},
		SystemDisk: func() string {
			if d := n.disk(); d != nil {
				return d.Name
			}
			return ""
		},
		Maintenance: func() bool { return !n.configured() },
		Files:       n.files, Services: n.processes, Pods: n.kube.podView, ImageExists: n.imageExists,
		TimeServers: func() []string { return []string{"time.cloudflare.com"} },
		Logs:        n.logs, Dmesg: n.dmesg,
	})
}

// files that this node has and others have not.
func (n *node) files() []host.File {
	files := []host.File{{Path: "/etc/hostname", Contents: []byte(n.hostname() + "\n")}}
	if data := n.file(stateLabel, configFile); data != nil {
		files = append(files, host.File{Path: "/system/state/config.yaml", Mode: 0o600, Contents: data})
	}
	if data := n.file(ephemeral, etcdFile); data != nil {
		files = append(files, host.File{Path: "/var/lib/etcd/member/snap/db", Mode: 0o600, Size: 2 << 20})
	}
	return files
}

func (n *node) processes() []host.Process {
	var list []host.Process
	for _, s := range n.services.running() {
		if s.process {
			list = append(list, host.Process{Service: s.id, PID: s.pid, Command: s.id, Args: s.id, Container: strings.HasPrefix(s.started, "Started task")})
		}
	}
	return list
}

// diskSpec is a disk as CEL expressions see it.
func diskSpec(d *world.Disk) *block.DiskSpec {
	return &block.DiskSpec{
		Size: uint64(d.SizeBytes), Model: d.Model, Serial: d.Serial, Wwid: wwid(d), Transport: d.Transport,
		Rotational: d.Rotational, DevPath: "/dev/" + d.Name, SectorSize: 512, IoSize: 512,
	}
}

// wwid is how Talos writes a world wide name that lsblk writes as 0x5002….
func wwid(d *world.Disk) string {
	if rest, ok := strings.CutPrefix(d.WWN, "0x"); ok {
		return "naa." + rest
	}
	return d.WWN
}

func cloneMeta(m map[uint8]string) map[uint8]string {
	c := make(map[uint8]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func trimDev(path string) string { return strings.TrimPrefix(path, "/dev/") }
