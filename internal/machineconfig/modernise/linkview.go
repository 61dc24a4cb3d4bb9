package modernise

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	conf "github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"go.yaml.in/yaml/v4"
)

// network gathers what Talos' network controllers would make of a config, from the old interfaces and the link
// documents alike.
type network struct {
	links   map[string]map[string]any
	aliases map[string]string // of a card: what finds it
}

func links(p config.Provider) any {
	n := &network{links: map[string]map[string]any{}, aliases: map[string]string{}}
	for _, a := range p.NetworkLinkAliasConfigs() {
		n.aliases[a.Name()] = "card(" + canonical(a.LinkSelector().String()) + ")"
	}
	for _, d := range p.Machine().Network().Devices() {
		n.device(d)
	}
	for _, c := range p.NetworkCommonLinkConfigs() {
		n.document(c)
	}
	for _, d := range p.NetworkDHCPv4Configs() {
		id := ""
		if d.ClientIdentifier() != nethelpers.ClientIdentifierNone {
			id = d.ClientIdentifier().String()
		}
		n.dhcp(d.Name(), "dhcp4", d.RouteMetric().ValueOr(0), id)
	}
	for _, d := range p.NetworkDHCPv6Configs() {
		n.dhcp(d.Name(), "dhcp6", d.RouteMetric().ValueOr(0), strings.ReplaceAll(fmt.Sprintf("%x", []byte(d.DUIDRaw().ValueOrZero())), ":", ""))
	}
	for _, v := range p.NetworkVirtualIPConfigs() {
		token := ""
		if h, ok := v.(conf.NetworkHCloudVIPConfig); ok {
			token = h.HCloudAPIToken()
		}
		n.vip(v.Link(), v.VIP().String(), token)
	}
	out := map[string]any{"defaultDHCP": fmt.Sprint(p.RunDefaultDHCPOperators())}
	all := map[string]any{}
	for name, l := range n.links {
		all[name] = l
	}
	out["links"] = all
	return out
}

// called is the name that is the same for an alias and for the selector that it was made of.
func (n *network) called(name string) string {
	if a, ok := n.aliases[name]; ok {
		return a
	}
	if base, id, ok := strings.Cut(name, "."); ok && n.aliases[base] != "" {
		return n.aliases[base] + "." + id
	}
	return name
}

func (n *network) link(name string) map[string]any {
	name = n.called(name)
	if n.links[name] == nil {
		n.links[name] = map[string]any{"up": "true"}
	}
	return n.links[name]
}

func add(m map[string]any, key string, v any) {
	list, _ := m[key].([]any)
	m[key] = append(list, v)
}

func (n *network) dhcp(link, kind string, metric uint32, id string) {
	if metric == 0 {
		metric = 1024
	}
	n.link(link)[kind] = strings.TrimSpace(fmt.Sprintf("metric %d %s", metric, id))
}

func (n *network) vip(link, ip, token string) {
	m := n.link(link)
	add(m, "vip", ip)
	if token != "" {
		m["vipToken"] = token
	}
}

func (n *network) device(d conf.Device) {
	name := d.Interface()
	if s := d.Selector(); s != nil && name == "" {
		match, _ := (&rewriter{vars: &variables{}}).linkMatch(field{}, selectorNode(s))
		name = "card(" + canonical(match) + ")"
	}
	if d.Ignore() {
		n.link(name)["ignore"] = "true"
		return
	}
	m := n.link(name)
	set(m, "mtu", number(d.MTU()))
	n.kinds(name, m, d)
	n.settings(m, d.Addresses(), d.Routes())
	n.oldDHCP(name, d.DHCP(), d.DHCPOptions())
	n.oldVIP(name, d.VIPConfig())
	for _, v := range d.Vlans() {
		vlan := fmt.Sprintf("%s.%d", name, v.ID())
		if !strings.HasPrefix(name, "card(") {
			vlan = nethelpers.VLANLinkName(name, v.ID())
		}
		l := n.link(vlan)
		l["vlan"] = fmt.Sprintf("%d of %s", v.ID(), name)
		set(l, "mtu", number(v.MTU()))
		n.settings(l, v.Addresses(), v.Routes())
		n.oldDHCP(vlan, v.DHCP(), v.DHCPOptions())
		n.oldVIP(vlan, v.VIPConfig())
	}
}

func selectorNode(s conf.NetworkDeviceSelector) *yaml.Node {
	m := mapping()
	for key, v := range map[string]string{
		"hardwareAddr": s.HardwareAddress(), "permanentAddr": s.PermanentAddress(), "pciID": s.PCIID(),
		"driver": s.KernelDriver(), "busPath": s.Bus(),
	} {
		if v != "" {
			put(m, scalar(key), scalar(v))
		}
	}
	return m
}

func (n *network) kinds(name string, m map[string]any, d conf.Device) {
	if d.Dummy() {
		m["kind"] = "dummy"
	}
	if b := d.Bond(); b != nil {
		m["kind"] = "bond"
		m["bond"] = oldBond(b)
		for i, l := range b.Interfaces() {
			n.link(l)["master"] = fmt.Sprintf("%s %d", name, i)
		}
		for i, s := range b.Selectors() {
			match, _ := (&rewriter{vars: &variables{}}).linkMatch(field{}, selectorNode(s))
			n.link("card(" + canonical(match) + ")")["master"] = fmt.Sprintf("%s %d", name, i)
		}
	}
	if b := d.Bridge(); b != nil {
		m["kind"] = "bridge"
		set(m, "stp", resolve(reflect.ValueOf(b.STP().Enabled())))
		set(m, "vlanFiltering", resolve(reflect.ValueOf(b.VLAN().FilteringEnabled())))
		for _, l := range b.Interfaces() {
			n.link(l)["master"] = name
		}
	}
	if b := d.BridgePort(); b != nil {
		m["master"] = b.Master()
	}
	if w := d.WireguardConfig(); w != nil {
		m["kind"] = "wireguard"
		m["wireguard"] = wireguard(methods(reflect.ValueOf(&w).Elem(), nil))
	}
}

// oldBond reads the names of modes as the controller does.
func oldBond(b conf.Bond) any {
	out := methods(reflect.ValueOf(&b).Elem(), func(n string) bool {
		return !strings.Contains(" Interfaces Selectors ARPIPTarget ADActorSystem Primary UseCarrier ", " "+n+" ")
	})
	mode, _ := nethelpers.BondModeByName(b.Mode())
	set(out, "Mode", mode.String())
	return named(out)
}

// named gives the fields of old and new bonds the same names and leaves out defaults.
func named(m map[string]any) map[string]any {
	for old, now := range map[string]string{"XmitHashPolicy": "HashPolicy", "FailOverMAC": "FailOverMac"} {
		if v, ok := m[old]; ok {
			delete(m, old)
			m[now] = v
		}
	}
	for k, v := range m { // the zero values of the controllers' enumerations
		if s, ok := v.(string); ok && strings.Contains(" layer2 slow none any always stable ", " "+s+" ") {
			delete(m, k)
		}
	}
	return m
}

func (n *network) settings(m map[string]any, addresses []string, routes []conf.Route) {
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			a = p.String()
		} else if ip, err := netip.ParseAddr(a); err == nil {
			a = netip.PrefixFrom(ip, ip.BitLen()).String()
		}
		add(m, "addresses", a)
	}
	for _, r := range routes {
		add(m, "routes", route(r.Network(), r.Gateway(), r.Source(), r.Metric(), r.MTU()))
	}
}

func route(network, gateway, source string, metric, mtu uint32) string {
	if metric == 0 {
		metric = 1024
	}
	if strings.HasSuffix(network, "/0") {
		network = "" // the default route, which both forms may leave out
	}
	return fmt.Sprintf("to %s via %s from %s metric %d mtu %d", network, gateway, source, metric, mtu)
}

func (n *network) oldDHCP(link string, on bool, o conf.DHCPOptions) {
	if on && o.IPv4() {
		n.dhcp(link, "dhcp4", o.RouteMetric(), "")
	}
	if on && o.IPv6() {
		n.dhcp(link, "dhcp6", o.RouteMetric(), o.DUIDv6())
	}
}

func (n *network) oldVIP(link string, v conf.VIPConfig) {
	if v == nil || reflect.ValueOf(v).IsNil() {
		return
	}
	token := ""
	if v.HCloud() != nil {
		token = v.HCloud().APIToken()
	}
	if v.EquinixMetal() != nil {
		token = v.EquinixMetal().APIToken()
	}
	n.vip(link, v.IP(), token)
}

func (n *network) document(c conf.NetworkCommonLinkConfig) {
	m := n.link(c.Name())
	if up, ok := c.Up().Get(); ok && !up {
		delete(m, "up")
	}
	set(m, "mtu", number(c.MTU().ValueOr(0)))
	for _, a := range c.Addresses() {
		add(m, "addresses", a.Address().String())
	}
	for _, r := range c.Routes() {
		text := func(a netip.Addr) string {
			if !a.IsValid() {
				return ""
			}
			return a.String()
		}
		destination := ""
		if d, ok := r.Destination().Get(); ok {
			destination = d.String()
		}
		add(m, "routes", route(destination, text(r.Gateway().ValueOrZero()), text(r.Source().ValueOrZero()), r.Metric().ValueOr(0), r.MTU().ValueOr(0)))
	}
	n.special(m, c)
}

func (n *network) special(m map[string]any, c conf.NetworkCommonLinkConfig) {
	switch d := c.(type) {
	case conf.NetworkDummyLinkConfig:
		m["kind"] = "dummy"
	case conf.NetworkVLANConfig:
		m["vlan"] = fmt.Sprintf("%d of %s", d.VLANID(), n.called(d.ParentLink()))
	case conf.NetworkBondConfig:
		m["kind"] = "bond"
		m["bond"] = named(methods(reflect.ValueOf(&d).Elem(), func(name string) bool {
			return !strings.Contains(" Name Up MTU Addresses Routes Multicast HardwareAddress Links UseCarrier Kind APIVersion Clone ", " "+name+" ")
		}))
		for i, l := range d.Links() {
			n.link(l)["master"] = fmt.Sprintf("%s %d", c.Name(), i)
		}
	case conf.NetworkBridgeConfig:
		m["kind"] = "bridge"
		set(m, "stp", resolve(reflect.ValueOf(d.STP().Enabled().ValueOr(false))))
		set(m, "vlanFiltering", resolve(reflect.ValueOf(d.VLAN().FilteringEnabled().ValueOr(false))))
		for _, l := range d.Links() {
			n.link(l)["master"] = c.Name()
		}
	case conf.NetworkWireguardConfig:
		m["kind"] = "wireguard"
		w := methods(reflect.ValueOf(&d).Elem(), func(name string) bool {
			return strings.Contains(" PrivateKey ListenPort FirewallMark Peers ", " "+name+" ")
		})
		m["wireguard"] = wireguard(w)
	}
}

// wireguard gives the one field that documents call otherwise its old name.
func wireguard(m map[string]any) map[string]any {
	peers, _ := m["Peers"].([]any)
	for _, p := range peers {
		peer, _ := p.(map[string]any)
		if v, ok := peer["PersistentKeepalive"]; ok {
			delete(peer, "PersistentKeepalive")
			peer["PersistentKeepaliveInterval"] = v
		}
	}
	return m
}
