package hetzner

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// createRequest is the body of POST /servers.
type createRequest struct {
	Name             string             `json:"name"`
	ServerType       reference          `json:"server_type"`
	Image            reference          `json:"image"`
	Location         string             `json:"location"`
	SSHKeys          []reference        `json:"ssh_keys"`
	UserData         string             `json:"user_data"`
	StartAfterCreate *bool              `json:"start_after_create"`
	Labels           *map[string]string `json:"labels"`
	Networks         []int64            `json:"networks"`
	Firewalls        []struct {
		Firewall int64 `json:"firewall"`
	} `json:"firewalls"`
	PlacementGroup int64 `json:"placement_group"`
	PublicNet      *struct {
		IPv4 bool `json:"enable_ipv4"`
		IPv6 bool `json:"enable_ipv6"`
	} `json:"public_net"`
}

// createServer answers with a server that is initializing and locked; its machine is in the world already.
func (cl *Cloud) createServer(c *cloudCall) answer {
	in, refusal, good := read[createRequest](c)
	if !good {
		return refusal
	}
	if a, wrong := cl.badCreate(c, in); wrong {
		return a
	}
	kind, img, refusal := cl.choose(in)
	if img == nil {
		return refusal
	}
	place, known := cl.catalog.place(in.Location)
	if !known {
		return wrongField("location", "unknown location")
	}
	v := cl.build(c, in, kind, place, img)
	for _, n := range in.Networks {
		if a, refused := cl.attach(c, v, n, ""); refused {
			cl.world.RemoveMachine(v.Machine) // it never ran, so this does not wait
			return a
		}
	}
	c.servers[v.Machine] = v
	return cl.bringUp(c, v, in)
}

// badCreate refuses what is wrong with the references of the request.
func (cl *Cloud) badCreate(c *cloudCall, in createRequest) (answer, bool) {
	switch {
	case in.Name == "":
		return wrongField("name", "is required"), true
	case in.ServerType.empty():
		return wrongField("server_type", "is required"), true
	case in.Image.empty():
		return wrongField("image", "is required"), true
	case len(in.UserData) > 32<<10:
		return wrongField("user_data", "is longer than 32 KiB"), true
	case in.PlacementGroup != 0 && c.thing("placement_groups", in.PlacementGroup) == nil:
		return notFound("placement group"), true
	}
	for _, k := range in.SSHKeys {
		if !slices.ContainsFunc(c.shelves["ssh_keys"], func(t thing) bool { return k.is(t.top().ID, t.top().Name) }) {
			return notFound("ssh key"), true
		}
	}
	for _, f := range in.Firewalls {
		if c.thing("firewalls", f.Firewall) == nil {
			return notFound("firewall"), true
		}
	}
	if a, wrong := cl.badName(c, in.Name); wrong {
		return a, true
	}
	return badLabels(in.Labels)
}

// choose finds type and image; the image must be of the type's architecture.
func (cl *Cloud) choose(in createRequest) (serverType, *image, answer) {
	i := slices.IndexFunc(cl.catalog.types, func(t serverType) bool { return in.ServerType.is(t.ID, t.Name) })
	if i < 0 {
		return serverType{}, nil, wrongField("server_type", "unknown server type")
	}
	img := cl.catalog.image(in.Image, cl.catalog.types[i].Architecture)
	if img == nil {
		return serverType{}, nil, wrongField("image", "unknown image for this architecture")
	}
	return cl.catalog.types[i], img, answer{}
}

// build puts the machine into the world.
func (cl *Cloud) build(c *cloudCall, in createRequest, kind serverType, place location, img *image) *virtual {
	id := cl.id()
	for slices.ContainsFunc(cl.world.Machines(), func(m *world.Machine) bool { return m.Kind == world.Cloud && m.Number == id }) {
		id = cl.id()
	}
	ipv4, ipv6 := cl.o.Addresses(id)
	if in.PublicNet != nil && !in.PublicNet.IPv4 {
		ipv4 = netip.Addr{}
	}
	if in.PublicNet != nil && !in.PublicNet.IPv6 {
		ipv6 = netip.Prefix{}
	}
	arch := map[string]string{"x86": "amd64", "arm": "arm64"}[kind.Architecture]
	m := cl.world.AddMachine(world.Spec{
		Kind: world.Cloud, Number: id, Name: in.Name, Product: kind.Name, Location: place.Name,
		Arch: arch, UEFI: arch == "arm64", Cores: kind.Cores, MemoryBytes: int64(kind.Memory) << 30, IPv4: ipv4, IPv6Net: ipv6,
		Gateway: netip.AddrFrom4([4]byte{172, 31, 1, 1}), Project: c.Token, OldSystem: cl.o.Install == nil,
		Disks: []*world.Disk{{Name: "sda", Model: "QEMU HARDDISK", SizeBytes: diskBytes(kind.Disk), Transport: "scsi"}},
	})
	v := &virtual{
		Machine: m, name: in.Name, labels: map[string]string{}, created: c.now, kind: kind, place: place, image: img,
		userData: in.UserData, group: in.PlacementGroup,
	}
	cl.address(v)
	if in.Labels != nil {
		v.labels = cloneLabels(*in.Labels)
	}
	for _, f := range in.Firewalls {
		v.walls = append(v.walls, f.Firewall)
	}
	return v
}

// diskBytes of a "40 GB" root disk: a little more than 38 GiB, as seen.
func diskBytes(gb int) int64 { return int64(gb) * 40961572864 / 40 / 512 * 512 }

// bringUp starts create_server and, unless the caller does not want it, start_server right after it.
func (cl *Cloud) bringUp(c *cloudCall, v *virtual, in createRequest) answer {
	start := in.StartAfterCreate == nil || *in.StartAfterCreate
	v.phase = "initializing"
	installed := make(chan struct{})
	a := cl.work(c, v, "create_server", 4*time.Second, func() { defer close(installed); cl.install(v.Machine, *v.image) }, func() {})
	next := []actionView{}
	if start && a.failed == "" {
		b := cl.work(c, v, "start_server", 6*time.Second, func() { <-installed; v.PowerOn() }, func() {})
		next = append(next, b.view())
	}
	body := map[string]any{"server": cl.view(c, v), "action": a.view(), "next_actions": next, "root_password": nil}
	if len(in.SSHKeys) == 0 {
		body["root_password"] = password(16)
	}
	return answer{status: http.StatusCreated, body: body}
}

// attach gives the server an address in a network.
func (cl *Cloud) attach(c *cloudCall, v *virtual, id int64, want string) (answer, bool) {
	n, known := c.thing("networks", id).(*network)
	if !known {
		return notFound("network"), true
	}
	if slices.ContainsFunc(v.nets, func(a attachment) bool { return a.Network == id }) {
		return refuse(http.StatusUnprocessableEntity, "server_already_attached", "server is already attached to this network"), true
	}
	used := map[string]bool{}
	for _, o := range cl.all(c) {
		for _, a := range o.nets {
			used[a.IP] = used[a.IP] || a.Network == id
		}
	}
	ip, found := n.free(want, used)
	if !found {
		return refuse(http.StatusUnprocessableEntity, "no_subnet_available", "no free address in the network"), true
	}
	v.nets = append(v.nets, attachment{
		Network: id, IP: ip, AliasIPs: []string{},
		MACAddress: fmt.Sprintf("86:00:%02x:%02x:%02x:%02x", byte(id), byte(v.Number>>16), byte(v.Number>>8), byte(v.Number)),
	})
	return answer{}, false
}

func (cl *Cloud) attachToNetwork(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Network int64  `json:"network"`
		IP      string `json:"ip"`
	}](c)
	if !good {
		return refusal
	}
	if a, refused := cl.attach(c, v, in.Network, in.IP); refused {
		return a
	}
	return created(cl.work(c, v, "attach_to_network", time.Second, func() {}, func() {}), nil)
}

func (cl *Cloud) detachFromNetwork(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Network int64 `json:"network"`
	}](c)
	if !good {
		return refusal
	}
	i := slices.IndexFunc(v.nets, func(a attachment) bool { return a.Network == in.Network })
	if i < 0 {
		return notFound("network attachment")
	}
	return created(cl.work(c, v, "detach_from_network", time.Second, func() {}, func() { v.nets = slices.Delete(v.nets, i, i+1) }), nil)
}
