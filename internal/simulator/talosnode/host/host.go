// Package host answers what a simulated Talos node says about the machine under it: its files, logs, kernel
// messages, processes, memory, disks, clock and images. It only reads, but for images and the wiping of unused
// disks; what changes a node (sequences, services, etcd, configuration) belongs to the node itself, which embeds a
// Host and adds those methods.
//
// Figures that nobody decides upon (CPU ticks, interrupt counters) are made up but steady; what identifies the
// machine (memory, cores, disks, links, boot time) is that of its world.Machine.
package host

import (
	"context"
	"net/netip"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Options is what a host knows of its node. Functions are asked at every call; a nil function is an empty answer.
type Options struct {
	Machine      *world.Machine
	Version      string // v1.14.1
	Platform     string // metal, hcloud
	Kernel       string // 6.18.44-talos; that is also the default
	Cmdline      string
	Booted       time.Time
	BootID       string // another one after each boot: how talosctl knows that a node has rebooted
	Hostname     func() string
	Addresses    func() []netip.Prefix
	Links        func() []string       // names, lo excluded
	SystemDisk   func() string         // disk Talos is installed on, "" if it is not
	ControlPlane func() bool           // a control plane that has its configuration
	Maintenance  func() bool           // answers differ slightly: no features, no images
	Files        func() []File         // files besides those every node has; they win over these
	Services     func() []Process      // running services with a process
	Pods         func() []Pod          // running pods, static ones included
	ImageExists  func(ref string) bool // whether a registry has it; nil: any but tags named nosuch or v9.9.9
	TimeServers  func() []string
	Logs         *Logs
	Dmesg        *Dmesg
}

// File is a file of the node's file system. Parents of a file exist by themselves.
type File struct {
	Path     string
	Mode     uint32 // permission bits; 0: 0644
	Contents []byte
	Link     string // symbolic link to it
	Size     int64  // of a file whose contents are zeroes, as far as anybody reads them; 0: len(Contents)
	Dir      bool   // an empty directory
}

// Process is a running service.
type Process struct {
	Service   string // apid
	PID       int32
	Command   string // containerd
	Args      string
	Container bool   // runs in a container of namespace system
	Image     string // of etcd and the kubelet, which run in containers of the pods' containerd
}

// Pod is a pod of namespace k8s.io.
type Pod struct {
	Namespace, Name, UID string
	Containers           []Container
}

// Container of a pod.
type Container struct {
	Name, Image, ID string // ID: 64 hexadecimal digits; made from the names if empty
	PID             int32
	Exited          bool
}

// Host implements machine.MachineServiceServer: its read-only half is real, the other half Unimplemented until
// the node that embeds it says otherwise.
type Host struct {
	machine.UnimplementedMachineServiceServer
	options Options
	images  *images
}

// New makes a host.
func New(o Options) *Host {
	if o.Kernel == "" {
		o.Kernel = "6.18.44-talos"
	}
	if o.Logs == nil {
		o.Logs = NewLogs()
	}
	if o.Dmesg == nil {
		o.Dmesg = NewDmesg()
	}
	h := &Host{options: o}
	h.images = newImages(h)
	return h
}

// Register serves StorageService, TimeService, InspectService, ImageService and DebugService. MachineService is
// the node's to register.
func (h *Host) Register(r grpc.ServiceRegistrar) {
	storage.RegisterStorageServiceServer(r, storageService{host: h})
	timeapi.RegisterTimeServiceServer(r, timeService{host: h})
	inspect.RegisterInspectServiceServer(r, inspectService{})
	machine.RegisterImageServiceServer(r, imageService{host: h})
	machine.RegisterDebugServiceServer(r, debugService{})
}

// Version says what runs. In maintenance there are no features: nothing checks roles by a certificate.
func (h *Host) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	mode := "cloud"
	if h.options.Platform == "metal" || h.options.Platform == "container" {
		mode = h.options.Platform
	}
	v := &machine.Version{
		Version:  &machine.VersionInfo{Tag: h.options.Version, Sha: "undefined", GoVersion: "go1.26.8", Os: "linux", Arch: h.options.Machine.Arch},
		Platform: &machine.PlatformInfo{Name: h.options.Platform, Mode: mode},
	}
	if !ask(h.options.Maintenance) {
		v.Features = &machine.FeaturesInfo{Rbac: true}
	}
	return &machine.VersionResponse{Messages: []*machine.Version{v}}, nil
}

// Hostname of the node.
func (h *Host) Hostname(context.Context, *emptypb.Empty) (*machine.HostnameResponse, error) {
	return &machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: ask(h.options.Hostname)}}}, nil
}

// ask calls an optional function.
func ask[T any](f func() T) T {
	if f == nil {
		var none T
		return none
	}
	return f()
}
