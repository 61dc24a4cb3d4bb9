package rescue

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Network is a static network for META (0xa, Talos' MetalNetworkPlatformConfig): what a machine that no DHCP serves
// needs to fetch its config. It stays beside the config's own network, which wins where both say something.
type Network struct {
	MAC       string         // of the interface; Talos 1.9 and newer know each by it, as enx…
	Addresses []netip.Prefix // at Hetzner IPv4 as /32: neighbours in its network are reached through the gateway only
	Gateways  []netip.Addr   // one of each family that has an address
	DNS       []netip.Addr
	NTP       []string
	Hostname  string
	VLAN      *VLAN // for machines that are reached by a vSwitch only
}

// VLAN is a vSwitch on the interface.
type VLAN struct {
	ID      int // 4000 to 4091
	Address netip.Prefix
	Gateway netip.Addr // may be invalid: none
}

// vlanMTU is what Hetzner's vSwitches carry.
const vlanMTU = 1400

// Hetzner's resolvers and time servers; the first IPv6 of the resolvers is for machines without IPv4.
var (
	hetznerDNS = []string{"185.12.64.1", "185.12.64.2", "2a01:4ff:ff00::add:1", "2a01:4ff:ff00::add:2"}
	hetznerNTP = []string{"ntp1.hetzner.de", "ntp2.hetzner.com", "ntp3.hetzner.net"}
)

// linkLocalGateway is the gateway of IPv6 at Hetzner.
var linkLocalGateway = netip.MustParseAddr("fe80::1")

// StaticNetwork makes the network that the rescue system has permanent. atHetzner says whether Hetzner's resolvers and
// time servers can be used; others keep Talos' own. fleet.Refused if there is nothing to go by.
func StaticNetwork(server string, facts fleet.Facts, atHetzner bool) (Network, error) {
	nic, ok := mainNIC(facts)
	if !ok {
		return Network{}, fleet.Errorf(fleet.Refused, "server %s: no interface of its rescue system has a public address to make static", server).
			WithHint("install it without a static network, if something there answers DHCP")
	}
	n := Network{MAC: nic.MAC}
	has4, has6 := false, false
	for _, text := range nic.Addresses {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil || !p.Addr().IsGlobalUnicast():
		case p.Addr().Is4() && !has4:
			if atHetzner {
				p = netip.PrefixFrom(p.Addr(), 32)
			}
			n.Addresses, has4 = append(n.Addresses, p), true
		case p.Addr().Is6() && !has6:
			n.Addresses, has6 = append(n.Addresses, p), true
		}
	}
	if gw, err := netip.ParseAddr(facts.Gateway); has4 && err == nil {
		n.Gateways = append(n.Gateways, gw)
	} else if has4 && !has6 {
		return n, fleet.Errorf(fleet.Refused, "server %s: its rescue system has no default gateway to make static", server)
	}
	if has6 {
		gw, err := netip.ParseAddr(facts.Gateway6)
		if err != nil {
			gw = linkLocalGateway
		}
		n.Gateways = append(n.Gateways, gw.WithZone(""))
	}
	if atHetzner {
		n.NTP = hetznerNTP
		for _, text := range hetznerDNS {
			if a := netip.MustParseAddr(text); a.Is4() && has4 || a.Is6() && has6 {
				n.DNS = append(n.DNS, a)
			}
		}
	}
	return n, n.Check(server)
}

// mainNIC is the interface whose addresses Talos is to have: one with an address, best one that is up.
func mainNIC(facts fleet.Facts) (found fleet.NIC, ok bool) {
	for _, nic := range facts.NICs {
		if len(nic.Addresses) > 0 && nic.MAC != "" && (!ok || nic.Up && !found.Up) {
			found, ok = nic, true
		}
	}
	return found, ok
}

// Check refuses a network that no machine could come up with.
func (n Network) Check(server string) error {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil || len(mac) != 6 {
		return fleet.Errorf(fleet.Refused, "server %s: %q is no MAC address", server, n.MAC)
	}
	if len(n.Addresses) == 0 && n.VLAN == nil {
		return fleet.Errorf(fleet.Refused, "server %s: its rescue system has no address to make static", server)
	}
	return nil
}

// The form of Talos' PlatformConfigSpec as its documentation has it, with what every version from 1.9 knows. Source:
// talos pkg/machinery/resources/network; docs "Metal Network Configuration".
type networkYAML struct {
	Addresses   []addressYAML  `yaml:"addresses,omitempty"`
	Links       []linkYAML     `yaml:"links"`
	Routes      []routeYAML    `yaml:"routes,omitempty"`
	Hostnames   []hostnameYAML `yaml:"hostnames,omitempty"`
	Resolvers   []resolverYAML `yaml:"resolvers,omitempty"`
	TimeServers []timeYAML     `yaml:"timeServers,omitempty"`
}

type addressYAML struct {
	Address netip.Prefix `yaml:"address"`
	Link    string       `yaml:"linkName"`
	Family  string       `yaml:"family"`
	Scope   string       `yaml:"scope"`
	Flags   string       `yaml:"flags"`
	Layer   string       `yaml:"layer"`
}

type linkYAML struct {
	Name    string        `yaml:"name"`
	Logical bool          `yaml:"logical,omitempty"`
	Up      bool          `yaml:"up"`
	MTU     int           `yaml:"mtu,omitempty"`
	Kind    string        `yaml:"kind,omitempty"`
	Type    string        `yaml:"type,omitempty"`
	Parent  string        `yaml:"parentName,omitempty"`
	VLAN    *linkVLANYAML `yaml:"vlan,omitempty"`
	Layer   string        `yaml:"layer"`
}

type linkVLANYAML struct {
	ID       int    `yaml:"vlanID"`
	Protocol string `yaml:"vlanProtocol"`
}

type routeYAML struct {
	Family      string `yaml:"family"`
	Destination string `yaml:"dst,omitempty"` // "": the default route
	Gateway     string `yaml:"gateway,omitempty"`
	Link        string `yaml:"outLinkName"`
	Table       string `yaml:"table"`
	Priority    int    `yaml:"priority,omitempty"`
	Scope       string `yaml:"scope"`
	Type        string `yaml:"type"`
	Protocol    string `yaml:"protocol"`
	Layer       string `yaml:"layer"`
}

type hostnameYAML struct {
	Hostname string `yaml:"hostname"`
	Layer    string `yaml:"layer"`
}

type resolverYAML struct {
	Servers []netip.Addr `yaml:"dnsServers"`
	Layer   string       `yaml:"layer"`
}

type timeYAML struct {
	Servers []string `yaml:"timeServers"`
	Layer   string   `yaml:"layer"`
}

// platformLayer is the layer of network settings that a config overrides.
const platformLayer = "platform"

// YAML is the value for META.
func (n Network) YAML() (string, error) {
	link := "enx" + strings.ToLower(strings.ReplaceAll(n.MAC, ":", ""))
	// A link that is mentioned runs no DHCP.
	out := networkYAML{Links: []linkYAML{{Name: link, Up: true, Layer: platformLayer}}}
	for _, a := range n.Addresses {
		out.address(a, link)
	}
	for _, gw := range n.Gateways {
		if !n.reaches(gw) {
			out.route(netip.Addr{}, netip.PrefixFrom(gw, gw.BitLen()).String(), link, "link")
		}
		out.route(gw, "", link, "global")
	}
	if v := n.VLAN; v != nil {
		name := fmt.Sprintf("vlan%d", v.ID)
		out.Links = append(out.Links, linkYAML{
			Name: name, Logical: true, Up: true, MTU: vlanMTU, Kind: "vlan", Type: "ether", Parent: link,
			VLAN: &linkVLANYAML{ID: v.ID, Protocol: "802.1q"}, Layer: platformLayer,
		})
		out.address(v.Address, name)
		if v.Gateway.IsValid() {
			out.route(v.Gateway, "", name, "global") // its network contains it
		}
	}
	if n.Hostname != "" {
		out.Hostnames = []hostnameYAML{{n.Hostname, platformLayer}}
	}
	if len(n.DNS) > 0 {
		out.Resolvers = []resolverYAML{{n.DNS, platformLayer}}
	}
	if len(n.NTP) > 0 {
		out.TimeServers = []timeYAML{{n.NTP, platformLayer}}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(out); err != nil {
		return "", fmt.Errorf("static network: %w", err)
	}
	return b.String(), enc.Close()
}

func (y *networkYAML) address(a netip.Prefix, link string) {
	y.Addresses = append(y.Addresses, addressYAML{a, link, family(a.Addr()), "global", "permanent", platformLayer})
}

// reaches says whether a gateway is in a network of the machine's. A /32 contains none; link-local is on every link.
func (n Network) reaches(gw netip.Addr) bool {
	return gw.IsLinkLocalUnicast() || slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Contains(gw) })
}

// defaultPriority is Talos' metric for default routes of IPv4; IPv6 has twice that.
const defaultPriority = 1024

func (y *networkYAML) route(gw netip.Addr, dst, link, scope string) {
	r := routeYAML{
		Family: "inet4", Destination: dst, Link: link, Table: "main", Priority: defaultPriority, Scope: scope, Type: "unicast", Protocol: "static", Layer: platformLayer,
	}
	if gw.IsValid() {
		r.Gateway = gw.String()
	}
	if gw.Is6() || strings.Contains(dst, ":") {
		r.Family, r.Priority = "inet6", 2*defaultPriority
	}
	y.Routes = append(y.Routes, r)
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "inet4"
	}
	return "inet6"
}

// describeNetwork names the addresses of a static network.
func describeNetwork(text string) string {
	var n networkYAML
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		return "static network that cannot be read"
	}
	var addresses []string
	for _, a := range n.Addresses {
		addresses = append(addresses, a.Address.String())
	}
	if len(addresses) == 0 {
		return "static network without addresses"
	}
	return "static network " + strings.Join(addresses, " and ")
}
