package talosnode

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/xid"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
)

// server answers the methods that change a node or tell of its life. What only looks at the machine is host's.
type server struct {
	*host.Host
	cluster.UnimplementedClusterServiceServer
	node *node

	applying      sync.Mutex
	bootstrapping sync.Mutex
	installing    sync.Mutex
}

func (v *server) register(r grpc.ServiceRegistrar) {
	machine.RegisterMachineServiceServer(r, v)
	machine.RegisterLifecycleServiceServer(r, &lifecycle{server: v})
	cluster.RegisterClusterServiceServer(r, v)
	v.Host.Register(r)
	v.node.store.Register(r)
}

// Events implements machine.MachineServiceServer. The first message is always empty: it says hello.
func (v *server) Events(in *machine.EventsRequest, out grpc.ServerStreamingServer[machine.Event]) error {
	n := v.node
	if err := out.Send(newEvent(nil, in.GetWithActorId())); err != nil {
		return err
	}
	var id xid.ID
	if in.GetTailId() != "" {
		var err error
		if id, err = xid.FromString(in.GetTailId()); err != nil {
			return fmt.Errorf("error parsing tail_id: %w", err)
		}
	}
	at := n.events.from(int(in.GetTailEvents()), n.w.Real(time.Duration(in.GetTailSeconds())*time.Second), id)
	for {
		list, next, more := n.events.since(at)
		for _, e := range list {
			if in.GetWithActorId() != "" && e.GetActorId() != in.GetWithActorId() {
				continue
			}
			if err := out.Send(e); err != nil {
				return err
			}
		}
		at = next
		select {
		case <-more:
		case <-out.Context().Done():
			return out.Context().Err()
		case <-n.api.down:
			return status.Error(codes.Unknown, "EOF")
		}
	}
}

// start runs a sequence of its own actor, after the call was answered.
func (v *server) start(run func(context.Context)) string {
	id := uuid.NewString()
	v.node.spawn(func() { run(context.WithValue(v.node.ctx, actorKey{}, id)) })
	return id
}

// Reboot implements machine.MachineServiceServer.
func (v *server) Reboot(_ context.Context, in *machine.RebootRequest) (*machine.RebootResponse, error) {
	id := v.start(func(ctx context.Context) { v.node.sequencer.reboot(ctx, in.GetMode(), false) })
	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: id}}}, nil
}

// Shutdown implements machine.MachineServiceServer.
func (v *server) Shutdown(_ context.Context, in *machine.ShutdownRequest) (*machine.ShutdownResponse, error) {
	id := v.start(func(ctx context.Context) { v.node.sequencer.shutdown(ctx, in.GetForce()) })
	return &machine.ShutdownResponse{Messages: []*machine.Shutdown{{ActorId: id}}}, nil
}

// Reset implements machine.MachineServiceServer.
func (v *server) Reset(_ context.Context, in *machine.ResetRequest) (*machine.ResetResponse, error) {
	n := v.node
	if err := n.checkReset(in); err != nil {
		return nil, err
	}
	var labels []string
	for _, p := range in.GetSystemPartitionsToWipe() {
		if n.holder(p.GetLabel()) == nil {
			return nil, fmt.Errorf("failed to get volume status with label %q: resource VolumeStatuses.block.talos.dev(runtime/%s@undefined) doesn't exist",
				p.GetLabel(), p.GetLabel())
		}
		if p.GetWipe() {
			labels = append(labels, p.GetLabel())
		}
	}
	id := v.start(func(ctx context.Context) {
		_ = n.sequencer.run(ctx, "reset", false, func() []phase { return n.reset(in, labels) })
	})
	return &machine.ResetResponse{Messages: []*machine.Reset{{ActorId: id}}}, nil
}

func (n *node) checkReset(in *machine.ResetRequest) error {
	if len(in.GetUserDisksToWipe()) > 0 && in.GetMode() == machine.ResetRequest_SYSTEM_DISK {
		return fmt.Errorf("reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe parameter")
	}
	if len(in.GetSystemPartitionsToWipe()) > 0 && in.GetMode() == machine.ResetRequest_USER_DISKS {
		return fmt.Errorf("reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe parameter")
	}
	system := n.disk()
	for _, path := range in.GetUserDisksToWipe() {
		d := n.machine.Disk(trimDev(path))
		switch {
		case d == nil:
			return fmt.Errorf("reset user disk failed: device %s wasn't found", path)
		case d == system:
			return fmt.Errorf("reset user disk failed: device %s is the system disk", path)
		}
	}
	return nil
}

// ServiceList implements machine.MachineServiceServer.
func (v *server) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{{Services: v.node.services.protos()}}}, nil
}

// ServiceStart implements machine.MachineServiceServer.
func (v *server) ServiceStart(_ context.Context, in *machine.ServiceStartRequest) (*machine.ServiceStartResponse, error) {
	s, err := v.service(in.GetId(), "start")
	if err != nil {
		return nil, err
	}
	v.node.services.start(s.definition)
	return &machine.ServiceStartResponse{Messages: []*machine.ServiceStart{{Resp: fmt.Sprintf("Service %q started", in.GetId())}}}, nil
}

// ServiceStop implements machine.MachineServiceServer.
func (v *server) ServiceStop(ctx context.Context, in *machine.ServiceStopRequest) (*machine.ServiceStopResponse, error) {
	if _, err := v.service(in.GetId(), "stop"); err != nil {
		return nil, err
	}
	v.node.services.stop(ctx, in.GetId())
	return &machine.ServiceStopResponse{Messages: []*machine.ServiceStop{{Resp: fmt.Sprintf("Service %q stopped", in.GetId())}}}, nil
}

// ServiceRestart implements machine.MachineServiceServer.
func (v *server) ServiceRestart(ctx context.Context, in *machine.ServiceRestartRequest) (*machine.ServiceRestartResponse, error) {
	s, err := v.service(in.GetId(), "restart")
	if err != nil {
		return nil, err
	}
	v.node.services.stop(ctx, in.GetId())
	v.node.services.start(s.definition)
	return &machine.ServiceRestartResponse{Messages: []*machine.ServiceRestart{{Resp: fmt.Sprintf("Service %q restarted", in.GetId())}}}, nil
}

func (v *server) service(id, verb string) (service, error) {
	s, ok := v.node.services.get(id)
	switch {
	case !ok:
		return s, fmt.Errorf("service %q not defined", id)
	case !s.stops:
		return s, fmt.Errorf("service %q doesn't support %s operation via API", id, verb)
	}
	return s, nil
}

// MetaWrite implements machine.MachineServiceServer.
func (v *server) MetaWrite(_ context.Context, in *machine.MetaWriteRequest) (*machine.MetaWriteResponse, error) {
	if in.GetKey() > 255 {
		return nil, status.Error(codes.InvalidArgument, "key must be a uint8")
	}
	value := string(in.GetValue())
	if err := v.node.setMeta(uint8(in.GetKey()), &value); err != nil {
		return nil, status.Error(codes.ResourceExhausted, "meta write failed")
	}
	v.node.publish()
	return &machine.MetaWriteResponse{Messages: []*machine.MetaWrite{{}}}, nil
}

// MetaDelete implements machine.MachineServiceServer.
func (v *server) MetaDelete(_ context.Context, in *machine.MetaDeleteRequest) (*machine.MetaDeleteResponse, error) {
	if in.GetKey() > 255 {
		return nil, status.Error(codes.InvalidArgument, "key must be a uint8")
	}
	v.node.mu.Lock()
	_, known := v.node.meta[uint8(in.GetKey())]
	v.node.mu.Unlock()
	if !known {
		return nil, status.Error(codes.NotFound, "meta key not found")
	}
	if err := v.node.setMeta(uint8(in.GetKey()), nil); err != nil {
		return nil, err
	}
	v.node.publish()
	return &machine.MetaDeleteResponse{Messages: []*machine.MetaDelete{{}}}, nil
}
