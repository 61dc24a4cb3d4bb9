package talosnode_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	configmachine "github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talos-manager/talos-manager/internal/simulator/kubeapi"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// speed of the worlds in these tests: a boot takes a fifth of a second.
const speed = 150 / slower

// lab is a world with Talos machines, one cluster's secrets and a place that hands out configs.
type lab struct {
	t       *testing.T
	world   *world.World
	bundle  *secrets.Bundle
	version string // of Talos
	server  *configServer
}

// configServer answers GET /config. Its answer can be changed.
type configServer struct {
	mu      sync.Mutex
	answer  func(w http.ResponseWriter, r *http.Request)
	queries []string
	from    []string
}

func (s *configServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.queries = append(s.queries, r.URL.RawQuery)
	s.from = append(s.from, r.RemoteAddr)
	answer := s.answer
	s.mu.Unlock()
	answer(w, r)
}

func (s *configServer) give(answer func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *configServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.queries...)
}

var contracts = map[string]*config.VersionContract{"v1.13.9": config.TalosVersion1_13, "v1.14.1": config.TalosVersion1_14}

func newLab(t *testing.T, version string) *lab { return newLabAt(t, version, speed) }

func newLabAt(t *testing.T, version string, speed float64) *lab {
	t.Helper()
	t.Parallel()
	w := world.New(world.Options{Speed: speed, Seed: 1, Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	t.Cleanup(w.Close)
	env := talosnode.Env{Clusters: talosnode.NewClusters(), Kubernetes: kubeapi.New(w)}
	w.BootDisk = func(m *world.Machine) world.System {
		_, info, err := world.FindBoot(m)
		if err != nil {
			return nil
		}
		return talosnode.New(m, info, env)
	}
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(time.Now().Add(-time.Hour)), contracts[version], secrets.WithECDSAServiceAccountKey())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, world: w, bundle: bundle, version: version, server: &configServer{}}
	l.server.give(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not yet", 420) })
	listener, err := w.Net.Listen("manager.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(l.server)
	web.Listener.Close()
	web.Listener = listener
	web.Start()
	t.Cleanup(web.Close)
	return l
}

// machine puts a machine with an installed Talos into the world and switches it on.
func (l *lab) machine(number int64, meta map[uint8]string, args ...string) *world.Machine {
	l.t.Helper()
	m := l.world.AddMachine(world.Spec{
		Number: number, Name: fmt.Sprintf("m%d", number), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", number),
		IPv4: netip.AddrFrom4([4]byte{10, 5, 0, byte(number)}), BootTime: 2 * time.Second,
		Disks: []*world.Disk{{Name: "nvme0n1", Serial: fmt.Sprint("S", number), SizeBytes: 20 << 30, Transport: "nvme"}},
	})
	spec := world.ImageSpec{
		Version: l.version, Arch: "amd64", Platform: "metal", Schematic: strings.Repeat("a", 64), KernelArgs: args,
		Extensions: []string{"siderolabs/qemu-guest-agent"}, Meta: meta,
	}
	if err := world.InstallImage(m.Disks[0], spec); err != nil {
		l.t.Fatal(err)
	}
	m.PowerOn()
	return m
}

// config generates a machine config.
func (l *lab) config(kind configmachine.Type, hostname, endpoint string) []byte {
	l.t.Helper()
	in, err := generate.NewInput("t1", endpoint, "1.36.3", generate.WithVersionContract(contracts[l.version]), generate.WithSecretsBundle(l.bundle))
	if err != nil {
		l.t.Fatal(err)
	}
	cfg, err := in.Config(kind)
	if err != nil {
		l.t.Fatal(err)
	}
	data, err := cfg.Bytes()
	if err != nil {
		l.t.Fatal(err)
	}
	return []byte(strings.Replace(string(data), "auto: stable", "auto: off\nhostname: "+hostname, 1))
}

func (l *lab) controlPlane(m *world.Machine) []byte {
	return l.config(configmachine.TypeControlPlane, fmt.Sprintf("n%d", m.Number), "https://10.5.0.2:6443")
}

func (l *lab) worker(m *world.Machine) []byte {
	return l.config(configmachine.TypeWorker, fmt.Sprintf("n%d", m.Number), "https://10.5.0.2:6443")
}

// client talks to a machine with the cluster's certificates.
func (l *lab) client(m *world.Machine) *client.Client {
	l.t.Helper()
	cert, err := l.bundle.GenerateTalosAPIClientCertificate(role.MakeSet(role.Admin))
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := client.New(context.Background(), client.WithConfig(clientconfig.NewConfig("t1", []string{m.IPv4.String()}, l.bundle.Certs.OS.Crt, cert)),
		client.WithEndpoints(m.IPv4.String()), client.WithGRPCDialOptions(l.dialer(), eager()))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// insecure talks to a machine in maintenance.
func (l *lab) insecure(m *world.Machine) *client.Client {
	l.t.Helper()
	c, err := client.New(context.Background(), client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}),
		client.WithEndpoints(m.IPv4.String()), client.WithGRPCDialOptions(l.dialer(), eager()))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// dialer gives up soon: gRPC would wait 20 s for a machine that boots.
func (l *lab) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, slower*200*time.Millisecond)
		defer cancel()
		return l.world.Net.DialContext(ctx, "tcp", addr)
	})
}

// eager tries again at once.
func eager() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond},
		MinConnectTimeout: 100 * time.Millisecond,
	})
}

// until polls for a condition.
func (l *lab) until(what string, met func(ctx context.Context) bool) {
	l.t.Helper()
	deadline := time.Now().Add(slower * 20 * time.Second)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(context.Background(), slower*500*time.Millisecond)
		ok := met(ctx)
		cancel()
		if ok {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Fatalf("waited in vain for %s", what)
}

// answers waits for a machine's API with the cluster's certificates.
func (l *lab) answers(m *world.Machine) *client.Client {
	l.t.Helper()
	c := l.client(m)
	l.until("the API of "+m.Name, func(ctx context.Context) bool { _, err := c.Version(ctx); return err == nil })
	return c
}

// maintenance waits for a machine's maintenance API.
func (l *lab) maintenance(m *world.Machine) *client.Client {
	l.t.Helper()
	c := l.insecure(m)
	l.until("maintenance mode of "+m.Name, func(ctx context.Context) bool {
		_, err := c.Version(ctx)
		return err == nil || status.Code(err) == codes.Unimplemented
	})
	return c
}

func (l *lab) apply(c *client.Client, data []byte) *machine.ApplyConfiguration {
	l.t.Helper()
	r, err := c.ApplyConfiguration(context.Background(), &machine.ApplyConfigurationRequest{Data: data})
	if err != nil {
		l.t.Fatal(err)
	}
	return r.GetMessages()[0]
}

// configured gives a machine whose config was applied in maintenance, and its client.
func (l *lab) configured(number int64, data func(*world.Machine) []byte) (*world.Machine, *client.Client) {
	l.t.Helper()
	m := l.machine(number, nil)
	l.apply(l.maintenance(m), data(m))
	return m, l.answers(m)
}

func (l *lab) members(c *client.Client) []*machine.EtcdMember {
	ctx, cancel := context.WithTimeout(context.Background(), slower*time.Second)
	defer cancel()
	r, err := c.EtcdMemberList(ctx, &machine.EtcdMemberListRequest{})
	if err != nil {
		return nil
	}
	return r.GetMessages()[0].GetMembers()
}

func (l *lab) voters(c *client.Client) int {
	n := 0
	for _, m := range l.members(c) {
		if !m.GetIsLearner() {
			n++
		}
	}
	return n
}

func recording(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// stage is what MachineStatus says, as "running true".
func stage(ctx context.Context, c *client.Client) string {
	s, err := safe.StateGet[*runtime.MachineStatus](ctx, c.COSI, runtime.NewMachineStatus().Metadata())
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %t", s.TypedSpec().Stage, s.TypedSpec().Status.Ready)
}

// testWriter shows what the world warns of, until the test has ended.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

// lines decodes a recording, without its first line.
func lines[T any](t *testing.T, name string) []T {
	t.Helper()
	var list []T
	for i, line := range strings.Split(strings.TrimSpace(string(recording(t, name))), "\n") {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s line %d: %v", name, i+1, err)
		}
		if i > 0 {
			list = append(list, v)
		}
	}
	return list
}

// decode fills a request from a recording.
func decode[T proto.Message](raw json.RawMessage, into T) T {
	if len(raw) > 0 {
		if err := protojson.Unmarshal(raw, into); err != nil {
			panic(err)
		}
	}
	return into
}

var numbers = regexp.MustCompile(`\b\d{10,}\b`)

// normal takes out of a message what differs from run to run.
func normal(message string) string { return numbers.ReplaceAllString(message, "ID") }

func (l *lab) service(ctx context.Context, c *client.Client, id string) string {
	r, err := c.ServiceInfo(ctx, id)
	if err != nil || len(r) == 0 {
		return ""
	}
	return r[0].Service.GetState()
}

// nodeUID is the identity of a node in Kubernetes.
func (l *lab) nodeUID(c *client.Client) string {
	l.t.Helper()
	raw, err := c.Kubeconfig(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	conf, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil {
		l.t.Fatal(err)
	}
	conf.Dial = l.world.Net.DialContext
	set, err := kubernetes.NewForConfig(conf)
	if err != nil {
		l.t.Fatal(err)
	}
	nodes, err := set.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		l.t.Fatalf("nodes: %v", err)
	}
	return string(nodes.Items[0].UID)
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func (l *lab) ip(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 5, 0, n}) }

func (l *lab) meta(m *world.Machine) map[uint8]string {
	l.t.Helper()
	values, err := world.ReadMeta(m.Disks[0])
	if err != nil {
		l.t.Fatal(err)
	}
	return values
}
