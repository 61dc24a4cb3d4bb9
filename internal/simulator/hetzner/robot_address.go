package hetzner

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// subnetBits is the network that Hetzner hands out to a main address by DHCP; neighbours in it are unreachable.
const subnetBits = 26

// ipView is what a listing shows.
type ipView struct {
	IP              string  `json:"ip"`
	ServerIP        string  `json:"server_ip"`
	ServerNumber    int64   `json:"server_number"`
	Locked          bool    `json:"locked"`
	SeparateMAC     *string `json:"separate_mac"`
	TrafficWarnings bool    `json:"traffic_warnings"`
	TrafficHourly   int     `json:"traffic_hourly"`
	TrafficDaily    int     `json:"traffic_daily"`
	TrafficMonthly  int     `json:"traffic_monthly"`
}

// routedView is what a single address adds: the source of a static configuration.
type routedView struct {
	ipView
	Gateway   string `json:"gateway"`
	Mask      int    `json:"mask"`
	Broadcast string `json:"broadcast"`
}

func (s *dedicated) ip() ipView {
	return ipView{
		IP: s.IPv4.String(), ServerIP: s.IPv4.String(), ServerNumber: s.Number,
		TrafficHourly: 50, TrafficDaily: 50, TrafficMonthly: 8,
	}
}

// routed works out the network; without a gateway of its own the machine has the network's first address.
func (s *dedicated) routed() routedView {
	network := netip.PrefixFrom(s.IPv4, subnetBits).Masked()
	gateway := s.Gateway
	if !gateway.IsValid() {
		gateway = network.Addr().Next()
	}
	last := network.Addr().As4()
	last[3] |= 1<<(32-subnetBits) - 1
	return routedView{s.ip(), gateway.String(), subnetBits, netip.AddrFrom4(last).String()}
}

func (r *Robot) listIPs(c *robotCall) answer {
	var all []any
	for _, s := range r.all(c) {
		only := c.form.get("server_ip")
		if s.IPv4.IsValid() && (only == "" || only == s.IPv4.String()) {
			all = append(all, wrap("ip", s.ip()))
		}
	}
	return r.list("/ip", all)
}

func (r *Robot) getIP(c *robotCall) answer {
	for _, s := range r.all(c) {
		if s.IPv4.IsValid() && s.IPv4.String() == c.args[0] {
			return ok(wrap("ip", s.routed()))
		}
	}
	return fail(http.StatusNotFound, "IP_NOT_FOUND", "ip not found")
}

// subnet: server_ip is null without an IPv4 address.
func (s *dedicated) subnet() any {
	return struct {
		IP              string  `json:"ip"`
		Mask            int     `json:"mask"`
		Gateway         string  `json:"gateway"`
		ServerIP        *string `json:"server_ip"`
		ServerNumber    int64   `json:"server_number"`
		Failover        bool    `json:"failover"`
		Locked          bool    `json:"locked"`
		TrafficWarnings bool    `json:"traffic_warnings"`
		TrafficHourly   int     `json:"traffic_hourly"`
		TrafficDaily    int     `json:"traffic_daily"`
		TrafficMonthly  int     `json:"traffic_monthly"`
	}{*s.ref().ServerIPv6Net, s.IPv6Net.Bits(), "fe80::1", s.ref().ServerIP, s.Number, false, false, false, 100, 500, 2}
}

func (r *Robot) listSubnets(c *robotCall) answer {
	var all []any
	for _, s := range r.all(c) {
		only, ref := c.form.get("server_ip"), s.ref()
		if s.IPv6Net.IsValid() && (only == "" || ref.ServerIP != nil && only == *ref.ServerIP) {
			all = append(all, wrap("subnet", s.subnet()))
		}
	}
	return r.list("/subnet", all)
}

func (r *Robot) getSubnet(c *robotCall) answer {
	for _, s := range r.all(c) {
		if net := s.ref().ServerIPv6Net; net != nil && *net == c.args[0] {
			return ok(wrap("subnet", s.subnet()))
		}
	}
	return fail(http.StatusNotFound, "SUBNET_NOT_FOUND", "subnet not found")
}

// withAddress lets only addresses of the caller pass.
func (r *Robot) withAddress(handle func(*robotCall, string) answer) func(*robotCall) answer {
	return func(c *robotCall) answer {
		addr, err := netip.ParseAddr(c.args[0])
		mine := func(s *dedicated) bool { return s.IPv4 == addr || s.IPv6Net.IsValid() && s.IPv6Net.Contains(addr) }
		if err != nil || !slices.ContainsFunc(r.all(c), mine) {
			return fail(http.StatusNotFound, "IP_NOT_FOUND", "ip not found")
		}
		return handle(c, addr.String())
	}
}

func pointer(ip, ptr string) map[string]any {
	return wrap("rdns", map[string]any{"ip": ip, "ptr": ptr})
}

func (r *Robot) listPointers(c *robotCall) answer {
	var all []any
	addresses := make([]string, 0, len(c.pointers))
	for ip := range c.pointers {
		addresses = append(addresses, ip)
	}
	slices.Sort(addresses)
	for _, ip := range addresses {
		all = append(all, pointer(ip, c.pointers[ip]))
	}
	return r.list("/rdns", all)
}

func (r *Robot) getPointer(c *robotCall, ip string) answer {
	ptr, known := c.pointers[ip]
	if !known {
		return fail(http.StatusNotFound, "RDNS_NOT_FOUND", "rdns entry not found")
	}
	return ok(pointer(ip, ptr))
}

// createPointer is PUT: only where there is none yet.
func (r *Robot) createPointer(c *robotCall, ip string) answer {
	if _, known := c.pointers[ip]; known {
		return fail(http.StatusConflict, "RDNS_ALREADY_EXISTS", "rdns entry already exists")
	}
	return r.setPointer(c, ip)
}

func (r *Robot) setPointer(c *robotCall, ip string) answer {
	if !c.form.has("ptr") {
		return invalid([]string{"ptr"}, nil)
	}
	_, known := c.pointers[ip]
	ptr := c.form.get("ptr")
	if ptr == "" { // back to the default
		ptr = "static." + strings.ReplaceAll(ip, ":", "-") + ".clients.your-server.de"
	}
	c.pointers[ip] = ptr
	a := ok(pointer(ip, ptr))
	if !known {
		a.status = http.StatusCreated
	}
	return a
}

func (r *Robot) deletePointer(c *robotCall, ip string) answer {
	if _, known := c.pointers[ip]; !known {
		return fail(http.StatusNotFound, "RDNS_NOT_FOUND", "rdns entry not found")
	}
	delete(c.pointers, ip)
	return answer{status: http.StatusOK}
}
