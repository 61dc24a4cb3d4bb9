package talosnode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// trio gives three control planes in one etcd.
func (l *lab) trio() ([]*world.Machine, []*client.Client) {
	l.t.Helper()
	var machines []*world.Machine
	for i := range 3 {
		machines = append(machines, l.machine(int64(2+i), nil))
	}
	var clients []*client.Client
	for _, m := range machines {
		l.apply(l.maintenance(m), l.controlPlane(m))
		clients = append(clients, l.answers(m))
	}
	if err := clients[0].Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		l.t.Fatal(err)
	}
	l.until("three voters", func(context.Context) bool { return l.voters(clients[0]) == 3 })
	for _, c := range clients {
		l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
	}
	return machines, clients
}

func TestThreeControlPlanesFormOneEtcdAndLearnersComeOneByOne(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, clients := l.trio()
	for i, m := range l.members(clients[1]) {
		if m.GetHostname() == "" || len(m.GetPeerUrls()) != 1 || len(m.GetClientUrls()) != 1 {
			t.Errorf("member %d: %v", i, m)
		}
	}
	s, err := clients[2].EtcdStatus(context.Background())
	if err != nil || s.GetMessages()[0].GetMemberStatus().GetLeader() == 0 || s.GetMessages()[0].GetMemberStatus().GetIsLearner() {
		t.Errorf("status %v %v", s, err)
	}
}

func TestABootstrapOfAControlPlaneThatHasNotJoinedSplitsTheCluster(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, first := l.configured(2, l.controlPlane)
	_, second := l.configured(3, l.controlPlane)
	_, third := l.configured(4, l.controlPlane)
	if err := first.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	var learner string // the others wait until it is a voter
	l.until("a learner", func(context.Context) bool {
		for _, m := range l.members(first) {
			if m.GetIsLearner() {
				learner = m.GetHostname()
			}
		}
		return learner != ""
	})
	wrong, name := second, "n3"
	if learner == "n3" {
		wrong, name = third, "n4"
	}
	if err := wrong.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	l.until("answers of both", func(context.Context) bool {
		for _, m := range l.members(first) {
			seen[m.GetHostname()] = true
		}
		return seen["n2"] && seen[name]
	})
}

func TestWithoutQuorumTheRestSaysWhatRealNodesSaid(t *testing.T) {
	l := newLab(t, "v1.13.9")
	machines, clients := l.trio()
	c := clients[0]
	third := l.memberID(c, "n4")
	machines[1].PowerCut()
	l.same(c, "one of three etcd members off (n2), asked n1", third)
	_, err := c.MachineClient.EtcdRemoveMemberByID(context.Background(), &machine.EtcdRemoveMemberByIDRequest{MemberId: third})
	l.recorded(err, "one member (n2) off, remove the healthy n3: would lose quorum", third)
	machines[2].PowerCut()
	_, err = c.EtcdMemberList(context.Background(), &machine.EtcdMemberListRequest{})
	l.wants(err, codes.Unknown, "etcdserver: no leader")
	s, err := c.EtcdStatus(context.Background())
	if err != nil || len(s.GetMessages()[0].GetMemberStatus().GetErrors()) != 1 {
		t.Errorf("status: %v %v", s, err)
	}
	if n := l.snapshot(c); n == 0 {
		t.Error("no snapshot")
	}
	l.until("an unready node that still runs", func(ctx context.Context) bool { return stage(ctx, c) == "running false" })
	machines[1].PowerOn()
	l.until("the quorum", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
}

func TestAControlPlaneThatCannotJoinWaitsWhileAnotherVoterIsOff(t *testing.T) {
	l := newLab(t, "v1.13.9")
	machines, clients := l.trio()
	lost := l.memberID(clients[0], "n4")
	l.world.RemoveMachine(machines[2])
	_, fourth := l.configured(5, l.controlPlane)
	l.until("an etcd that waits beside a running kubelet", func(ctx context.Context) bool {
		return l.service(ctx, fourth, "etcd") == "Preparing" && l.service(ctx, fourth, "kubelet") == "Running"
	})
	if n := len(l.members(clients[0])); n != 3 {
		t.Fatalf("%d members", n)
	}
	if _, err := clients[0].MachineClient.EtcdRemoveMemberByID(context.Background(), &machine.EtcdRemoveMemberByIDRequest{MemberId: lost}); err != nil {
		t.Fatal(err)
	}
	l.until("the replacement", func(context.Context) bool { return l.voters(clients[0]) == 3 })
}

func TestARecoveryWithoutASnapshotFailsTheServiceAndAPlainBootstrapMendsIt(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{RecoverEtcd: true}); err != nil {
		t.Fatal(err)
	}
	l.until("a failed etcd", func(ctx context.Context) bool { return l.service(ctx, c, "etcd") == "Failed" })
	l.until("the end of the boot", func(ctx context.Context) bool { return stage(ctx, c) == "running false" })
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("a member", func(context.Context) bool { return l.voters(c) == 1 })
}

func TestASnapshotBringsTheKubernetesStateBackAfterEphemeralWasWiped(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
	before := l.nodeUID(c)
	r, err := c.EtcdSnapshot(context.Background(), &machine.EtcdSnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ResetGenericWithResponse(context.Background(), &machine.ResetRequest{
		Reboot:                 true,
		SystemPartitionsToWipe: []*machine.ResetPartitionSpec{{Label: "EPHEMERAL", Wipe: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.until("an etcd that waits", func(ctx context.Context) bool { return l.service(ctx, c, "etcd") == "Preparing" })
	if _, err := c.EtcdRecover(context.Background(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{RecoverEtcd: true}); err != nil {
		t.Fatal(err)
	}
	l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
	if after := l.nodeUID(c); after == "" || after != before {
		t.Errorf("node was %s, is %s", before, after)
	}
}

func TestEtcdMethodsAnswerAWorkerAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, _ = l.configured(2, l.controlPlane)
	_, c := l.configured(6, l.worker)
	l.same(c, "worker", 12345)
}

func TestEtcdMethodsOfASingleMemberAnswerAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("a member", func(context.Context) bool { return l.voters(c) == 1 })
	id := l.memberID(c, "n2")
	_, err := c.MachineClient.EtcdLeaveCluster(context.Background(), &machine.EtcdLeaveClusterRequest{})
	l.recorded(err, "single member: LeaveCluster", id)
	_, err = c.MachineClient.EtcdRemoveMemberByID(context.Background(), &machine.EtcdRemoveMemberByIDRequest{MemberId: id})
	l.recorded(err, "single member: RemoveMemberByID of itself", id)
	l.same(c, "second Bootstrap, t=76s", id)
}

type etcdCall struct {
	Label, Method, Code, Message string
	Request                      json.RawMessage
}

// same replays the recorded calls of a situation and compares codes and messages.
func (l *lab) same(c *client.Client, label string, member uint64) {
	l.t.Helper()
	for _, r := range lines[etcdCall](l.t, "05-etcd-methods.jsonl") {
		call := etcdMethods[r.Method]
		if r.Label != label || call == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), slower*200*time.Millisecond)
		err := call(ctx, c, r.Request)
		cancel()
		if got := status.Code(err).String(); got != r.Code || r.Code != "OK" && r.Code != "DeadlineExceeded" && normal(status.Convert(err).Message()) != normal(r.Message) {
			l.t.Errorf("%s: %s: %v, recorded %s %q", label, r.Method, err, r.Code, r.Message)
		}
	}
}

// recorded compares an error with that of the only call with a label.
func (l *lab) recorded(err error, label string, _ uint64) {
	l.t.Helper()
	for _, r := range lines[etcdCall](l.t, "05-etcd-methods.jsonl") {
		if r.Label == label && (status.Code(err).String() != r.Code || normal(status.Convert(err).Message()) != normal(r.Message)) {
			l.t.Errorf("%s: %v, recorded %s %q", label, err, r.Code, r.Message)
		}
	}
}

func (l *lab) wants(err error, code codes.Code, message string) {
	l.t.Helper()
	if status.Code(err) != code || status.Convert(err).Message() != message {
		l.t.Errorf("%v, want %s %q", err, code, message)
	}
}

const service = "machine.MachineService/"

var etcdMethods = map[string]func(context.Context, *client.Client, json.RawMessage) error{
	service + "EtcdMemberList": func(ctx context.Context, c *client.Client, raw json.RawMessage) error {
		_, err := c.EtcdMemberList(ctx, decode(raw, &machine.EtcdMemberListRequest{}))
		return err
	},
	service + "EtcdStatus": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		_, err := c.EtcdStatus(ctx)
		return err
	},
	service + "EtcdAlarmList": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		_, err := c.MachineClient.EtcdAlarmList(ctx, &emptypb.Empty{})
		return err
	},
	service + "EtcdAlarmDisarm": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		_, err := c.MachineClient.EtcdAlarmDisarm(ctx, &emptypb.Empty{})
		return err
	},
	service + "EtcdDefragment": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		_, err := c.MachineClient.EtcdDefragment(ctx, &emptypb.Empty{})
		return err
	},
	service + "EtcdForfeitLeadership": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		_, err := c.MachineClient.EtcdForfeitLeadership(ctx, &machine.EtcdForfeitLeadershipRequest{})
		return err
	},
	service + "EtcdRemoveMemberByID": func(ctx context.Context, c *client.Client, raw json.RawMessage) error {
		_, err := c.MachineClient.EtcdRemoveMemberByID(ctx, decode(raw, &machine.EtcdRemoveMemberByIDRequest{}))
		return err
	},
	service + "EtcdDowngradeValidate": func(ctx context.Context, c *client.Client, raw json.RawMessage) error {
		_, err := c.MachineClient.EtcdDowngradeValidate(ctx, decode(raw, &machine.EtcdDowngradeValidateRequest{}))
		return err
	},
	service + "Bootstrap": func(ctx context.Context, c *client.Client, raw json.RawMessage) error {
		return c.Bootstrap(ctx, decode(raw, &machine.BootstrapRequest{}))
	},
	service + "EtcdSnapshot": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		s, err := c.MachineClient.EtcdSnapshot(ctx, &machine.EtcdSnapshotRequest{})
		return drain(s, err)
	},
	service + "Kubeconfig": func(ctx context.Context, c *client.Client, _ json.RawMessage) error {
		s, err := c.MachineClient.Kubeconfig(ctx, &emptypb.Empty{})
		return drain(s, err)
	},
}

func drain[T any](s interface{ Recv() (T, error) }, err error) error {
	for err == nil {
		_, err = s.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (l *lab) snapshot(c *client.Client) int {
	r, err := c.EtcdSnapshot(context.Background(), &machine.EtcdSnapshotRequest{})
	if err != nil {
		return 0
	}
	data, _ := io.ReadAll(r)
	return len(data)
}

func (l *lab) memberID(c *client.Client, name string) uint64 {
	l.t.Helper()
	for _, m := range l.members(c) {
		if m.GetHostname() == name {
			return m.GetId()
		}
	}
	l.t.Fatalf("no member %s", name)
	return 0
}
