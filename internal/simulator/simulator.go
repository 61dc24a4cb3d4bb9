// Package simulator is a pretend Hetzner with an image factory, rescue systems, Talos nodes and their Kubernetes,
// all speaking the real protocols over one world of machines. The manager's own drivers point at it by base address
// and dialer; there is no simulated driver. It imports none of the manager's code.
package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/kubeapi"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Options of a simulator. The zero value is an empty Hetzner in real time.
type Options struct {
	World  world.Options
	Robot  hetzner.RobotOptions
	Cloud  hetzner.CloudOptions
	Rescue rescuehost.Options
	// Outside dials what the world does not know: the manager itself, for machines that fetch their config.
	Outside func(ctx context.Context, network, addr string) (net.Conn, error)
}

// The services' names in the world.
const (
	robotHost   = "robot.sim:80"
	cloudHost   = "cloud.sim:80"
	factoryHost = "factory.sim:80"
)

// Simulator is a running pretend Hetzner. Close it.
type Simulator struct {
	World      *world.World
	Robot      *hetzner.Robot
	Cloud      *hetzner.Cloud
	Factory    *factory.Factory
	Kubernetes *kubeapi.Kubernetes

	options Options
	servers []*http.Server
	number  int64 // of the last machine made here
	place   *place
}

// New starts one.
func New(o Options) (*Simulator, error) {
	if o.Outside == nil {
		o.Outside = (&net.Dialer{}).DialContext
	}
	place, err := choosePlace(&o.World)
	if err != nil {
		return nil, err
	}
	s := &Simulator{World: world.New(o.World), options: o, place: place}
	s.Factory = factory.New(s.World, factory.Options{})
	s.Kubernetes = kubeapi.New(s.World)
	o.Cloud.Install = s.installImage
	o.Cloud.Addresses = s.cloudAddresses
	s.Robot = hetzner.NewRobot(s.World, o.Robot)
	s.Cloud = hetzner.NewCloud(s.World, o.Cloud)
	o.Rescue.Outside = o.Outside
	nodes := talosnode.Env{
		Clusters: talosnode.NewClusters(), Kubernetes: s.Kubernetes, Outside: o.Outside,
		UserData:  func(m *world.Machine) []byte { return []byte(s.Cloud.UserData(m)) },
		Schematic: s.schematic,
	}
	s.World.BootRescue = func(m *world.Machine, r world.Rescue) world.System { return rescuehost.New(m, r, o.Rescue) }
	s.World.BootDisk = func(m *world.Machine) world.System {
		_, boot, err := world.FindBoot(m)
		switch {
		case err == nil:
			return talosnode.New(m, boot, nodes)
		case m.OldSystem:
			return rescuehost.NewOld(m, o.Rescue)
		}
		return nil
	}
	s.World.BootKernel = func(m *world.Machine, boot world.BootInfo) world.System { return talosnode.New(m, boot, nodes) }
	for host, handler := range map[string]http.Handler{robotHost: s.Robot, cloudHost: s.Cloud, factoryHost: s.Factory} {
		if err := s.serve(host, handler); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Simulator) serve(host string, handler http.Handler) error {
	l, err := s.World.Net.Listen(host)
	if err != nil {
		return fmt.Errorf("simulate %s: %w", host, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.World.Log.Handler(), slog.LevelDebug)}
	s.servers = append(s.servers, server)
	go server.Serve(l) //nolint:errcheck // ends with Close
	return nil
}

// Close ends the world.
func (s *Simulator) Close() {
	for _, server := range s.servers {
		server.Close()
	}
	s.World.Close()
	s.place.leave()
}

// Dial connects to machines and services of the world, and to anything else outside.
func (s *Simulator) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.World.Net.Knows(addr) {
		return s.World.Net.DialContext(ctx, network, addr)
	}
	return s.options.Outside(ctx, network, addr)
}

// RobotURL, CloudURL and FactoryURL are the base addresses for a client that dials with Dial.
func (s *Simulator) RobotURL() string   { return "http://robot.sim" }
func (s *Simulator) CloudURL() string   { return "http://cloud.sim/v1" }
func (s *Simulator) FactoryURL() string { return "http://factory.sim" }

// ExposedRobot, ExposedCloud and ExposedFactory are the base addresses for any client on this host; "" unless the world is exposed.
func (s *Simulator) ExposedRobot() string   { return s.exposed(robotHost, "") }
func (s *Simulator) ExposedCloud() string   { return s.exposed(cloudHost, "/v1") }
func (s *Simulator) ExposedFactory() string { return s.exposed(factoryHost, "") }

// SSHPort is where an exposed world has the port 22 of its machines.
func (s *Simulator) SSHPort() int {
	if s.options.World.Unprivileged {
		return 2222
	}
	return 22
}

func (s *Simulator) exposed(host, path string) string {
	if addr := s.World.Net.RealAddr(host); addr != "" {
		return "http://" + addr + path
	}
	return ""
}

// schematic tells a node what an installer image of a schematic installs.
func (s *Simulator) schematic(id string) (talosnode.Schematic, bool) {
	spec, err := s.Factory.ImageSpec(id, newest(), "metal", "amd64")
	if err != nil {
		return talosnode.Schematic{}, false
	}
	return talosnode.Schematic{Extensions: spec.Extensions, KernelArgs: spec.KernelArgs}, true
}

// newest is the newest released Talos version the factory offers.
func newest() string {
	newest := ""
	for _, v := range factory.Versions() {
		if !strings.Contains(v, "-") {
			newest = v
		}
	}
	return newest
}

// installImage gives a Cloud server that is created from an image named talos-… that Talos, and every other one an
// installed system that answers SSH.
func (s *Simulator) installImage(m *world.Machine, image string) {
	spec, err := s.Factory.ImageSpec(factory.Vanilla, image, "hcloud", m.Arch)
	if err == nil {
		err = world.InstallImage(m.Disks[0], spec)
	}
	m.OldSystem = err != nil
}

func (s *Simulator) addresses(k world.Kind, n int64) (netip.Addr, netip.Prefix) {
	net4 := s.place.network(k)
	v4 := netip.AddrFrom4([4]byte{net4[0], net4[1], byte(n / 250), byte(n%250 + 1)})
	v6 := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(k), byte(n >> 16), byte(n >> 8), byte(n)})
	return v4, netip.PrefixFrom(v6, 64)
}

func (s *Simulator) cloudAddresses(id int64) (netip.Addr, netip.Prefix) {
	return s.addresses(world.Cloud, id%60000)
}

// AddDedicated rents a dedicated server with two NVMe disks to a Robot login, delivered with nothing installed.
func (s *Simulator) AddDedicated(login, name string) *world.Machine {
	s.number++
	n := s.number
	v4, v6 := s.addresses(world.Dedicated, n)
	gateway := netip.AddrFrom4([4]byte{v4.As4()[0], v4.As4()[1], v4.As4()[2], 254})
	m := s.World.AddMachine(world.Spec{
		Kind: world.Dedicated, Number: 2_000_000 + n, Name: name, Project: login,
		Product: "AX41-NVMe", Location: fmt.Sprintf("FSN1-DC%d", n%18+1), IPv4: v4, IPv6Net: v6, Gateway: gateway,
		Disks: []*world.Disk{s.nvme("nvme0n1", 2*n), s.nvme("nvme1n1", 2*n+1)},
	})
	m.PowerOn()
	return m
}

func (s *Simulator) nvme(name string, n int64) *world.Disk {
	return &world.Disk{
		Name: name, Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: fmt.Sprintf("S675NX1T%06d", n),
		WWN: fmt.Sprintf("eui.002538b3%08x", n), SizeBytes: 512110190592, Transport: "nvme",
	}
}

// AddCloud rents a Cloud server with one disk in a project, delivered powered on with a system that answers SSH.
func (s *Simulator) AddCloud(token, name string) *world.Machine {
	s.number++
	n := s.number
	v4, v6 := s.addresses(world.Cloud, n)
	m := s.World.AddMachine(world.Spec{
		Kind: world.Cloud, Number: 4_000_000 + n, Name: name, Project: token,
		Product: "cx33", Location: "fsn1", IPv4: v4, IPv6Net: v6, Gateway: netip.AddrFrom4([4]byte{172, 31, 1, 1}),
		Cores: 4, MemoryBytes: 8 << 30,
		Disks: []*world.Disk{{Name: "sda", Model: "QEMU HARDDISK", Serial: fmt.Sprintf("drive-scsi0-0-0-0-%d", n), SizeBytes: 81604378624, Transport: "scsi"}},
	})
	m.PowerOn()
	return m
}
