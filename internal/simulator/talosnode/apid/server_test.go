package apid_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// official makes siderolabs' own client of an endpoint.
func official(t *testing.T, w *world.World, ca *authority, endpoint string) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), client.WithEndpoints(endpoint),
		client.WithTLSConfig(&tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{*ca.issue("", time.Hour, "os:admin")}}),
		client.WithGRPCDialOptions(grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) {
			return w.Net.DialContext(ctx, "tcp", a)
		})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestTheOfficialClientReadsANodeThroughAnother asks one node about another: calls, streams, resources, watches.
func TestTheOfficialClientReadsANodeThroughAnother(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	stores := map[string]*resources.Store{}
	for address, name := range map[string]string{"10.5.0.2": "n1", "10.5.0.3": "n2"} {
		store, err := resources.New(apid.Roles)
		if err != nil {
			t.Fatal(err)
		}
		stores[name] = store
		logs := host.NewLogs()
		logs.Service("kubelet").Write([]byte("a line of " + name + "\n"))
		h := host.New(host.Options{
			Machine: w.AddMachine(world.Spec{}), Version: "v1.14.1", Platform: "metal", Booted: time.Now(),
			Hostname: func() string { return name }, Logs: logs,
		})
		if err := store.Apply(t.Context(), resources.View{Version: "v1.14.1", Hostname: name, Stage: runtime.MachineStageBooting}); err != nil {
			t.Fatal(err)
		}
		serve(t, w, ca, address, apid.Options{Forwards: true, Register: func(r grpc.ServiceRegistrar) {
			machine.RegisterMachineServiceServer(r, h)
			h.Register(r)
			store.Register(r)
		}})
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	c := official(t, w, ca, "10.5.0.2")

	v, err := c.Version(client.WithNodes(ctx, "10.5.0.2", "10.5.0.3"))
	if err != nil || len(v.Messages) != 2 || v.Messages[0].Version.Tag != "v1.14.1" {
		t.Errorf("version of both: %v, %v", v, err)
	}
	ctx = client.WithNode(ctx, "10.5.0.3")
	logs, err := c.Logs(ctx, "system", common.ContainerDriver_CONTAINERD, "kubelet", false, -1)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := logs.Recv(); err != nil || string(line.Bytes) != "a line of n2\n" {
		t.Errorf("log %q, %v", line.GetBytes(), err)
	}
	events := make(chan safe.WrappedStateEvent[*runtime.MachineStatus])
	if err := safe.StateWatch(ctx, c.COSI, runtime.NewMachineStatus().Metadata(), events); err != nil {
		t.Fatal(err)
	}
	for _, want := range []runtime.MachineStage{runtime.MachineStageBooting, runtime.MachineStageRunning} {
		select {
		case e := <-events:
			got, err := e.Resource()
			if err != nil || e.Type() == state.Errored || got.TypedSpec().Stage != want {
				t.Fatalf("event %v %v, %v: want stage %v", e.Type(), got, err, want)
			}
		case <-ctx.Done():
			t.Fatalf("no event for stage %v", want)
		}
		if err := stores["n2"].Apply(ctx, resources.View{Version: "v1.14.1", Hostname: "n2", Stage: runtime.MachineStageRunning}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAStopLetsCallsEndButRefusesNewOnes: the node that leaves maintenance keeps an open stream for its grace, and
// answers nobody else meanwhile.
func TestAStopLetsCallsEndButRefusesNewOnes(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	store, err := resources.New(apid.Roles)
	if err != nil {
		t.Fatal(err)
	}
	certificate := ca.issue("10.5.0.2", time.Hour)
	s := apid.New(apid.Options{Register: store.Register, Maintenance: true, Certificate: func() (*tls.Certificate, error) { return certificate, nil }})
	l, err := w.Net.Listen("10.5.0.2:50000")
	if err != nil {
		t.Fatal(err)
	}
	w.Net.Up(netip.MustParseAddr("10.5.0.2"))
	served, stopped := make(chan error, 1), make(chan struct{})
	go func() { served <- s.Serve(l) }()

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	watch, err := v1alpha1.NewStateClient(connect(t, w, ca, "10.5.0.2", nil)).Watch(ctx,
		&v1alpha1.WatchRequest{Namespace: "runtime", Type: "MachineStatuses.runtime.talos.dev", ApiVersion: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() { s.Stop(time.Hour); close(stopped) }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := w.Net.DialContext(ctx, "tcp", "10.5.0.2:50000")
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err == nil {
			c.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the port still answers: %v", err)
		}
	}
	if err := store.Apply(ctx, resources.View{Version: "v1.14.1"}); err != nil {
		t.Fatal(err)
	}
	if e, err := watch.Recv(); err != nil || len(e.Event) == 0 {
		t.Errorf("the open watch got %v, %v", e, err)
	}
	leave()
	<-stopped
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestCertificatesAreAskedForAtEveryHandshake: a node that gets its configuration gets another CA.
func TestCertificatesAreAskedForAtEveryHandshake(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	old, young := newAuthority(t), newAuthority(t)
	var pool atomic.Pointer[x509.CertPool]
	var certificate atomic.Pointer[tls.Certificate]
	pool.Store(old.pool())
	certificate.Store(old.issue("10.5.0.2", time.Hour))
	s := apid.New(apid.Options{Register: idle(t), ClientCAs: pool.Load, Certificate: func() (*tls.Certificate, error) { return certificate.Load(), nil }})
	l, err := w.Net.Listen("10.5.0.2:50000")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	ask := func(ca *authority) codes.Code {
		_, err := call(t.Context(), t, connect(t, w, ca, "10.5.0.2", ca.issue("", time.Hour, "os:admin")), "machine.MachineService/Version", "")
		return status.Code(err)
	}
	if a, b := ask(old), ask(young); a != codes.Unimplemented || b != codes.Unavailable {
		t.Errorf("before: %v with the old CA, %v with the young one", a, b)
	}
	pool.Store(young.pool())
	certificate.Store(young.issue("10.5.0.2", time.Hour))
	if a, b := ask(old), ask(young); a != codes.Unavailable || b != codes.Unimplemented {
		t.Errorf("after: %v with the old CA, %v with the young one", a, b)
	}
	s.Stop(0)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestMaintenanceIgnoresNodes(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	serve(t, w, ca, "10.5.0.2", apid.Options{Maintenance: true, Register: func(r grpc.ServiceRegistrar) {
		machine.RegisterMachineServiceServer(r, node{name: "n1"})
	}})
	c := machine.NewMachineServiceClient(connect(t, w, ca, "10.5.0.2", nil))
	for _, key := range []string{"node", "nodes"} {
		got, err := c.Hostname(metadata.AppendToOutgoingContext(t.Context(), key, "10.5.0.6"), &emptypb.Empty{})
		if err != nil || got.Messages[0].Hostname != "n1" || got.Messages[0].Metadata != nil {
			t.Errorf("%s: %v, %v: want the node itself without metadata", key, got, err)
		}
	}
}

func TestAnImpersonatorSpeaksWithTheRolesItNames(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	ca := newAuthority(t)
	serve(t, w, ca, "10.5.0.2", apid.Options{Register: idle(t), Forwards: true})
	for _, c := range []struct {
		reason, organization, named string
		want                        codes.Code
	}{
		{"an impersonator names a reader", "os:impersonator", "os:reader", codes.Unimplemented},
		{"by itself it may nothing", "os:impersonator", "", codes.PermissionDenied},
		{"nobody else can name roles", "os:etcd:backup", "os:admin", codes.PermissionDenied},
	} {
		ctx := t.Context()
		if c.named != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, constants.APIAuthzRoleMetadataKey, c.named)
		}
		_, err := call(ctx, t, connect(t, w, ca, "10.5.0.2", ca.issue("", time.Hour, c.organization)), "machine.MachineService/Version", "")
		if status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", c.reason, err, c.want)
		}
	}
}
