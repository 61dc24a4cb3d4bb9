package resources

import (
	"net/netip"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// View is all that a node shows of itself. Zero fields are facts a node does not have (yet): their resources do
// not exist.
type View struct {
	Version  string    // v1.14.1
	Platform Platform  // metal, hcloud
	Booted   time.Time // of this boot
	BootID   string
	Cmdline  string // kernel command line
	Machine  *world.Machine
	UUID     string // the machine's, or what META puts in its place; "" is the machine's

	Hostname   string
	Domainname string
	NodeID     string       // identity, base62 of 32 bytes; lives in STATE
	Type       machine.Type // TypeUnknown in maintenance
	Network    Network

	Stage       runtime.MachineStage
	Ready       bool
	Unmet       []Unmet
	Maintenance bool // the maintenance API serves
	TimeSynced  bool
	SecureBoot  bool

	// Running is the config the node runs (id v1alpha1), Persistent the one on its disk. A new provider, even of
	// the same text, is a new version, as on a real node.
	Running, Persistent config.Provider

	Services   []Service // those whose resource exists: running ones
	Extensions []Extension
	Volumes    []Volume           // nil: META, STATE and EPHEMERAL as the disks show them
	Discovered []DiscoveredVolume // nil: what Discover reads from the machine's disks
	SystemDisk string             // name of the disk Talos is installed on (nvme0n1), "" if none
	Meta       map[uint8]string
	Params     map[string]string // kernel parameters set by the config: proc.sys.… -> value
	Modules    []string          // loaded kernel modules

	// From here on empty in maintenance.
	ClusterID, ClusterName string
	Members                []Member // of the cluster, this node included
	Nodename               string
	Node                   *NodeStatus // what Kubernetes says of the node, nil until it is registered
	EtcdMember             uint64      // this node's member id, 0 if it is no member
	StaticPods             []StaticPod
	Peers                  []Peer // KubeSpan; empty when it is off
}

// Platform is where the node runs.
type Platform struct {
	Name, Hostname, Region, Zone, InstanceType, InstanceID, ProviderID string
}

// Network is what the node's network looks like.
type Network struct {
	Links       []Link
	Addresses   []Address
	Gateways    []Gateway // default routes
	Resolvers   []netip.Addr
	TimeServers []string
	// Ready parts of NetworkStatus.
	AddressReady, ConnectivityReady, HostnameReady, EtcFilesReady bool
}

// Link is a network interface besides lo.
type Link struct {
	Name   string // enp1s0, eth0
	Alias  string
	MAC    string
	MTU    uint32 // 0: 1500
	Kind   string // "" physical, vlan, bond, wireguard
	VLAN   uint16 // of kind vlan
	Parent string // of kind vlan
	Down   bool
	Driver string
	Speed  int // Mbit/s, 0: 1000
}

// Address is an address on a link.
type Address struct {
	Link   string
	Prefix netip.Prefix
}

// Gateway is a default route. An invalid Via is a route over the link itself.
type Gateway struct {
	Link   string
	Via    netip.Addr
	Metric uint32 // 0: 1024
}

// Unmet is a condition that keeps the node from being ready.
type Unmet struct{ Name, Reason string }

// Service is a running service.
type Service struct {
	ID               string
	Healthy, Unknown bool
	PID              int32 // 0: none known
}

// Extension is an installed system extension.
type Extension struct{ Name, Version, Author, Description string }

// Volume is a row of talosctl get volumestatus.
type Volume struct {
	ID         string // META, STATE, EPHEMERAL, or a path
	Type       block.VolumeType
	Phase      block.VolumePhase
	Location   string // /dev/nvme0n1p5; "" for directories
	Disk       string // /dev/nvme0n1
	Filesystem block.FilesystemType
	Bytes      uint64
	Encrypted  bool
	Mount      string // where it is mounted; "" if it is not
	Parent     string // of directories
	Error      string
}

// DiscoveredVolume is a row of talosctl get discoveredvolumes: a disk or a partition and what is on it.
type DiscoveredVolume struct {
	Name           string // nvme0n1p5
	Disk           string // nvme0n1, "" for a disk itself
	Bytes          uint64
	Found          string // what was recognised: gpt, xfs, vfat, luks, talosmeta; "" if nothing
	Label          string // of the filesystem
	PartitionLabel string
	PartitionIndex uint
	Offset         uint64
	UUID           string
}

// Member of the cluster as discovery knows it.
type Member struct {
	NodeID          string
	Hostname        string
	Nodename        string
	Type            machine.Type
	OperatingSystem string // Talos (v1.14.1)
	Addresses       []netip.Addr
	Port            int // of the API server, control planes only
}

// NodeStatus is what Kubernetes says of the node.
type NodeStatus struct {
	Ready, Unschedulable bool
	Labels, Annotations  map[string]string
	PodCIDRs             []netip.Prefix
}

// StaticPod of a control plane: kube-apiserver, kube-controller-manager, kube-scheduler.
type StaticPod struct {
	Name  string
	Image string
	// Running says that the kubelet reports it (StaticPodStatuses); Healthy that it is ready.
	Running, Healthy bool
	Since            time.Time
}

// Peer is a KubeSpan peer.
type Peer struct {
	PublicKey string
	Label     string
	Endpoint  netip.AddrPort
	Up        bool
	Handshake time.Time
}
