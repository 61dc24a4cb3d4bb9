package talos_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/crypto/x509"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/simulator/kubeapi"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// lab is a world of machines on which Talos is installed, in maintenance mode until they are given a config.
type lab struct {
	w       *world.World
	cluster fleet.Cluster
}

var secrets = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

func newLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	w := world.New(world.Options{Speed: 150, Seed: 1, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(w.Close)
	env := talosnode.Env{Clusters: talosnode.NewClusters(), Kubernetes: kubeapi.New(w)}
	w.BootDisk = func(m *world.Machine) world.System {
		_, boot, err := world.FindBoot(m)
		if err != nil {
			return nil
		}
		return talosnode.New(m, boot, env)
	}
	s, err := secrets()
	if err != nil {
		t.Fatal(err)
	}
	return &lab{w: w, cluster: fleet.Cluster{
		Name: "prod", Endpoint: "https://" + address(1) + ":6443", Secrets: s,
		TalosVersion: machineconfig.NewestTalos(), KubernetesVersion: machineconfig.DefaultKubernetes(),
	}}
}

func address(number int) string { return fmt.Sprintf("10.5.0.%d", number) }

func uuid(number int) string { return fmt.Sprintf("4c4c4544-0042-4510-8050-b4c04f38%04d", number) }

// machine switches on a machine with Talos on its disk.
func (l *lab) machine(t *testing.T, number int) {
	t.Helper()
	m := l.w.AddMachine(world.Spec{
		Number: int64(number), Name: fmt.Sprint("m", number), UUID: strings.ToUpper(uuid(number)), IPv4: netip.MustParseAddr(address(number)), BootTime: 2 * time.Second,
		MAC: fmt.Sprintf("90:1b:0e:00:00:%02x", number), Disks: []*world.Disk{{Name: "nvme0n1", Serial: fmt.Sprint("S", number), WWN: fmt.Sprint("eui.", number), SizeBytes: 20 << 30, Transport: "nvme"}},
	})
	if err := world.InstallImage(m.Disks[0], world.ImageSpec{Version: l.cluster.TalosVersion, Arch: "amd64", Platform: "metal", Schematic: strings.Repeat("a", 64)}); err != nil {
		t.Fatal(err)
	}
	m.PowerOn()
}

// until asks until there is no error.
func until(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// pin waits for maintenance mode and gives the certificate's fingerprint.
func (l *lab) pin(t *testing.T, number int) (pin string) {
	t.Helper()
	until(t, "maintenance mode", func(ctx context.Context) error {
		got, configured, err := talos.Fingerprint(ctx, address(number), l.w.Net.DialContext)
		if err == nil && configured {
			t.Error("a machine in maintenance mode wants a client certificate")
		}
		pin = got
		return err
	})
	return pin
}

func (l *lab) maintenance(t *testing.T, number int, pin string) *talos.Node {
	t.Helper()
	n, err := talos.OpenMaintenance(t.Context(), address(number), pin, l.w.Net.DialContext)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func (l *lab) config(t *testing.T, number int, role fleet.Role) []byte {
	t.Helper()
	text, err := machineconfig.Render(machineconfig.Input{
		Server: fmt.Sprint("m", number), ClusterName: l.cluster.Name, Endpoint: l.cluster.Endpoint, Secrets: l.cluster.Secrets, TalosVersion: l.cluster.TalosVersion,
		KubernetesVersion: l.cluster.KubernetesVersion, Role: role, InstallImage: "factory.talos.dev/metal-installer/x:" + l.cluster.TalosVersion,
		InstallDisk: fmt.Sprint("eui.", number), Variables: machineconfig.Variables{"hostname": fmt.Sprint("m", number)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What a machine in maintenance mode tells anybody is what its owner is asked about before it is handed a config.
func TestAMachineInMaintenanceModeTellsWhatItIs(t *testing.T) {
	l := newLab(t)
	l.machine(t, 1)
	n := l.maintenance(t, 1, l.pin(t, 1))
	f, err := n.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.UUID != uuid(1) || f.Serial != "1" || f.Cores == 0 || f.MemoryBytes < 4<<30 || f.CPU == "" {
		t.Errorf("it says %+v", f)
	}
	if len(f.NICs) != 1 || f.NICs[0].MAC != "90:1b:0e:00:00:01" || !f.NICs[0].Up || !f.NICs[0].Link || len(f.NICs[0].Addresses) == 0 {
		t.Errorf("network cards %+v", f.NICs)
	}
	if len(f.Disks) != 1 {
		t.Fatalf("disks %+v", f.Disks)
	}
	d := f.Disks[0]
	if d.Name != "nvme0n1" || d.WWID != "eui.1" || d.Serial != "S1" || d.SizeBytes != 20<<30 || d.Transport != "nvme" {
		t.Errorf("disk %+v", d)
	}
	if d.Blank() || !strings.Contains(strings.Join(d.Contents, ", "), "META") {
		t.Errorf("on it are %v", d.Contents)
	}
}

// A person compares it with the machine's screen, which shows what talosctl takes.
func TestTheFingerprintIsTheOneThatTalosShows(t *testing.T) {
	l := newLab(t)
	l.machine(t, 1)
	shown, err := x509.ParseFingerprint(l.pin(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.w.Net.DialContext(t.Context(), "tcp", address(1)+":50000")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, VerifyConnection: x509.MatchSPKIFingerprints(shown)})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// A config is pushed to a machine only if it runs what was installed: each Talos tells that in its own way.
func TestAMachineInMaintenanceModeTellsItsVersionAsFarAsItsTalosDoes(t *testing.T) {
	for version, want := range map[string]string{"v1.14.1": "v1.14.1", "v1.12.3": "v1.12.3", "v1.10.0": "v1.10.0", "v1.9.6": "", "v1.7.7": ""} {
		t.Run(version, func(t *testing.T) {
			l := newLab(t)
			l.cluster.TalosVersion = version
			l.machine(t, 1)
			n := l.maintenance(t, 1, l.pin(t, 1))
			if v, err := n.Version(t.Context()); err != nil || v.Tag != want {
				t.Errorf("it says %+v, %v", v, err)
			}
			f, err := n.Facts(t.Context())
			switch {
			case version == "v1.7.7":
				if fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
					t.Errorf("without its disks it is not known: %v", err)
				}
			case err != nil || len(f.Disks) != 1:
				t.Errorf("facts %+v, %v", f, err)
			}
		})
	}
}

// node configures a machine and opens it with the cluster's credentials.
func (l *lab) node(t *testing.T, number int, role fleet.Role) *talos.Node {
	t.Helper()
	l.machine(t, number)
	m := l.maintenance(t, number, l.pin(t, number))
	if _, err := m.Apply(t.Context(), l.config(t, number, role)); err != nil {
		t.Fatal(err)
	}
	m.Close()
	n := l.open(t, number, l.cluster)
	until(t, "the node to answer with its cluster's certificate", func(ctx context.Context) error {
		_, err := n.Version(ctx)
		return err
	})
	return n
}

func (l *lab) open(t *testing.T, number int, c fleet.Cluster) *talos.Node {
	t.Helper()
	config, err := machineconfig.Talosconfig(&c, []string{address(number)})
	if err != nil {
		t.Fatal(err)
	}
	n, err := talos.Open(t.Context(), config, address(number), l.w.Net.DialContext)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestAConfigGoesOnlyToTheMachineThatWasPinned(t *testing.T) {
	l := newLab(t)
	l.machine(t, 1)
	pin := l.pin(t, 1)
	config := l.config(t, 1, fleet.ControlPlane)

	_, err := l.maintenance(t, 1, strings.Repeat("0", 64)).Apply(t.Context(), config)
	if fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
		t.Errorf("another machine was handed the config: %v", err)
	}
	n := l.maintenance(t, 1, pin)
	id, err := n.Identity(t.Context())
	if err != nil || id.UUID != uuid(1) || len(id.MACs) != 1 || id.MACs[0] != "90:1b:0e:00:00:01" {
		t.Errorf("in maintenance mode it is %+v, %v", id, err)
	}
	if _, err := n.Apply(t.Context(), []byte("machine: {nonsense: 1}")); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a config that is none: %s %v", fleet.KindOf(err), err)
	}
	if err := n.Bootstrap(t.Context()); fleet.KindOf(err) != fleet.Forbidden {
		t.Errorf("bootstrap in maintenance mode: %s %v", fleet.KindOf(err), err)
	}
	said, err := n.Apply(t.Context(), config)
	if err != nil || !strings.Contains(said, "Applied configuration without a reboot") {
		t.Errorf("it says %q, %v", said, err)
	}
	until(t, "the machine to leave maintenance mode", func(ctx context.Context) error {
		_, configured, err := talos.Fingerprint(ctx, address(1), l.w.Net.DialContext)
		if err == nil && !configured {
			return fmt.Errorf("it takes anybody yet")
		}
		return err
	})
}

func TestAControlPlaneFromItsConfigToKubernetes(t *testing.T) {
	l := newLab(t)
	n := l.node(t, 1, fleet.ControlPlane)
	v, err := n.Version(t.Context())
	if want := (talos.Version{Tag: l.cluster.TalosVersion, Arch: "amd64", Platform: "metal"}); err != nil || v != want {
		t.Errorf("version %+v, %v", v, err)
	}
	if id, err := n.Identity(t.Context()); err != nil || id.UUID != uuid(1) || id.Hostname != "m1" {
		t.Errorf("it is %+v, %v", id, err)
	}
	if text, err := n.MachineConfig(t.Context()); err != nil || !bytes.Contains(text, []byte(l.cluster.Endpoint)) || !bytes.Contains(text, []byte("PRIVATE KEY")) && !bytes.Contains(text, []byte("    key: ")) {
		t.Errorf("it runs with %d bytes of config, %v", len(text), err)
	}
	until(t, "etcd to wait for its bootstrap", func(ctx context.Context) error {
		s, err := n.EtcdState(ctx)
		if err == nil && s.State != "Preparing" {
			return fmt.Errorf("etcd is %s", s.State)
		}
		return err
	})
	began := time.Now()
	if err := talos.Look(t.Context(), func(ctx context.Context) error { _, err := n.Members(ctx); return err }); fleet.KindOf(err) != fleet.Unavailable || time.Since(began) > 10*time.Second {
		t.Errorf("members before the bootstrap, after %s: %v", time.Since(began), err)
	}
	if err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "etcd to be healthy", func(ctx context.Context) error {
		s, err := n.EtcdState(ctx)
		if err == nil && (s.State != "Running" || !s.Known || !s.Healthy) {
			return fmt.Errorf("etcd is %+v", s)
		}
		return err
	})
	if err := n.Bootstrap(t.Context()); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second bootstrap: %s %v", fleet.KindOf(err), err)
	}
	members, err := n.Members(t.Context())
	if err != nil || len(members) != 1 || members[0].Hostname != "m1" || members[0].Learner || members[0].ID == 0 {
		t.Errorf("members %+v, %v", members, err)
	}
	text, err := n.Kubeconfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(text)
	if err != nil || config.Clusters[config.Contexts[config.CurrentContext].Cluster].Server != l.cluster.Endpoint {
		t.Errorf("kubeconfig %s, %v", text, err)
	}
}

func TestWhatAWorkerAndAStrangerAreRefused(t *testing.T) {
	l := newLab(t)
	l.node(t, 1, fleet.ControlPlane) // a worker gets its certificate from one
	n := l.node(t, 2, fleet.Worker)
	if _, err := n.EtcdState(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("etcd of a worker: %v", err)
	}
	if err := n.Bootstrap(t.Context()); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("bootstrap of a worker: %s %v", fleet.KindOf(err), err)
	}
	until(t, "the kubelet", func(ctx context.Context) error {
		all, err := n.Services(ctx)
		for _, s := range all {
			if s.ID == "kubelet" {
				return nil
			}
		}
		return fmt.Errorf("services %+v, %w", all, err)
	})
	other := l.cluster
	var err error
	if other.Secrets, err = machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.open(t, 2, other).Version(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("with another cluster's certificates: %s %v", fleet.KindOf(err), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := l.open(t, 9, l.cluster).Version(ctx); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), address(9)) {
		t.Errorf("of a machine that is not there: %s %v", fleet.KindOf(err), err)
	}
	if _, _, err := talos.Fingerprint(ctx, address(9), l.w.Net.DialContext); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("fingerprint of a machine that is not there: %v", err)
	}
	if _, err := talos.Open(t.Context(), []byte("{"), address(2), nil); err == nil {
		t.Error("a talosconfig that is none is taken")
	}
}
