package talosnode_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	clusterres "github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

var serviceMethods = map[string]func(context.Context, *client.Client, json.RawMessage) (string, error){
	service + "ServiceStart": func(ctx context.Context, c *client.Client, raw json.RawMessage) (string, error) {
		r, err := c.MachineClient.ServiceStart(ctx, decode(raw, &machine.ServiceStartRequest{}))
		if err != nil {
			return "", err
		}
		return r.GetMessages()[0].GetResp(), nil
	},
	service + "ServiceStop": func(ctx context.Context, c *client.Client, raw json.RawMessage) (string, error) {
		_, err := c.MachineClient.ServiceStop(ctx, decode(raw, &machine.ServiceStopRequest{}))
		return "", err
	},
	service + "ServiceRestart": func(ctx context.Context, c *client.Client, raw json.RawMessage) (string, error) {
		_, err := c.MachineClient.ServiceRestart(ctx, decode(raw, &machine.ServiceRestartRequest{}))
		return "", err
	},
	service + "Events": func(ctx context.Context, c *client.Client, raw json.RawMessage) (string, error) {
		s, err := c.MachineClient.Events(ctx, decode(raw, &machine.EventsRequest{}))
		return "", drain(s, err)
	},
	service + "Kubeconfig": func(ctx context.Context, c *client.Client, raw json.RawMessage) (string, error) {
		return "", etcdMethods[service+"Kubeconfig"](ctx, c, raw)
	},
}

func TestServiceMethodsAndEventsAnswerAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	l.until("a kubelet", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
	n := 0
	for _, r := range lines[etcdCall](t, "07-methods-running-controlplane.jsonl") {
		call := serviceMethods[r.Method]
		if call == nil {
			continue
		}
		n++
		ctx, cancel := context.WithTimeout(context.Background(), slower*250*time.Millisecond)
		text, err := call(ctx, c, r.Request)
		cancel()
		if status.Code(err).String() != r.Code || r.Code != "OK" && r.Code != "DeadlineExceeded" && status.Convert(err).Message() != r.Message {
			t.Errorf("%s %s: %v, recorded %s %q", r.Method, r.Request, err, r.Code, r.Message)
		}
		if strings.HasSuffix(r.Method, "ServiceStart") && err == nil && text != `Service "kubelet" started` {
			t.Errorf("answer %q", text)
		}
	}
	if n < 20 {
		t.Errorf("only %d calls", n)
	}
}

func TestAServiceCanBeStoppedAndStartedAgain(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	l.until("a kubelet", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
	if _, err := c.MachineClient.ServiceStop(context.Background(), &machine.ServiceStopRequest{Id: "kubelet"}); err != nil {
		t.Fatal(err)
	}
	if s := l.service(context.Background(), c, "kubelet"); s != "Finished" {
		t.Errorf("state %s", s)
	}
	if _, err := c.MachineClient.ServiceStart(context.Background(), &machine.ServiceStartRequest{Id: "kubelet"}); err != nil {
		t.Fatal(err)
	}
	l.until("a kubelet", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
}

func TestTheServicesOfAnExtensionAndOfAControlPlaneAreThere(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	l.until("all services", func(ctx context.Context) bool {
		r, err := c.ServiceList(ctx)
		if err != nil {
			return false
		}
		var ids []string
		for _, s := range r.GetMessages()[0].GetServices() {
			ids = append(ids, s.GetId())
		}
		return strings.Join(ids, " ") == "apid auditd containerd cri dashboard etcd ext-qemu-guest-agent kubelet machined syslogd trustd udevd"
	})
}

func TestAClientConfigurationIsMadeForTheAskedRoles(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	_, err := c.GenerateClientConfiguration(context.Background(), &machine.GenerateClientConfigurationRequest{Roles: []string{"os:reader"}})
	l.wants(err, codes.InvalidArgument, "crt_ttl should be positive")
	r, err := c.GenerateClientConfiguration(context.Background(), &machine.GenerateClientConfigurationRequest{
		Roles:  []string{"os:reader"},
		CrtTtl: durationpb.New(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := clientconfig.FromBytes(r.GetMessages()[0].GetTalosconfig())
	if err != nil || conf.Context != "reader@t1" {
		t.Fatalf("%v %v", conf, err)
	}
	reader, err := client.New(context.Background(), client.WithConfig(conf), client.WithEndpoints("10.5.0.2"), client.WithGRPCDialOptions(l.dialer(), eager()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Version(context.Background()); err != nil {
		t.Error(err)
	}
	if err := reader.Reboot(context.Background()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a reader reboots: %v", err)
	}
}

func TestHealthChecksAClusterStepByStep(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	_, _ = l.configured(6, l.worker)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("both nodes in discovery", func(ctx context.Context) bool {
		members, err := safe.StateListAll[*clusterres.Member](ctx, c.COSI)
		return err == nil && members.Len() == 2
	})
	s, err := c.ClusterHealthCheck(context.Background(), slower*5*time.Second, &cluster.ClusterInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for {
		m, err := s.Recv()
		if err != nil {
			break
		}
		said = append(said, m.GetMessage())
	}
	if len(said) == 0 || said[0] != `discovered nodes: ["10.5.0.2" "10.5.0.6"]` || said[len(said)-1] != "waiting for all k8s nodes to report schedulable: OK" {
		t.Errorf("%q", said)
	}
}

func TestTheMemberOfADeadNodeStaysInDiscovery(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	m, _ := l.configured(6, l.worker)
	count := func(ctx context.Context) int {
		list, err := safe.StateListAll[*clusterres.Member](ctx, c.COSI)
		if err != nil {
			return 0
		}
		return list.Len()
	}
	l.until("two members", func(ctx context.Context) bool { return count(ctx) == 2 })
	m.PowerCut()
	if _, err := l.send(c, l.controlPlane(l.world.Machines()[0]), "AUTO", false); err != nil { // the resources are looked at again
		t.Fatal(err)
	}
	if n := count(context.Background()); n != 2 {
		t.Errorf("%d members", n)
	}
}

func TestTheFirstStageIsUnknown(t *testing.T) {
	l := newLab(t, "v1.13.9")
	c := l.maintenance(l.machine(2, nil))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var stages []string
	_ = c.EventsWatch(ctx, func(in <-chan client.Event) {
		for e := range in {
			if s, ok := e.Payload.(*machine.MachineStatusEvent); ok {
				stages = append(stages, s.GetStage().String())
			}
			if len(stages) > 0 && stages[len(stages)-1] == "MAINTENANCE" {
				cancel()
			}
		}
	}, client.WithTailEvents(-1))
	stages = slices.Compact(stages)
	if len(stages) < 3 || stages[0] != "UNKNOWN" || stages[1] != "BOOTING" {
		t.Errorf("stages %v", stages)
	}
}
