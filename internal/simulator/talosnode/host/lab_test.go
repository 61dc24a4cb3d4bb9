package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func constant[T any](v T) func() T { return func() T { return v } }

// healthy is a control plane like the recorded one, on metal.
func healthy(w *world.World) host.Options {
	logs, dmesg := host.NewLogs(), host.NewDmesg()
	for _, id := range []string{"apid", "containerd", "controller-runtime", "cri", "etcd", "kubelet", "machined", "trustd"} {
		for range 20 {
			io.WriteString(logs.Service(id), `{"ts":1795166499520.5063,"caller":"stats/provider.go:580","msg":"a line of `+id+strings.Repeat(".", 150)+"\"}\n")
		}
	}
	dmesg.Kernel("Linux version 6.18.44-talos")
	dmesg.User("task loadConfig (1/1): done")
	return host.Options{
		Machine: w.AddMachine(world.Spec{Kind: world.Dedicated, Number: 1, Disks: []*world.Disk{
			{Name: "nvme0n1", Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: "S675NX1T364492", WWN: "eui.002538b321c5527c", SizeBytes: 512 << 30, Transport: "nvme"},
			{Name: "nvme1n1", Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: "S675NX1T364493", WWN: "eui.002538b321c5527d", SizeBytes: 512 << 30, Transport: "nvme"},
		}}),
		Version: "v1.13.9", Platform: "metal", Booted: time.Now().Add(-time.Hour), Hostname: constant("n1"),
		Addresses: constant([]netip.Prefix{netip.MustParsePrefix("10.5.0.2/24")}), Links: constant([]string{"eth0"}),
		SystemDisk: constant("nvme0n1"), ControlPlane: constant(true), Logs: logs, Dmesg: dmesg,
		Services: constant([]host.Process{
			{Service: "machined", PID: 1},
			{Service: "containerd", PID: 76, Args: "/bin/containerd"},
			{Service: "apid", PID: 123, Container: true},
			{Service: "trustd", PID: 194, Container: true},
			{Service: "etcd", PID: 330, Image: "registry.k8s.io/etcd:v3.6.12"},
			{Service: "kubelet", PID: 246, Image: "ghcr.io/siderolabs/kubelet:v1.36.3"},
		}),
		Pods: constant([]host.Pod{{Namespace: "kube-system", Name: "kube-apiserver-n1", UID: "d9c2c7c0", Containers: []host.Container{
			{Name: "kube-apiserver", Image: "registry.k8s.io/kube-apiserver:v1.36.3", PID: 572},
		}}}),
	}
}

// serve starts a host at an address of the world and connects to it.
func serve(t *testing.T, w *world.World, o host.Options) *grpc.ClientConn {
	t.Helper()
	h, s := host.New(o), grpc.NewServer()
	machine.RegisterMachineServiceServer(s, h)
	h.Register(s)
	l, err := w.Net.Listen("10.5.0.2:50000")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///10.5.0.2:50000", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return w.Net.DialContext(ctx, "tcp", a) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func open(t *testing.T) *world.World {
	t.Helper()
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	return w
}

// call makes any call by its name with a protojson request and reads all messages until timeout.
func call(t *testing.T, conn *grpc.ClientConn, timeout time.Duration, method, request string) ([]proto.Message, error) {
	t.Helper()
	service, name, _ := strings.Cut(method, "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name))
	in, out := fresh(t, m.Input()), fresh(t, m.Output())
	if request != "" {
		if err := protojson.Unmarshal([]byte(request), in); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), timeout)
	defer stop()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+method)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.SendMsg(in), s.CloseSend()); err != nil {
		return nil, err
	}
	var all []proto.Message
	for {
		one := proto.Clone(out)
		if err := s.RecvMsg(one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, one)
	}
}

func fresh(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	m, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return m.New().Interface()
}

// recorded is a line of a recording.
type recorded struct {
	Method, Code, Message string
	Request               json.RawMessage
	Keys                  []string
	Messages              int   `json:"stream_messages"`
	Sizes                 []any `json:"stream_data_sizes"`
}

func recording(t *testing.T, name string) []recorded {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		var r recorded
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}
