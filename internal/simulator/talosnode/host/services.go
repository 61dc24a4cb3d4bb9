package host

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type storageService struct {
	storage.UnimplementedStorageServiceServer
	host *Host
}

// Disks is the older way to list disks.
func (s storageService) Disks(context.Context, *emptypb.Empty) (*storage.DisksResponse, error) {
	all := &storage.Disks{}
	for _, d := range s.host.options.Machine.Disks {
		kind := storage.Disk_SSD
		switch {
		case d.Transport == "nvme":
			kind = storage.Disk_NVME
		case d.Rotational:
			kind = storage.Disk_HDD
		}
		wwid := d.WWN // sysfs says naa.5002… where lsblk says 0x5002…
		if hex, ok := strings.CutPrefix(wwid, "0x"); ok {
			wwid = "naa." + hex
		}
		all.Disks = append(all.Disks, &storage.Disk{
			Size: uint64(d.SizeBytes), Model: d.Model, DeviceName: "/dev/" + d.Name, Name: d.Name, Serial: d.Serial, Wwid: wwid,
			Type: kind, BusPath: "/pci0000:00/" + d.Name, Subsystem: "/sys/class/block", SystemDisk: d.Name == ask(s.host.options.SystemDisk),
		})
	}
	return &storage.DisksResponse{Messages: []*storage.Disks{all}}, nil
}

// BlockDeviceWipe empties disks. The disk Talos runs from is in use.
func (s storageService) BlockDeviceWipe(_ context.Context, r *storage.BlockDeviceWipeRequest) (*storage.BlockDeviceWipeResponse, error) {
	for _, d := range r.Devices {
		if s.host.options.Machine.Disk(d.Device) == nil {
			return nil, status.Errorf(codes.NotFound, "blockdevice %q not found", d.Device)
		}
		if d.Device == ask(s.host.options.SystemDisk) && !d.SkipVolumeCheck {
			return nil, status.Errorf(codes.FailedPrecondition, "blockdevice %q is in use by volume %q", d.Device, "META")
		}
	}
	for _, d := range r.Devices {
		disk := s.host.options.Machine.Disk(d.Device)
		if d.Method == storage.BlockDeviceWipeDescriptor_FAST {
			disk.Discard(0, 1<<20)
			disk.Discard(disk.SizeBytes-1<<20, 1<<20)
			continue
		}
		disk.Discard(0, disk.SizeBytes)
	}
	return &storage.BlockDeviceWipeResponse{Messages: []*storage.BlockDeviceWipe{{}}}, nil
}

type timeService struct {
	timeapi.UnimplementedTimeServiceServer
	host *Host
}

// Time asks the node's own time server.
func (s timeService) Time(context.Context, *emptypb.Empty) (*timeapi.TimeResponse, error) {
	servers := ask(s.host.options.TimeServers)
	if len(servers) == 0 {
		servers = []string{"time.cloudflare.com"}
	}
	return answer(servers[0]), nil
}

// TimeCheck asks another one. Servers with names answer; behind an address is nobody.
func (s timeService) TimeCheck(_ context.Context, r *timeapi.TimeRequest) (*timeapi.TimeResponse, error) {
	if ip := net.ParseIP(r.Server); ip != nil {
		from := ip
		if addresses := ask(s.host.options.Addresses); !ip.IsLoopback() && len(addresses) > 0 {
			from = addresses[0].Addr().AsSlice()
		}
		return nil, status.Errorf(codes.Unknown, "error querying NTP server %q: read udp %s->%s: read: connection refused",
			r.Server, net.JoinHostPort(from.String(), "35692"), net.JoinHostPort(r.Server, "123"))
	}
	return answer(r.Server), nil
}

func answer(server string) *timeapi.TimeResponse {
	now := time.Now()
	return &timeapi.TimeResponse{Messages: []*timeapi.Time{{
		Server: server, Localtime: timestamppb.New(now), Remotetime: timestamppb.New(now.Add(2 * time.Millisecond)),
	}}}
}

type inspectService struct {
	inspect.UnimplementedInspectServiceServer
}

// ControllerRuntimeDependencies names a few controllers and what they write; the graph of a real node has hundreds
// of edges, and nothing but a drawing depends on them.
func (inspectService) ControllerRuntimeDependencies(context.Context, *emptypb.Empty) (*inspect.ControllerRuntimeDependenciesResponse, error) {
	all := &inspect.ControllerRuntimeDependency{}
	for _, e := range [][2]string{
		{"block.DevicesController", "BlockDevices.block.talos.dev"},
		{"block.DiscoveryController", "DiscoveredVolumes.block.talos.dev"},
		{"block.DisksController", "Disks.block.talos.dev"},
		{"block.VolumeManagerController", "VolumeStatuses.block.talos.dev"},
		{"cluster.MemberController", "Members.cluster.talos.dev"},
		{"config.MachineTypeController", "MachineTypes.config.talos.dev"},
		{"k8s.NodenameController", "Nodenames.kubernetes.talos.dev"},
		{"network.LinkStatusController", "LinkStatuses.net.talos.dev"},
		{"runtime.MachineStatusController", "MachineStatuses.runtime.talos.dev"},
		{"v1alpha1.ServiceController", "Services.v1alpha1.talos.dev"},
	} {
		all.Edges = append(all.Edges, &inspect.ControllerDependencyEdge{ControllerName: e[0], ResourceType: e[1]})
	}
	return &inspect.ControllerRuntimeDependenciesResponse{Messages: []*inspect.ControllerRuntimeDependency{all}}, nil
}

type debugService struct {
	machine.UnimplementedDebugServiceServer
}

// ContainerRun wants a container first, and has nothing to run it with.
func (debugService) ContainerRun(s grpc.BidiStreamingServer[machine.DebugContainerRunRequest, machine.DebugContainerRunResponse]) error {
	r, err := s.Recv()
	if err != nil {
		return err
	}
	if r.GetSpec() == nil {
		return status.Error(codes.InvalidArgument, "expected debug container spec")
	}
	return status.Error(codes.Unimplemented, "there are no containers in a simulated node")
}
