package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const kubernetes = "k8s.io" // containerd's namespace of pods

// Processes are init, the services, and the pods' containers.
func (h *Host) Processes(context.Context, *emptypb.Empty) (*machine.ProcessesResponse, error) {
	one := func(pid int32, command, args string) *machine.ProcessInfo {
		return &machine.ProcessInfo{
			Pid: pid, Ppid: 1, State: "S", Threads: 8, CpuTime: h.up() / 100, VirtualMemory: 1300 << 20, ResidentMemory: 40 << 20,
			Command: command, Executable: "/usr/bin/" + command, Args: args,
		}
	}
	init := one(1, "init", "/sbin/init")
	init.Ppid = 0
	all := []*machine.ProcessInfo{init}
	for _, p := range ask(h.options.Services) {
		if p.PID <= 1 {
			continue // machined is init
		}
		command := p.Command
		if command == "" {
			command = p.Service
		}
		all = append(all, one(p.PID, command, p.Args))
	}
	for _, p := range ask(h.options.Pods) {
		for _, c := range p.Containers {
			if !c.Exited {
				all = append(all, one(c.PID, c.Name, c.Name))
			}
		}
	}
	return &machine.ProcessesResponse{Messages: []*machine.Process{{Processes: all}}}, nil
}

// Containers of a namespace: the services' own (system) or the pods' (k8s.io, which only the CRI driver knows).
func (h *Host) Containers(_ context.Context, r *machine.ContainersRequest) (*machine.ContainersResponse, error) {
	all, err := h.containers(r.Namespace, r.Driver)
	if err != nil {
		return nil, err
	}
	return &machine.ContainersResponse{Messages: []*machine.Container{{Containers: all}}}, nil
}

func (h *Host) containers(namespace string, driver common.ContainerDriver) ([]*machine.ContainerInfo, error) {
	var all []*machine.ContainerInfo
	if driver != common.ContainerDriver_CRI {
		for _, p := range ask(h.options.Services) {
			if p.Container && namespace == "system" {
				all = append(all, &machine.ContainerInfo{
					Namespace: namespace, Id: p.Service, InternalId: p.Service, Name: p.Service,
					PodId: p.Service, Pid: uint32(p.PID), Status: "RUNNING",
				})
			}
		}
		return all, nil
	}
	if namespace != kubernetes {
		return nil, status.Error(codes.Unknown, "CRI inspector is supported only for K8s namespace")
	}
	for _, p := range ask(h.options.Pods) {
		id := p.Namespace + "/" + p.Name
		all = append(all, &machine.ContainerInfo{
			Namespace: namespace, Id: id, Uid: p.UID, InternalId: digest("pod", id), Image: "registry.k8s.io/pause:3.10.1",
			Pid: pid(id), Status: "SANDBOX_READY", PodId: id, Name: id,
		})
		for _, c := range p.Containers {
			all = append(all, c.info(namespace, id))
		}
	}
	return all, nil
}

func (c Container) info(namespace, pod string) *machine.ContainerInfo {
	internal := c.ID
	if internal == "" {
		internal = digest("container", pod, c.Name, c.Image)
	}
	state := "CONTAINER_RUNNING"
	if c.Exited {
		state = "CONTAINER_EXITED"
	}
	return &machine.ContainerInfo{
		Namespace: namespace, Id: pod + ":" + c.Name + ":" + internal[:12], InternalId: internal, Image: c.Image, Pid: uint32(c.PID),
		Status: state, PodId: pod, Name: c.Name,
	}
}

// digest makes 64 hexadecimal digits out of names.
func digest(names ...string) string {
	sum := sha256.New()
	for _, n := range names {
		sum.Write([]byte(n + "\x00"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// pid makes a process id out of a name.
func pid(name string) uint32 {
	sum := fnv.New32a()
	sum.Write([]byte(name))
	return 400 + sum.Sum32()%4000
}

// container finds one of a pod's by its id, with or without the last part.
func (h *Host) container(namespace, id string) (*machine.ContainerInfo, error) {
	all, err := h.containers(namespace, common.ContainerDriver_CRI)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Id == id || c.InternalId == id || c.PodId+":"+c.Name == id {
			return c, nil
		}
	}
	return nil, status.Errorf(codes.Unknown, "container %q not found", id)
}

// Restart kills a container; containerd starts it again at once, so that nothing is to be seen of it.
func (h *Host) Restart(_ context.Context, r *machine.RestartRequest) (*machine.RestartResponse, error) {
	if r.Namespace == "" {
		return nil, status.Error(codes.InvalidArgument, "namespace can't be empty")
	}
	if _, err := h.container(r.Namespace, r.Id); err != nil {
		return nil, err
	}
	return &machine.RestartResponse{Messages: []*machine.Restart{{}}}, nil
}

// Stats of containers: time used in ns.
func (h *Host) Stats(_ context.Context, r *machine.StatsRequest) (*machine.StatsResponse, error) {
	all, err := h.containers(r.Namespace, r.Driver)
	if err != nil {
		return nil, err
	}
	s := &machine.Stats{}
	for _, c := range all {
		one := &machine.Stat{Namespace: c.Namespace, Id: c.Id, PodId: c.PodId, Name: c.Name}
		if c.Status != "SANDBOX_READY" {
			one.CpuUsage = uint64(h.up() * 5e6)
		}
		s.Stats = append(s.Stats, one)
	}
	return &machine.StatsResponse{Messages: []*machine.Stats{s}}, nil
}

// Netstat lists the ports Talos listens on. Connections are nobody's business here: filter CONNECTED is empty.
func (h *Host) Netstat(_ context.Context, r *machine.NetstatRequest) (*machine.NetstatResponse, error) {
	s := &machine.Netstat{}
	wanted := r.Filter != machine.NetstatRequest_CONNECTED && r.L4Proto.GetTcp() && (r.Netns.GetHostnetwork() || r.Netns.GetAllnetns())
	if wanted {
		for i, p := range h.ports() {
			c := &machine.ConnectRecord{
				L4Proto: "tcp", Localip: p.ip, Localport: p.port, Remoteip: "0.0.0.0", State: machine.ConnectRecord_LISTEN,
				Inode: uint64(1170000 + i), Ref: 2, Pointer: uint64(512024929 + i),
			}
			if r.Feature.GetPid() {
				c.Process = &machine.ConnectRecord_Process{Pid: uint32(p.pid), Name: p.process}
			}
			s.Connectrecord = append(s.Connectrecord, c)
		}
	}
	return &machine.NetstatResponse{Messages: []*machine.Netstat{s}}, nil
}

type port struct {
	ip      string
	port    uint32
	pid     int32
	process string
}

func (h *Host) ports() []port {
	listens := map[string][]port{
		"apid":    {{ip: "0.0.0.0", port: 50000}},
		"trustd":  {{ip: "0.0.0.0", port: 50001}},
		"etcd":    {{ip: "0.0.0.0", port: 2379}, {ip: "0.0.0.0", port: 2380}},
		"kubelet": {{ip: "0.0.0.0", port: 10250}, {ip: "127.0.0.1", port: 10248}},
	}
	all := []port{{"127.0.0.53", 53, 1, "init"}, {"127.0.0.1", 7445, 1, "init"}}
	for _, p := range ask(h.options.Services) {
		for _, at := range listens[p.Service] {
			at.pid, at.process = p.PID, p.Service
			all = append(all, at)
		}
	}
	if ask(h.options.ControlPlane) {
		for _, p := range ask(h.options.Pods) {
			if len(p.Containers) > 0 && p.Containers[0].Name == "kube-apiserver" {
				all = append(all, port{"0.0.0.0", 6443, p.Containers[0].PID, "kube-apiserver"})
			}
		}
	}
	return all
}

// PacketCapture refuses: there are no packets in this world.
func (h *Host) PacketCapture(r *machine.PacketCaptureRequest, _ grpc.ServerStreamingServer[common.Data]) error {
	for _, l := range append([]string{"lo"}, ask(h.options.Links)...) {
		if l == r.Interface {
			return status.Error(codes.Unimplemented, "there are no packets to capture in a simulated network")
		}
	}
	return status.Errorf(codes.NotFound, "interface %q not found", r.Interface)
}
