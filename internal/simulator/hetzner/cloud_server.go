package hetzner

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// virtual is what the Cloud knows of a machine besides the machine.
type virtual struct {
	*world.Machine
	name     string
	labels   map[string]string
	created  time.Time
	kind     serverType
	place    location
	image    *image
	iso      *iso
	guarded  bool // against delete and rebuild
	nets     []attachment
	walls    []int64 // firewalls
	group    int64   // placement group, 0 if none
	v4, v6   int64   // ids of the primary IPs
	userData string
	rescue   *world.Rescue // armed by enable_rescue
	armed    time.Time     // when, by the clock of the API
	phase    string        // instead of running or off
	running  *action       // locks the server

	switches  sync.Mutex // guards what is below: orders to one power supply come one after the other
	orders    int        // so far
	rebooting bool       // it goes off, and is to be switched on again
}

// attachment of a server to a network. It does not tell the gateway.
type attachment struct {
	Network    int64    `json:"network"`
	IP         string   `json:"ip"`
	AliasIPs   []string `json:"alias_ips"`
	MACAddress string   `json:"mac_address"`
}

// serverView is the whole object; datacenter was removed from it on 2026-07-01.
type serverView struct {
	ID              int64             `json:"id"`
	Name            string            `json:"name"`
	Status          string            `json:"status"`
	Created         stamp             `json:"created"`
	PublicNet       publicNet         `json:"public_net"`
	PrivateNet      []attachment      `json:"private_net"`
	ServerType      serverType        `json:"server_type"`
	Location        location          `json:"location"`
	Image           *image            `json:"image"`
	ISO             *iso              `json:"iso"`
	RescueEnabled   bool              `json:"rescue_enabled"`
	Locked          bool              `json:"locked"`
	BackupWindow    *string           `json:"backup_window"`
	OutgoingTraffic *int64            `json:"outgoing_traffic"`
	IngoingTraffic  *int64            `json:"ingoing_traffic"`
	IncludedTraffic int64             `json:"included_traffic"`
	Protection      map[string]bool   `json:"protection"`
	Labels          map[string]string `json:"labels"`
	Volumes         []int64           `json:"volumes"`
	LoadBalancers   []int64           `json:"load_balancers"`
	PrimaryDiskSize int               `json:"primary_disk_size"`
	PlacementGroup  thing             `json:"placement_group"`
}

// publicNet: an address that the server does not have is null.
type publicNet struct {
	IPv4        *publicIPv4      `json:"ipv4"`
	IPv6        *publicIPv6      `json:"ipv6"`
	FloatingIPs []int64          `json:"floating_ips"`
	Firewalls   []map[string]any `json:"firewalls"`
}

type publicIPv4 struct {
	ID      int64  `json:"id"`
	IP      string `json:"ip"`
	Blocked bool   `json:"blocked"`
	DNSPtr  string `json:"dns_ptr"`
}

// publicIPv6 is a network, fe80::1 its gateway and ::1 the host by convention.
type publicIPv6 struct {
	ID      int64  `json:"id"`
	IP      string `json:"ip"`
	Blocked bool   `json:"blocked"`
	DNSPtr  []any  `json:"dns_ptr"`
}

// all gives the servers of the caller.
func (cl *Cloud) all(c *cloudCall) []*virtual {
	var mine []*virtual
	for _, m := range cl.world.Machines() {
		if m.Kind == world.Cloud && m.Project == c.Token {
			mine = append(mine, cl.know(c, m))
		}
	}
	return mine
}

// know gives what the project knows of a machine, and takes in one that was put into the world by others.
func (cl *Cloud) know(c *cloudCall, m *world.Machine) *virtual {
	v := c.servers[m]
	if v == nil {
		place, _ := cl.catalog.place(m.Location)
		v = &virtual{Machine: m, name: m.Name, labels: map[string]string{}, created: c.now, kind: cl.catalog.typeOf(m), place: place}
		cl.address(v)
		c.servers[m] = v
	}
	return v
}

// address gives the primary IPs of a server their ids.
func (cl *Cloud) address(v *virtual) {
	if v.IPv4.IsValid() {
		v.v4 = cl.id()
	}
	if v.IPv6Net.IsValid() {
		v.v6 = cl.id()
	}
}

func (cl *Cloud) withServer(handle func(*cloudCall, *virtual) answer) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		id := number(c.args[0])
		for _, v := range cl.all(c) {
			if v.Number == id {
				return handle(c, v)
			}
		}
		return notFound("server")
	}
}

// status stays running while a system reboots: to Hetzner that is the guest's own affair.
func (v *virtual) status() string {
	v.switches.Lock()
	defer v.switches.Unlock()
	switch {
	case v.phase != "":
		return v.phase
	case v.rebooting || v.On():
		return "running"
	}
	return "off"
}

// rescued says whether the next boot enters the rescue system, and lets that lapse after an hour.
func (cl *Cloud) rescued(v *virtual, now time.Time) bool {
	if v.rescue == nil || v.Armed() != v.rescue {
		return false
	}
	if now.Sub(v.armed) > cl.world.Real(valid) {
		v.Arm(nil)
		return false
	}
	return true
}

func (cl *Cloud) view(c *cloudCall, v *virtual) serverView {
	s := serverView{
		ID: v.Number, Name: v.name, Status: v.status(), Created: stamp(v.created), PublicNet: v.public(),
		PrivateNet: append([]attachment{}, v.nets...), ServerType: v.kind, Location: v.place, Image: v.image, ISO: v.iso,
		RescueEnabled: cl.rescued(v, c.now), Locked: v.running != nil, IncludedTraffic: 20 << 40,
		Protection: map[string]bool{"delete": v.guarded, "rebuild": v.guarded}, Labels: v.labels,
		Volumes: []int64{}, LoadBalancers: []int64{}, PrimaryDiskSize: v.kind.Disk,
	}
	if g := c.thing("placement_groups", v.group); g != nil {
		s.PlacementGroup = cl.refresh(c, g)
	}
	return s
}

func (v *virtual) public() publicNet {
	p := publicNet{FloatingIPs: []int64{}, Firewalls: []map[string]any{}}
	if v.v4 != 0 {
		ip := v.IPv4.String()
		p.IPv4 = &publicIPv4{ID: v.v4, IP: ip, DNSPtr: "static." + ip + ".clients.your-server.de"}
	}
	if v.v6 != 0 {
		p.IPv6 = &publicIPv6{ID: v.v6, IP: v.IPv6Net.Masked().String(), DNSPtr: []any{}}
	}
	for _, id := range v.walls {
		p.Firewalls = append(p.Firewalls, map[string]any{"id": id, "status": "applied"})
	}
	return p
}

func (cl *Cloud) listServers(c *cloudCall) answer {
	var all []item
	for _, v := range cl.all(c) {
		all = append(all, item{
			id: v.Number, name: v.name, created: v.created, labels: v.labels, view: func() any { return cl.view(c, v) },
			fields: map[string]string{"status": v.status()},
		})
	}
	return list(c, "servers", all)
}

func (cl *Cloud) getServer(c *cloudCall, v *virtual) answer {
	return ok(map[string]any{"server": cl.view(c, v)})
}

// update changes the name, or replaces all labels; what is absent stays.
func (cl *Cloud) updateServer(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Name   string             `json:"name"`
		Labels *map[string]string `json:"labels"`
	}](c)
	if !good {
		return refusal
	}
	if in.Name != "" && in.Name != v.name {
		if a, wrong := cl.badName(c, in.Name); wrong {
			return a
		}
	}
	if a, wrong := badLabels(in.Labels); wrong {
		return a
	}
	if in.Name != "" {
		v.name = in.Name
	}
	if in.Labels != nil {
		v.labels = cloneLabels(*in.Labels)
	}
	return cl.getServer(c, v)
}

// badName refuses a name that is no hostname or that another server of the project has.
func (cl *Cloud) badName(c *cloudCall, name string) (answer, bool) {
	host := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	if !host.MatchString(name) || strings.Contains(name, "..") {
		return wrongField("name", "is not a valid hostname"), true
	}
	if slices.ContainsFunc(cl.all(c), func(v *virtual) bool { return v.name == name }) {
		return notUniqueField("name"), true
	}
	return answer{}, false
}

func (cl *Cloud) deleteServer(c *cloudCall, v *virtual) answer {
	if a, busy := v.busy(); busy {
		return a
	}
	if v.guarded {
		return refuse(http.StatusLocked, "protected", "server deletion is protected")
	}
	v.phase = "deleting"
	a := cl.work(c, v, "delete_server", 2*time.Second, func() { cl.world.RemoveMachine(v.Machine) }, func() {
		delete(c.servers, v.Machine)
	})
	return ok(map[string]any{"action": a.view()})
}

// UserData gives what a server was created with, "" if nothing; for the metadata service.
func (cl *Cloud) UserData(m *world.Machine) string {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if p := cl.projects[m.Project]; p != nil && p.servers[m] != nil {
		return p.servers[m].userData
	}
	return ""
}

// primaryIP is one address of a server; this simulator has no unassigned ones.
type primaryIP struct {
	ID           int64             `json:"id"`
	IP           string            `json:"ip"`
	Type         string            `json:"type"`
	Name         string            `json:"name"`
	AssigneeID   *int64            `json:"assignee_id"`
	AssigneeType string            `json:"assignee_type"`
	AutoDelete   bool              `json:"auto_delete"`
	Blocked      bool              `json:"blocked"`
	DNSPtr       []any             `json:"dns_ptr"`
	Location     location          `json:"location"`
	Protection   map[string]bool   `json:"protection"`
	Labels       map[string]string `json:"labels"`
	Created      stamp             `json:"created"`
}

func (cl *Cloud) primaryIPs(c *cloudCall) []item {
	var all []item
	add := func(v *virtual, id int64, kind, ip string) {
		name := "primary_ip-" + strconv.FormatInt(id, 10)
		all = append(all, item{id: id, name: name, created: v.created, fields: map[string]string{"ip": ip}, view: show(primaryIP{
			ID: id, IP: ip, Type: kind,
			Name: name, AssigneeID: &v.Number, AssigneeType: "server", AutoDelete: true, DNSPtr: []any{}, Location: v.place,
			Protection: map[string]bool{"delete": false}, Labels: map[string]string{}, Created: stamp(v.created),
		})})
	}
	for _, v := range cl.all(c) {
		if v.v4 != 0 {
			add(v, v.v4, "ipv4", v.IPv4.String())
		}
		if v.v6 != 0 {
			add(v, v.v6, "ipv6", v.IPv6Net.Masked().String())
		}
	}
	return all
}

func (cl *Cloud) listPrimaryIPs(c *cloudCall) answer { return list(c, "primary_ips", cl.primaryIPs(c)) }

func (cl *Cloud) getPrimaryIP(c *cloudCall) answer {
	return oneOf("primary_ip", func() []item { return cl.primaryIPs(c) })(c)
}
