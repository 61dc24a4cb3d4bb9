package operation_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// basement is a machine that no provider knows. Its rescue system is booted by hand.
type basement struct {
	l       *lab
	m       *world.Machine
	host    ssh.Signer
	address string
}

func newBasement(t *testing.T, l *lab, v4, v6 string, foreign *rescuehost.Foreign) *basement {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &basement{l: l}
	if b.host, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	spec := world.Spec{
		Number: 77, Name: "basement", BootTime: 20 * time.Second, Gateway: netip.MustParseAddr("192.0.2.254"),
		Disks: []*world.Disk{{Name: "sda", Model: "SSD", Serial: "B1", WWN: "0x5000c500a1b2c3d4", SizeBytes: 256 << 30, Transport: "sata"}},
	}
	if v4 != "" {
		spec.IPv4, b.address = netip.MustParseAddr(v4), v4
	}
	if v6 != "" {
		spec.IPv6Net = netip.MustParsePrefix(v6)
		if v4 == "" {
			b.address = spec.IPv6Net.Addr().Next().String()
		}
	}
	hetzners := l.sim.World.BootRescue
	l.sim.World.BootRescue = func(m *world.Machine, r world.Rescue) world.System {
		if m.Number == 77 && foreign != nil {
			return rescuehost.NewForeign(m, r, rescuehost.Options{Outside: l.sim.Dial}, foreign)
		}
		return hetzners(m, r)
	}
	b.m = l.sim.World.AddMachine(spec)
	return b
}

// boot has a person boot the machine's rescue system.
func (b *basement) boot() {
	b.m.PowerCut()
	b.m.Arm(&world.Rescue{Keys: []ssh.PublicKey{b.l.ops.Key.PublicKey()}, HostKeys: []ssh.Signer{b.host}, At: time.Now(), OS: "linux"})
	b.m.PowerOn()
}

// add adds the machine as a server, in a cluster of its own.
func (b *basement) add(t *testing.T, n manage.NewServer) fleet.Server {
	t.Helper()
	n.Name = "basement"
	if n.Address == "" {
		n.Address = b.address
	}
	s, err := b.l.manager.AddServer(t.Context(), "test", n)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := secrets()
	if err != nil {
		t.Fatal(err)
	}
	host := b.address
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	c, err := b.l.manager.CreateCluster(t.Context(), "test", manage.NewCluster{Name: "home", Endpoint: "https://" + host + ":6443", Secrets: bundle})
	if err != nil {
		t.Fatal(err)
	}
	role := fleet.ControlPlane
	if _, err := b.l.manager.Assign(t.Context(), "test", s.Name, manage.AssignmentChange{Cluster: &c.Name, Role: &role}); err != nil {
		t.Fatal(err)
	}
	return s
}

// waits waits until an operation waits for something with this text.
func (l *lab) waits(t *testing.T, id, text string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second * slower); ; <-time.After(20 * time.Millisecond) {
		op, err := l.store.Operation(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(op.WaitingFor, text) {
			return
		}
		if op.State.Final() || time.Now().After(deadline) {
			l.dump(t, op)
			t.Fatalf("it is %s and waits for %q, not for %q", op.State, op.WaitingFor, text)
		}
	}
}

func TestServersOfAnyMakeAreInstalledFromTheirRescueSystems(t *testing.T) {
	t.Parallel()
	elsewhere := rescuehost.OVH()
	elsewhere.Port = 2222
	for _, c := range []struct {
		why     string
		v4, v6  string
		foreign *rescuehost.Foreign
		port    string
		pinned  bool
	}{
		{"Debian live", "192.0.2.10", "", rescuehost.DebianLive(), "", false},
		{"another provider's, at another port, with a host key that was given", "192.0.2.10", "", elsewhere, ":2222", true},
		{"IPv6 only", "", "2001:db8:77::/64", rescuehost.DebianLive(), "", true},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			b := newBasement(t, l, c.v4, c.v6, c.foreign)
			n := manage.NewServer{Address: b.address + c.port}
			if c.pinned {
				n.HostKey = ssh.FingerprintSHA256(b.host.PublicKey())
			}
			b.boot()
			b.add(t, n)
			l.engine(t, workflow.Options{})
			l.succeeds(t, l.install(t, "basement").ID)
			s, err := l.store.Server(t.Context(), "basement")
			if err != nil || s.State != fleet.Ready || s.Power != fleet.PowerUnknown || !s.MissingAt.IsZero() {
				t.Errorf("the server is %s, power %s, %v", s.State, s.Power, err)
			}
		})
	}
}

func TestAnInstalledSystemIsNoRescueSystem(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	nixos := rescuehost.Impermanent()
	b := newBasement(t, l, "192.0.2.10", "", nixos)
	b.boot()
	b.add(t, manage.NewServer{})
	l.engine(t, workflow.Options{})
	op := l.install(t, "basement")
	l.waits(t, op.ID, `calls itself "nixos" and is no rescue system: its /nix is on /dev/sda2`)
	if n := b.m.Disks[0].Written(); n != 0 {
		t.Errorf("%d bytes of its disk were written", n)
	}
	p, err := l.ops.Probe(t.Context(), "test", "basement")
	if err != nil || p.Found != operation.FoundInstalled || p.HostKey == "" || p.Hint == "" {
		t.Errorf("probed: %+v, %v", p, err)
	}
	*nixos = *rescuehost.DebianLive() // somebody boots a live system
	b.boot()
	l.succeeds(t, op.ID)
}

func TestAServerThatIsOffWaitsForSomebody(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := newBasement(t, l, "192.0.2.10", "", rescuehost.DebianLive())
	b.add(t, manage.NewServer{})
	l.engine(t, workflow.Options{})
	op, err := l.ops.Rescue(t.Context(), "test", "basement")
	if err != nil {
		t.Fatal(err)
	}
	l.waits(t, op.ID, "somebody to boot the rescue system of basement: neither SSH nor Talos answers")
	b.boot()
	l.succeeds(t, op.ID)
	s, err := l.store.Server(t.Context(), "basement")
	if err != nil || s.Facts.UUID != b.m.UUID {
		t.Errorf("its facts are %+v, %v", s.Facts, err)
	}
}

func TestAnotherHostKeyThanTheOneGivenIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := newBasement(t, l, "192.0.2.10", "", rescuehost.DebianLive())
	b.boot()
	b.add(t, manage.NewServer{HostKey: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"})
	l.engine(t, workflow.Options{})
	op := l.install(t, "basement")
	l.waits(t, op.ID, "host key is not the expected one")
	fingerprint := ssh.FingerprintSHA256(b.host.PublicKey())
	change := manage.AddressChange{HostKey: &fingerprint}
	if _, err := l.manager.ChangeServerAddress(t.Context(), "test", "basement", change); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("changed while an operation works on it: %v", err)
	}
	if err := l.ops.Cancel(t.Context(), "test", op.ID); err != nil {
		t.Fatal(err)
	}
	l.finish(t, op.ID, 10*time.Second)
	if _, err := l.manager.ChangeServerAddress(t.Context(), "test", "basement", change); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, l.install(t, "basement").ID)
}

// tells waits until the basement's Talos in maintenance mode says what machine it is.
func (l *lab) tells(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second * slower); ; <-time.After(20 * time.Millisecond) {
		p, err := l.ops.Probe(t.Context(), "test", "basement")
		if err != nil {
			t.Fatal(err)
		}
		if p.Found == operation.FoundMaintenance && !p.Facts.At.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %+v", p)
		}
	}
}

// What Talos does not know of a machine stays known, and the UUID that META gives it is not taken for the board's.
func TestAProbeOfMaintenanceModeKeepsWhatTheRescueSystemTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := basementInMaintenance(t, l)
	s := l.server(t, "basement")
	const board = "4c4c4544-0042-3510-8050-b4c04f384833"
	if err := l.store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now(), UUID: board, Firmware: "bios", Gateway: "192.0.2.254", MemoryBytes: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	if err := l.store.SetUUIDOverride(t.Context(), s.ID, b.m.UUID); err != nil {
		t.Fatal(err)
	}
	l.tells(t)
	if f := l.server(t, "basement").Facts; f.UUID != board || f.Firmware != "bios" || f.Gateway != "192.0.2.254" || len(f.Disks) != 1 {
		t.Errorf("its facts are %+v", f)
	}
	events, err := l.store.Events(t.Context(), store.EventFilter{Verb: "server.changed", TargetID: s.ID})
	if err != nil || len(events) != 2 || !strings.Contains(events[1].Text, "its memory was 1024 GB") {
		t.Errorf("of the change is kept: %+v, %v", events, err)
	}
}

func TestAMachineInMaintenanceModeIsInstalledByPush(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := basementInMaintenance(t, l)
	l.tells(t)
	s, err := l.store.Server(t.Context(), "basement")
	if err != nil || s.Facts.UUID != b.m.UUID || len(s.Facts.Disks) != 1 {
		t.Errorf("its facts are %+v, %v", s.Facts, err)
	}
	d := s.Facts.Disks[0]
	// A Talos that kexec started installed itself here once, and was reset since.
	if err := l.store.SetInstalled(t.Context(), s.ID, fleet.Installed{Disk: d.ID(), ClusterID: s.Assignment.ClusterID, At: time.Now().Add(-time.Hour), Boot: fleet.BootKexec}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "basement", operation.InstallOptions{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	if i := l.server(t, "basement").Installed; i.Disk != d.ID() || i.Boot != fleet.BootKexec || i.Cluster != "home" {
		t.Errorf("its config does not say any more where Talos installs itself: %+v", i)
	}
}

func TestAServerOfAnyMakeThatDoesNotComeBackWaitsForSomebody(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := newBasement(t, l, "192.0.2.10", "", rescuehost.DebianLive())
	b.boot()
	b.m.Fault(func(f *world.Faults) { f.TalosNeverComes = true })
	b.add(t, manage.NewServer{})
	l.engine(t, workflow.Options{})
	op := l.install(t, "basement")
	l.waits(t, op.ID, "somebody has to restart the server by hand")
	b.m.Fault(func(f *world.Faults) { f.TalosNeverComes = false })
	b.m.PowerCut()
	b.m.PowerOn()
	l.succeeds(t, op.ID)
}
