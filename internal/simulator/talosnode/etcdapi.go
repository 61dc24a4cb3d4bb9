package talosnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

var (
	errNoLeader   = errors.New("etcdserver: no leader")
	errUnhealthy  = errors.New("etcdserver: unhealthy cluster")
	errNotEnough  = errors.New("etcdserver: re-configuration failed due to not enough started members")
	errNoMember   = errors.New("etcdserver: member not found")
	errNotServing = errors.New("etcd does not serve")
)

func onlyControlPlane(what string) error {
	return status.Errorf(codes.Unimplemented, "%s is only available on control plane nodes", what)
}

// anyEtcd gives an etcd of the cluster, asked through any control plane. While none answers, the call hangs until
// its client gives up, as on a real node.
func (v *server) anyEtcd(ctx context.Context, what string) (*etcd, error) {
	if !v.node.controlPlane() {
		return nil, onlyControlPlane(what)
	}
	for {
		if e := v.node.env.Clusters.any(v.node); e != nil {
			return e, nil
		}
		if !v.node.sleep(ctx, retryTime) {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// ownEtcd gives the etcd whose member runs here, and hangs while none does.
func (v *server) ownEtcd(ctx context.Context, what string) (*etcd, *member, error) {
	if !v.node.controlPlane() {
		return nil, nil, onlyControlPlane(what)
	}
	for {
		if e, m := v.node.etcd.serving(); e != nil {
			return e, m, nil
		}
		if !v.node.sleep(ctx, retryTime) {
			return nil, nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// EtcdMemberList implements machine.MachineServiceServer. After a wrong bootstrap it tells of this or that etcd.
func (v *server) EtcdMemberList(ctx context.Context, in *machine.EtcdMemberListRequest) (*machine.EtcdMemberListResponse, error) {
	e, err := v.anyEtcd(ctx, "member list")
	if err == nil && in.GetQueryLocal() {
		e, _, err = v.ownEtcd(ctx, "member list")
	}
	if err != nil {
		return nil, err
	}
	list := &machine.EtcdMembers{}
	v.node.env.Clusters.with(func() {
		if !e.quorum() {
			err = status.Error(codes.Unknown, errNoLeader.Error())
			return
		}
		for _, m := range e.members {
			x := &machine.EtcdMember{Id: m.id, Hostname: m.name, IsLearner: m.learner}
			for _, a := range m.urls {
				x.PeerUrls = append(x.PeerUrls, "https://"+net.JoinHostPort(a, "2380"))
				if m.name != "" {
					x.ClientUrls = append(x.ClientUrls, "https://"+net.JoinHostPort(a, "2379"))
				}
			}
			list.Members = append(list.Members, x)
			list.LegacyMembers = append(list.LegacyMembers, m.name)
		}
	})
	if err != nil {
		return nil, err
	}
	return &machine.EtcdMemberListResponse{Messages: []*machine.EtcdMembers{list}}, nil
}

// EtcdStatus implements machine.MachineServiceServer: what this member thinks, with or without a quorum.
func (v *server) EtcdStatus(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdStatusResponse, error) {
	e, m, err := v.ownEtcd(ctx, "etcd status")
	if err != nil {
		return nil, err
	}
	s := &machine.EtcdMemberStatus{StorageVersion: "3.6.0", ProtocolVersion: v.node.etcdVersion(), MemberId: m.id}
	v.node.env.Clusters.with(func() {
		if e.quorum() {
			e.index++
		} else {
			s.Errors = []string{errNoLeader.Error()}
		}
		s.Leader, s.RaftTerm, s.RaftIndex, s.RaftAppliedIndex, s.IsLearner = e.leader, e.term, e.index, e.index, m.learner
	})
	s.DbSize = int64(20480 + s.GetRaftIndex()*4096)
	s.DbSizeInUse = s.GetDbSize() - 4096
	return &machine.EtcdStatusResponse{Messages: []*machine.EtcdStatus{{MemberStatus: s}}}, nil
}

// removal checks as etcd does, with its strict reconfiguration check.
func (e *etcd) removal(id uint64) error {
	m := e.member(id)
	switch {
	case !e.quorum():
		return errNoLeader
	case m == nil:
		return errNoMember
	case m.learner:
		return nil
	}
	started, voters := 0, 0
	for _, x := range e.members {
		if x.id != id && !x.learner {
			voters++
			if x.name != "" {
				started++
			}
		}
	}
	up, _ := e.voters()
	switch {
	case started < voters/2+1:
		return errNotEnough
	case m.up() && up-1 < 1+voters/2:
		return errUnhealthy
	}
	return nil
}

func (v *server) remove(e *etcd, id uint64) (err error) {
	v.node.env.Clusters.with(func() {
		if err = e.removal(id); err == nil {
			e.remove(id)
		}
	})
	if err != nil {
		err = fmt.Errorf("failed to remove member %d: %w", id, err)
	}
	return err
}

// EtcdRemoveMemberByID implements machine.MachineServiceServer.
func (v *server) EtcdRemoveMemberByID(ctx context.Context, in *machine.EtcdRemoveMemberByIDRequest) (*machine.EtcdRemoveMemberByIDResponse, error) {
	e, err := v.anyEtcd(ctx, "etcd remove member")
	if err != nil {
		return nil, err
	}
	if err := v.remove(e, in.GetMemberId()); errors.Is(err, errNoMember) {
		return nil, status.Error(codes.NotFound, err.Error())
	} else if err != nil {
		return nil, fmt.Errorf("failed to remove member: %w", err)
	}
	return &machine.EtcdRemoveMemberByIDResponse{Messages: []*machine.EtcdRemoveMemberByID{{}}}, nil
}

// leave takes this node out of its etcd. It tries for 5 minutes while the others are not all there.
func (s *etcdService) leave(ctx context.Context) error {
	e, m := s.serving()
	if e == nil {
		return errNotServing
	}
	ctx, cancel := context.WithTimeout(ctx, s.node.w.Real(5*time.Minute))
	defer cancel()
	for {
		err := s.node.api.server.remove(e, m.id)
		if err == nil || errors.Is(err, errNoMember) {
			return nil
		}
		if !errors.Is(err, errUnhealthy) || !s.node.sleep(ctx, 10*time.Second) {
			return fmt.Errorf("failed to leave cluster: 1 error(s) occurred:\n\t%w", err)
		}
	}
}

// EtcdLeaveCluster implements machine.MachineServiceServer: the service etcd ends with it, and its data is gone.
func (v *server) EtcdLeaveCluster(ctx context.Context, _ *machine.EtcdLeaveClusterRequest) (*machine.EtcdLeaveClusterResponse, error) {
	if _, _, err := v.ownEtcd(ctx, "etcd leave"); err != nil {
		return nil, err
	}
	if err := v.node.etcd.leave(ctx); err != nil {
		return nil, err
	}
	v.node.services.stop(ctx, "etcd")
	if err := v.node.setFile(ephemeral, etcdFile, nil); err != nil {
		return nil, err
	}
	return &machine.EtcdLeaveClusterResponse{Messages: []*machine.EtcdLeaveCluster{{}}}, nil
}

// EtcdForfeitLeadership implements machine.MachineServiceServer. With a member off it hangs (recorded).
func (v *server) EtcdForfeitLeadership(ctx context.Context, _ *machine.EtcdForfeitLeadershipRequest) (*machine.EtcdForfeitLeadershipResponse, error) {
	e, m, err := v.ownEtcd(ctx, "etcd forfeit leadership")
	if err != nil {
		return nil, err
	}
	name, hangs := "", false
	v.node.env.Clusters.with(func() {
		up, all := e.voters()
		switch {
		case !e.quorum():
			err = errors.New("failed to forfeit leadership: failed to list etcd members: " + errNoLeader.Error())
		case all == 1:
			err = errors.New("failed to forfeit leadership: cannot forfeit leadership, only one member")
		case e.leader != m.id:
		case up < all:
			hangs = true
		default:
			name = e.handOver(m.id)
		}
	})
	if hangs {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if err != nil {
		return nil, err
	}
	return &machine.EtcdForfeitLeadershipResponse{Messages: []*machine.EtcdForfeitLeadership{{Member: name}}}, nil
}

func (e *etcd) handOver(from uint64) string {
	for _, m := range e.members {
		if m.id != from && m.up() && !m.learner {
			e.leader = m.id
			e.term++
			return m.name
		}
	}
	return ""
}

// EtcdAlarmList implements machine.MachineServiceServer.
func (v *server) EtcdAlarmList(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdAlarmListResponse, error) {
	if err := v.throughLeader(ctx, "etcd alarm list"); err != nil {
		return nil, err
	}
	return &machine.EtcdAlarmListResponse{Messages: []*machine.EtcdAlarm{{}}}, nil
}

// EtcdAlarmDisarm implements machine.MachineServiceServer.
func (v *server) EtcdAlarmDisarm(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdAlarmDisarmResponse, error) {
	if err := v.throughLeader(ctx, "etcd alarm disarm"); err != nil {
		return nil, err
	}
	return &machine.EtcdAlarmDisarmResponse{Messages: []*machine.EtcdAlarmDisarm{{}}}, nil
}

// throughLeader hangs until the call ends while there is no leader.
func (v *server) throughLeader(ctx context.Context, what string) error {
	e, _, err := v.ownEtcd(ctx, what)
	for err == nil && !v.node.env.Clusters.hasQuorum(e) {
		if !v.node.sleep(ctx, retryTime) {
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return err
}

// EtcdDefragment implements machine.MachineServiceServer.
func (v *server) EtcdDefragment(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdDefragmentResponse, error) {
	if _, _, err := v.ownEtcd(ctx, "etcd defragment"); err != nil {
		return nil, err
	}
	return &machine.EtcdDefragmentResponse{Messages: []*machine.EtcdDefragment{{}}}, nil
}

var majorMinor = regexp.MustCompile(`^\d+\.\d+$`)

// EtcdDowngradeValidate implements machine.MachineServiceServer.
func (v *server) EtcdDowngradeValidate(ctx context.Context, in *machine.EtcdDowngradeValidateRequest) (*machine.EtcdDowngradeValidateResponse, error) {
	if err := v.downgrade(ctx, "etcd downgrade validate", in.GetVersion()); err != nil {
		return nil, err
	}
	return &machine.EtcdDowngradeValidateResponse{Messages: []*machine.EtcdDowngradeValidate{{ClusterDowngrade: v.clusterVersion()}}}, nil
}

// EtcdDowngradeEnable implements machine.MachineServiceServer.
func (v *server) EtcdDowngradeEnable(ctx context.Context, in *machine.EtcdDowngradeEnableRequest) (*machine.EtcdDowngradeEnableResponse, error) {
	if err := v.downgrade(ctx, "etcd downgrade enable", in.GetVersion()); err != nil {
		return nil, err
	}
	return &machine.EtcdDowngradeEnableResponse{Messages: []*machine.EtcdDowngradeEnable{{ClusterDowngrade: v.clusterVersion()}}}, nil
}

// EtcdDowngradeCancel implements machine.MachineServiceServer.
func (v *server) EtcdDowngradeCancel(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdDowngradeCancelResponse, error) {
	if _, _, err := v.ownEtcd(ctx, "etcd downgrade cancel"); err != nil {
		return nil, err
	}
	return &machine.EtcdDowngradeCancelResponse{Messages: []*machine.EtcdDowngradeCancel{{ClusterDowngrade: v.clusterVersion()}}}, nil
}

func (v *server) downgrade(ctx context.Context, what, version string) error {
	if !v.node.controlPlane() {
		return onlyControlPlane(what)
	}
	if !majorMinor.MatchString(version) {
		return status.Error(codes.InvalidArgument, "version should be in MAJOR.MINOR format")
	}
	_, _, err := v.ownEtcd(ctx, what)
	return err
}

func (v *server) clusterVersion() *machine.EtcdClusterDowngrade {
	return &machine.EtcdClusterDowngrade{ClusterVersion: v.node.etcdVersion()[:3]}
}

// etcdVersion is that of the image Talos takes by default.
func (n *node) etcdVersion() string {
	if minor(n.info.Version) >= 14 {
		return "3.7.0"
	}
	return "3.6.12"
}

// EtcdRecover implements machine.MachineServiceServer: an upload that Bootstrap may use.
func (v *server) EtcdRecover(in grpc.ClientStreamingServer[common.Data, machine.EtcdRecoverResponse]) error {
	if v.node.holder(ephemeral) == nil {
		return status.Error(codes.FailedPrecondition, "etcd service is not ready for recovery yet")
	}
	if !v.node.controlPlane() {
		return onlyControlPlane("etcd recover")
	}
	var data []byte
	for {
		part, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		data = append(data, part.GetBytes()...)
	}
	v.node.etcd.mu.Lock()
	v.node.etcd.snapshot = data
	v.node.etcd.mu.Unlock()
	return in.SendAndClose(&machine.EtcdRecoverResponse{Messages: []*machine.EtcdRecover{{}}})
}
