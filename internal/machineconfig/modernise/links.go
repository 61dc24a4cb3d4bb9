package modernise

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"go.yaml.in/yaml/v4"
)

// moveInterfaces makes link documents of the old list. What a node does with either was read from Talos' network
// controllers (link_config.go, address_config.go, route_config.go, operator_config.go, operator_vip_config.go).
func moveInterfaces(w *rewriter, f field) {
	rest := sequence()
	for _, n := range items(f.val) {
		if left := w.moveInterface(f, n); left != nil {
			rest.Content = append(rest.Content, left)
		}
	}
	if isDelete(f.val) {
		rest = f.val
	}
	if len(rest.Content) > 0 {
		w.keep(f.path, f.key, rest)
	}
	if len(w.to) > 0 {
		w.note(Hint, f, "with link documents a node asks for DHCP only where a DHCPv4Config says so; before, cards that no patch named asked too")
	}
}

// shortAddresses turns the single address of an interface, which a strict check refuses, into the list.
func (w *rewriter) shortAddresses() {
	for _, n := range items(at(w.old.root, "machine", "network", "interfaces")) {
		for _, link := range append([]*yaml.Node{n}, items(child(n, "vlans"))...) {
			i := index(link, "cidr")
			if i < 0 || child(link, "addresses") != nil {
				continue
			}
			line := link.Content[i].Line
			link.Content[i], link.Content[i+1] = renamed(link.Content[i], "addresses"), sequence(link.Content[i+1])
			w.to = nil
			w.change(field{path: "machine.network.interfaces.cidr", line: line}, "deprecated; addresses is a list", oldestSupported)
		}
	}
}

// device is one old interface on its way out.
type device struct {
	w    *rewriter
	f    field
	n    *yaml.Node
	name string
	left *yaml.Node // what has no document and stays
}

// moveInterface gives back what must stay as it was.
func (w *rewriter) moveInterface(f field, n *yaml.Node) *yaml.Node {
	if isDelete(n) || n.Kind != yaml.MappingNode || w.mustStay(f, n) {
		return n
	}
	f.line = n.Line
	d := &device{w: w, f: f, n: n, name: value(n, "interface")}
	before := len(w.fresh)
	if selector := child(n, "deviceSelector"); selector != nil && d.name == "" {
		alias, ok := w.alias(f, selector)
		if !ok {
			return n
		}
		d.name = alias
	}
	d.main()
	d.dhcp(d.name, n)
	d.vip(d.name, n)
	for _, v := range items(child(n, "vlans")) {
		d.vlan(v)
	}
	if port := value(child(n, "bridgePort"), "master"); port != "" {
		w.doc("BridgeConfig", port, everyone).set(nil, sequence(scalar(d.name)), "links")
	}
	if len(w.fresh) > before {
		w.fresh[before].comment(n, f)
	}
	return d.left
}

// mustStay says whether an interface has something no document can say.
func (w *rewriter) mustStay(f field, n *yaml.Node) bool {
	f.line = n.Line
	if yes, _ := isTrue(child(n, "ignore")); yes {
		w.note(Hint, f, "an interface to be ignored has no document; it stays as it is")
		return true
	}
	if value(child(n, "bond"), "primary") != "" {
		w.note(ByHand, f, "a bond's primary has no counterpart; the interface stays as it is")
		return true
	}
	for _, at := range append([]*yaml.Node{n}, items(child(n, "vlans"))...) {
		if child(child(at, "vip"), "equinixMetal") != nil {
			w.note(ByHand, f, "an Equinix Metal address has no counterpart; the interface stays as it is")
			return true
		}
	}
	for _, at := range append([]*yaml.Node{n}, items(child(n, "vlans"))...) {
		if slices.ContainsFunc(items(child(at, "routes")), unspoken) {
			w.note(ByHand, f, "a route has a destination that a document cannot name; the interface stays as it is")
			return true
		}
	}
	if l := items(child(child(n, "bond"), "deviceSelectors")); len(l) > 1 {
		w.note(ByHand, f, "a bond of several selectors: make a LinkAliasConfig of each; the interface stays as it is")
		return true
	}
	return false
}

// unspoken says whether the destination of a route cannot be written: documents leave out that of a default route, and
// take no other that begins with zeros.
func unspoken(r *yaml.Node) bool {
	p, err := netip.ParsePrefix(value(r, "network"))
	if err != nil || !p.Addr().IsUnspecified() {
		return false
	}
	return p.Bits() > 0 || p.Addr().Is6() && value(r, "gateway") == ""
}

// main writes the link itself.
func (d *device) main() {
	kind := "LinkConfig"
	yes, _ := isTrue(child(d.n, "dummy"))
	switch {
	case child(d.n, "bond") != nil:
		kind = "BondConfig"
	case child(d.n, "bridge") != nil:
		kind = "BridgeConfig"
	case child(d.n, "wireguard") != nil:
		kind = "WireguardConfig"
	case yes:
		kind = "DummyLinkConfig"
	}
	dhcp, _ := isTrue(child(d.n, "dhcp"))
	settings := []string{"mtu", "addresses", "routes"}
	plain := !slices.ContainsFunc(settings, func(s string) bool { return child(d.n, s) != nil })
	if kind == "LinkConfig" && plain && dhcp && d.wantsDHCP(d.n) {
		return // the DHCP document brings the link up
	}
	doc := d.w.doc(kind, d.name, everyone)
	switch kind {
	case "BondConfig":
		d.bond(doc, child(d.n, "bond"))
	case "BridgeConfig":
		d.bridge(doc, child(d.n, "bridge"))
	case "WireguardConfig":
		d.wireguard(doc, child(d.n, "wireguard"))
	}
	d.common(doc, d.n)
}

// common writes what all links have.
func (d *device) common(doc *document, n *yaml.Node) {
	for _, p := range pairs(n) {
		switch p[0].Value {
		case "mtu":
			if p[1].Value != "0" {
				doc.set(p[0], p[1], "mtu")
			}
		case "addresses":
			list := sequence()
			for _, a := range items(p[1]) {
				entry := mapping(scalar("address"), d.address(a))
				entry.HeadComment, entry.Content[1].HeadComment = a.HeadComment, ""
				list.Content = append(list.Content, entry)
			}
			if len(list.Content) > 0 {
				doc.set(p[0], list, "addresses")
			}
		case "routes":
			d.routes(doc, p)
		}
	}
}

// address adds the prefix length that one without means.
func (d *device) address(n *yaml.Node) *yaml.Node {
	if strings.Contains(n.Value, "/") {
		return n
	}
	text := n.Value
	if d.w.vars.has(text) {
		text = sample(d.w.vars.show(text), d.w.o.Variables)
		if strings.Contains(text, "/") {
			return n
		}
	}
	bits := "/32"
	if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
		bits = "/128"
	}
	return keepLine(changedTo(n, n.Value+bits), n)
}

func (d *device) routes(doc *document, p [2]*yaml.Node) {
	list := sequence()
	for _, r := range items(p[1]) {
		route := mapping()
		route.HeadComment = r.HeadComment
		for _, f := range pairs(r) {
			name := f[0].Value
			if name == "network" {
				name = "destination"
				if strings.HasSuffix(f[1].Value, "/0") {
					continue // the document leaves out the destination of a default route
				}
			}
			if f[1].Value != "" {
				put(route, renamed(f[0], name), f[1])
			}
		}
		list.Content = append(list.Content, route)
	}
	if len(list.Content) > 0 {
		doc.set(p[0], list, "routes")
	}
}

// wantsDHCP says whether options leave DHCP for IPv4 on.
func (d *device) wantsDHCP(n *yaml.Node) bool {
	yes, known := isTrue(child(child(n, "dhcpOptions"), "ipv4"))
	return yes || !known
}

func (d *device) dhcp(link string, n *yaml.Node) {
	key, on := scalar("dhcp"), child(n, "dhcp")
	if i := index(n, "dhcp"); i >= 0 {
		key = n.Content[i]
	}
	yes, known := isTrue(on)
	if on != nil && !known {
		d.w.note(ByHand, d.f, "whether %s asks for DHCP is a variable: a node asks where there is a DHCPv4Config", link)
	}
	if !yes {
		return
	}
	options := child(n, "dhcpOptions")
	metric := child(options, "routeMetric")
	if metric != nil && metric.Value == "0" {
		metric = nil
	}
	if d.wantsDHCP(n) {
		doc := d.w.doc("DHCPv4Config", link, everyone)
		doc.root.Content[0].HeadComment = joinComments(doc.root.Content[0].HeadComment, joinComments(key.HeadComment, on.LineComment))
		doc.set(nil, scalar("none"), "clientIdentifier") // what the older form sends; the document's default is the MAC address
		if metric != nil {
			doc.set(nil, metric, "routeMetric")
		}
	}
	if six, _ := isTrue(child(options, "ipv6")); six {
		d.dhcp6(link, options, metric)
	}
}

func (d *device) dhcp6(link string, options, metric *yaml.Node) {
	doc := d.w.doc("DHCPv6Config", link, everyone)
	if metric != nil {
		doc.set(nil, clone(metric), "routeMetric")
	}
	duid := value(options, "duidv6")
	if duid == "" {
		doc.set(nil, scalar("none"), "clientIdentifier")
		return
	}
	if raw, err := hex.DecodeString(duid); err == nil { // the document wants colons
		parts := make([]string, len(raw))
		for i, b := range raw {
			parts[i] = fmt.Sprintf("%02x", b)
		}
		duid = strings.Join(parts, ":")
	}
	doc.set(nil, scalar("duid"), "clientIdentifier")
	doc.set(nil, scalar(duid), "duidRaw")
}

// vip is the shared address, which only control planes may have.
func (d *device) vip(link string, n *yaml.Node) {
	v := child(n, "vip")
	ip := value(v, "ip")
	if ip == "" {
		return
	}
	kind := "Layer2VIPConfig"
	token := child(child(v, "hcloud"), "apiToken")
	if token != nil {
		kind = "HCloudVIPConfig"
	}
	doc := d.w.doc(kind, ip, controlPlanes)
	doc.set(nil, scalar(link), "link")
	if token != nil {
		doc.set(nil, token, "apiToken")
	}
}

func (d *device) vlan(v *yaml.Node) {
	id := value(v, "vlanId")
	name := d.vlanName(id)
	doc := d.w.doc("VLANConfig", name, everyone)
	doc.comment(v, field{key: scalar(""), val: child(d.n, "vlans")})
	if i := index(v, "vlanId"); i >= 0 {
		doc.set(v.Content[i], v.Content[i+1], "vlanID")
	}
	doc.set(nil, scalar(d.name), "parent")
	d.common(doc, v)
	d.dhcp(name, v)
	d.vip(name, v)
}

// vlanName is the name Talos gave to the VLAN's link, so that it stays.
func (d *device) vlanName(id string) string {
	if n, err := strconv.ParseUint(id, 10, 16); err == nil && !d.w.vars.has(d.name) {
		return nethelpers.VLANLinkName(d.name, uint16(n))
	}
	if len(d.name) <= 10 || d.w.vars.has(d.name) {
		return d.name + "." + id
	}
	named := nethelpers.VLANLinkName(d.name, 0)
	return strings.TrimSuffix(named, "0") + id
}

func (d *device) bridge(doc *document, n *yaml.Node) {
	for _, p := range pairs(n) {
		switch p[0].Value {
		case "interfaces":
			doc.set(p[0], p[1], "links")
		case "stp":
			doc.set(p[0], p[1], "stp")
		case "vlan":
			if i := index(p[1], "vlanFiltering"); i >= 0 {
				doc.set(p[1].Content[i], p[1].Content[i+1], "vlan", "filtering")
			}
		}
	}
}

// bond renames the few fields that are called otherwise. useCarrier never had an effect.
func (d *device) bond(doc *document, n *yaml.Node) {
	names := map[string]string{
		"interfaces": "links", "mode": "bondMode", "resendIgmp": "resendIGMP", "tlbDynamicLb": "tlbLogicalLb",
		"peerNotifyDelay": "peerNotifDelay",
	}
	for _, p := range pairs(n) {
		name := p[0].Value
		switch {
		case name == "arpIPTarget" || name == "adActorSystem":
			continue // Talos refuses them
		case name == "deviceSelectors":
			d.bondSelector(doc, p)
			continue
		case names[name] != "":
			name = names[name]
		}
		doc.set(p[0], p[1], name)
	}
}

// bondSelector makes aliases of all cards that a bond's selector finds.
func (d *device) bondSelector(doc *document, p [2]*yaml.Node) {
	for _, s := range items(p[1]) {
		match, ok := d.w.linkMatch(d.f, s)
		if !ok {
			continue
		}
		named := d.w.aliasName()
		alias := d.w.doc("LinkAliasConfig", named, everyone)
		alias.set(nil, scalar(match), "selector", "match")
		doc.set(p[0], sequence(scalar(named)), "links")
		d.w.note(ByHand, d.f, "a LinkAliasConfig matches one card: where the selector of bond %s found several, name each and list them in links", d.name)
	}
}

func (d *device) wireguard(doc *document, n *yaml.Node) {
	for _, p := range pairs(n) {
		if p[0].Value == "peers" || p[1].Value != "0" {
			doc.set(p[0], p[1], p[0].Value)
		}
	}
}
