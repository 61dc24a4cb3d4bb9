package rescuehost

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// address is an entry of addr_info.
type address struct {
	Family    string `json:"family"`
	Local     string `json:"local"`
	PrefixLen int    `json:"prefixlen"`
	Broadcast string `json:"broadcast,omitempty"`
	Scope     string `json:"scope"`
	Label     string `json:"label,omitempty"`
}

// link is an interface in the output of ip -j.
type link struct {
	Index     int       `json:"ifindex"`
	Name      string    `json:"ifname"`
	Flags     []string  `json:"flags"`
	MTU       int       `json:"mtu"`
	State     string    `json:"operstate"`
	Group     string    `json:"group"`
	Kind      string    `json:"link_type"`
	Address   string    `json:"address"`
	Addresses []address `json:"addr_info,omitempty"`
}

// route is an entry of ip -j route.
type route struct {
	Dst      string   `json:"dst"`
	Gateway  string   `json:"gateway,omitempty"`
	Dev      string   `json:"dev"`
	Protocol string   `json:"protocol,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Source   string   `json:"prefsrc,omitempty"`
	Flags    []string `json:"flags"`
}

// prefix is the IPv4 network that DHCP gives: a /26 on dedicated servers, a /32 in the cloud (HETZNER.md D.4).
func (h *Host) prefix() netip.Prefix {
	bits := 26
	if h.m.Kind == world.Cloud {
		bits = 32
	}
	return netip.PrefixFrom(h.m.IPv4, bits)
}

func (h *Host) gateway() netip.Addr {
	switch {
	case h.m.Gateway.IsValid():
		return h.m.Gateway
	case h.m.Kind == world.Cloud:
		return netip.AddrFrom4([4]byte{172, 31, 1, 1})
	}
	return h.prefix().Masked().Addr().Next()
}

func (h *Host) ipLinks() []link {
	lo := link{
		Index: 1, Name: "lo", Flags: []string{"LOOPBACK", "UP", "LOWER_UP"}, MTU: 65536, State: "UNKNOWN", Group: "default", Kind: "loopback", Address: "00:00:00:00:00:00",
		Addresses: []address{{"inet", "127.0.0.1", 8, "", "host", "lo"}, {"inet6", "::1", 128, "", "host", ""}},
	}
	eth := link{Index: 2, Name: "eth0", Flags: []string{"BROADCAST", "MULTICAST", "UP", "LOWER_UP"}, MTU: 1500, State: "UP", Group: "default", Kind: "ether", Address: h.m.MAC}
	if h.m.IPv4.IsValid() {
		p := h.prefix()
		a := address{"inet", h.m.IPv4.String(), p.Bits(), "", "global", "eth0"}
		if p.Bits() < 32 {
			a.Broadcast = broadcast(p).String()
		}
		eth.Addresses = append(eth.Addresses, a)
	}
	if h.m.IPv6Net.IsValid() {
		eth.Addresses = append(eth.Addresses, address{"inet6", h.m.IPv6Net.Addr().Next().Next().String(), 64, "", "global", ""})
	}
	if mac, err := net.ParseMAC(h.m.MAC); err == nil {
		eth.Addresses = append(eth.Addresses, address{"inet6", linkLocal(mac), 64, "", "link", ""})
	}
	return []link{lo, eth}
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// linkLocal is the EUI-64 address of a MAC.
func linkLocal(mac net.HardwareAddr) string {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}).String()
}

func (h *Host) ipRoutes(six bool) []route {
	if six {
		if !h.m.IPv6Net.IsValid() {
			return []route{}
		}
		return []route{
			{Dst: h.m.IPv6Net.Masked().String(), Dev: "eth0", Protocol: "kernel", Flags: []string{}},
			{Dst: "fe80::/64", Dev: "eth0", Protocol: "kernel", Flags: []string{}},
			{Dst: "default", Gateway: "fe80::1", Dev: "eth0", Protocol: "static", Flags: []string{}},
		}
	}
	if !h.m.IPv4.IsValid() {
		return []route{}
	}
	all := []route{{Dst: "default", Gateway: h.gateway().String(), Dev: "eth0", Flags: []string{}}}
	if h.prefix().Bits() == 32 {
		return append(all, route{Dst: h.gateway().String(), Dev: "eth0", Scope: "link", Flags: []string{}})
	}
	return append(all, route{Dst: h.prefix().Masked().String(), Dev: "eth0", Protocol: "kernel", Scope: "link", Source: h.m.IPv4.String(), Flags: []string{}})
}

// toolIP shows addresses, links and routes; it changes nothing.
func toolIP(c *call) int {
	opts, rest, err := getopt(longFlags(c.args), "+j46obsd", "json", "brief", "pretty", "details", "br", "c", "oneline")
	if err != nil {
		return c.fail(255, "%v", err)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(opts, func(o option) bool { return slices.Contains(names, o.name) })
	}
	if len(rest) == 0 {
		rest = []string{"addr"}
	}
	var value any
	switch object := rest[0]; {
	case strings.HasPrefix("address", object) || object == "addr":
		value = c.ipAddr(rest[1:], has("6"), has("4"))
	case strings.HasPrefix("link", object):
		links := c.ipAddr(rest[1:], false, false)
		for i := range links {
			links[i].Addresses = nil
		}
		value = links
	case strings.HasPrefix("route", object):
		routes := c.h.ipRoutes(has("6"))
		if slices.Contains(rest, "default") {
			routes = slices.DeleteFunc(routes, func(r route) bool { return r.Dst != "default" })
		}
		value = routes
	default:
		return c.fail(1, "Object \"%s\" is unknown, try \"ip help\".", object)
	}
	if links, ok := value.([]link); ok && len(links) == 0 {
		fmt.Fprintf(c.err, "Device \"%s\" does not exist.\n", rest[len(rest)-1])
		return 1
	}
	if has("j", "json") {
		data, err := json.Marshal(value)
		if err != nil {
			return 1
		}
		c.printf("%s\n", data)
		return 0
	}
	c.ipText(value, has("brief", "br"))
	return 0
}

// longFlags: ip takes -br, -json and the like with one dash.
func longFlags(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if slices.Contains([]string{"-json", "-brief", "-br", "-pretty", "-details", "-oneline"}, a) {
			out[i] = "-" + a
		}
	}
	return out
}

func (c *call) ipAddr(args []string, six, four bool) []link {
	name := ""
	for _, a := range args {
		if a != "show" && a != "dev" && a != "scope" && a != "global" && a != "list" && a != "up" {
			name = a
		}
	}
	all := slices.DeleteFunc(c.h.ipLinks(), func(l link) bool { return name != "" && l.Name != name })
	for i := range all {
		all[i].Addresses = slices.DeleteFunc(all[i].Addresses, func(a address) bool {
			return six && a.Family != "inet6" || four && a.Family != "inet" || slices.Contains(args, "global") && a.Scope != "global"
		})
	}
	return all
}

func (c *call) ipText(value any, brief bool) {
	switch value := value.(type) {
	case []link:
		for _, l := range value {
			if brief {
				var all []string
				for _, a := range l.Addresses {
					all = append(all, fmt.Sprintf("%s/%d", a.Local, a.PrefixLen))
				}
				c.printf("%-16s %-14s %s\n", l.Name, l.State, strings.Join(append(all, ""), " "))
				continue
			}
			c.printf("%d: %s: <%s> mtu %d qdisc fq state %s group default qlen 1000\n    link/%s %s\n", l.Index, l.Name, strings.Join(l.Flags, ","), l.MTU, l.State, l.Kind, l.Address)
			for _, a := range l.Addresses {
				c.printf("    %s %s/%d scope %s\n", a.Family, a.Local, a.PrefixLen, a.Scope)
			}
		}
	case []route:
		for _, r := range value {
			line := r.Dst
			for _, kv := range [][2]string{{"via", r.Gateway}, {"dev", r.Dev}, {"proto", r.Protocol}, {"scope", r.Scope}, {"src", r.Source}} {
				if kv[1] != "" {
					line += " " + kv[0] + " " + kv[1]
				}
			}
			c.printf("%s\n", line)
		}
	}
}
