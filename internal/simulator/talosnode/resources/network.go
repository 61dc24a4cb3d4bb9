package resources

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
)

// loopback is the index of lo; the first real link is the next.
const loopback = 1

func (v View) network(w *wanted) {
	v.links(w)
	v.addresses(w)
	v.routes(w)
	v.names(w)
	w.add("network.StatusController", with(network.NewStatus(network.NamespaceName, network.StatusID), network.StatusSpec{
		AddressReady: v.Network.AddressReady, ConnectivityReady: v.Network.ConnectivityReady,
		HostnameReady: v.Network.HostnameReady, EtcFilesReady: v.Network.EtcFilesReady,
	}))
}

func (v View) links(w *wanted) {
	none := make(nethelpers.HardwareAddr, 6)
	w.add("network.LinkStatusController", with(network.NewLinkStatus(network.NamespaceName, "lo"), network.LinkStatusSpec{
		Index: loopback, Type: nethelpers.LinkLoopbck, MTU: 65536, QueueDisc: "noqueue",
		Flags:        nethelpers.LinkFlags(nethelpers.LinkUp | nethelpers.LinkLoopback | nethelpers.LinkRunning | nethelpers.LinkLowerUp),
		HardwareAddr: none, BroadcastAddr: none, LinkState: true,
		OperationalState: nethelpers.OperStateUnknown, Port: nethelpers.Other, Duplex: nethelpers.Unknown,
	}))
	for i, l := range v.Network.Links {
		w.add("network.LinkStatusController", with(network.NewLinkStatus(network.NamespaceName, l.Name), v.link(i, l)))
		if l.Kind != "" {
			continue
		}
		up := !l.Down
		w.add("network.EthernetStatusController", with(network.NewEthernetStatus(network.NamespaceName, l.Name),
			network.EthernetStatusSpec{LinkState: &up, SpeedMegabits: l.speed(), Port: nethelpers.TwistedPair, Duplex: nethelpers.Full}))
	}
	if i := v.physical(); i >= 0 {
		l := v.Network.Links[i]
		w.add("network.HardwareAddrController", with(network.NewHardwareAddr(network.NamespaceName, network.FirstHardwareAddr),
			network.HardwareAddrSpec{Name: l.Name, HardwareAddr: mac(l.MAC)}))
	}
}

// physical is the first link that is hardware.
func (v View) physical() int {
	for i, l := range v.Network.Links {
		if l.Kind == "" {
			return i
		}
	}
	return -1
}

func (v View) link(i int, l Link) network.LinkStatusSpec {
	s := network.LinkStatusSpec{
		Alias: l.Alias, Index: v.index(l.Name), Type: nethelpers.LinkEther, Kind: l.Kind, MTU: l.MTU,
		HardwareAddr: mac(l.MAC), BroadcastAddr: mac("ff:ff:ff:ff:ff:ff"), QueueDisc: "mq", LinkState: !l.Down,
		Flags:            nethelpers.LinkFlags(nethelpers.LinkUp | nethelpers.LinkBroadcast | nethelpers.LinkRunning | nethelpers.LinkMulticast | nethelpers.LinkLowerUp),
		OperationalState: nethelpers.OperStateUp, Port: nethelpers.TwistedPair, Duplex: nethelpers.Full, SpeedMegabits: l.speed(),
	}
	if l.Down {
		s.Flags = nethelpers.LinkFlags(nethelpers.LinkBroadcast | nethelpers.LinkMulticast)
		s.OperationalState, s.SpeedMegabits = nethelpers.OperStateDown, 0
	}
	if s.MTU == 0 {
		s.MTU = 1500
	}
	switch l.Kind {
	case "":
		s.PermanentAddr, s.Driver, s.BusPath = mac(l.MAC), l.Driver, fmt.Sprintf("0000:%02d:00.0", i+1)
	case "vlan":
		s.LinkIndex, s.QueueDisc = v.index(l.Parent), "noqueue"
		s.VLAN = network.VLANSpec{VID: l.VLAN, Protocol: nethelpers.VLANProtocol8021Q}
	case "wireguard":
		s.Type, s.QueueDisc, s.SpeedMegabits = nethelpers.LinkNone, "noqueue", 0
		s.HardwareAddr, s.BroadcastAddr = nil, nil
	}
	return s
}

func (l Link) speed() int {
	if l.Speed == 0 {
		return 1000
	}
	return l.Speed
}

// index of a link, as the kernel counts them: lo is 1.
func (v View) index(name string) uint32 {
	for i, l := range v.Network.Links {
		if l.Name == name {
			return uint32(i) + loopback + 1
		}
	}
	return loopback
}

func mac(s string) nethelpers.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		return nil
	}
	return nethelpers.HardwareAddr(m)
}

func family(a netip.Addr) nethelpers.Family {
	if a.Is4() {
		return nethelpers.FamilyInet4
	}
	return nethelpers.FamilyInet6
}

func scope(a netip.Addr) nethelpers.Scope {
	switch {
	case a == netip.MustParseAddr("127.0.0.1"), a == netip.IPv6Loopback(), a == hostDNS():
		return nethelpers.ScopeHost
	case a.IsLinkLocalUnicast():
		return nethelpers.ScopeLink
	}
	return nethelpers.ScopeGlobal
}

func (v View) addresses(w *wanted) {
	all := append([]Address{
		{"lo", netip.MustParsePrefix("127.0.0.1/8")}, {"lo", netip.MustParsePrefix("::1/128")},
	}, v.Network.Addresses...)
	if v.configured() {
		all = append(all, Address{"lo", netip.PrefixFrom(hostDNS(), 32)})
	}
	for _, a := range all {
		w.add("network.AddressStatusController",
			with(network.NewAddressStatus(network.NamespaceName, network.AddressID(a.Link, a.Prefix)), network.AddressStatusSpec{
				Address: a.Prefix, LinkIndex: v.index(a.Link), LinkName: a.Link, Family: family(a.Prefix.Addr()),
				Scope: scope(a.Prefix.Addr()), Flags: nethelpers.AddressFlags(nethelpers.AddressPermanent),
			}))
	}
	w.add("network.NodeAddressSortAlgorithmController",
		with(network.NewNodeAddressSortAlgorithm(network.NamespaceName, network.NodeAddressSortAlgorithmID),
			network.NodeAddressSortAlgorithmSpec{Algorithm: nethelpers.AddressSortAlgorithmV1}))
	v.nodeAddresses(w)
}

// nodeAddresses are the sets of addresses that other parts of Talos choose from: default is the first, the others
// all; with a cluster each exists once more without and once only with Kubernetes' own subnets.
func (v View) nodeAddresses(w *wanted) {
	all := v.global()
	if len(all) == 0 {
		return
	}
	add := func(id string, p []netip.Prefix) {
		w.add("network.NodeAddressController", with(network.NewNodeAddress(network.NamespaceName, id),
			network.NodeAddressSpec{Addresses: p, SortAlgorithm: nethelpers.AddressSortAlgorithmV1}))
	}
	add(network.NodeAddressDefaultID, all[:1])
	for _, id := range []string{network.NodeAddressCurrentID, network.NodeAddressAccumulativeID, network.NodeAddressRoutedID} {
		add(id, all)
		if v.Nodename != "" {
			add(id+"-no-k8s", all)
			add(id+"-only-k8s", []netip.Prefix{})
		}
	}
}

// global addresses of the node with their prefixes, in the order of the view.
func (v View) global() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range v.Network.Addresses {
		if scope(a.Prefix.Addr()) == nethelpers.ScopeGlobal {
			all = append(all, a.Prefix)
		}
	}
	return all
}

// bare are the global addresses without their prefixes.
func (v View) bare() []netip.Addr {
	out := []netip.Addr{}
	for _, p := range v.global() {
		out = append(out, p.Addr())
	}
	return out
}

func (v View) routes(w *wanted) {
	add := func(r network.RouteStatusSpec) {
		r.OutLinkIndex, r.Type = v.index(r.OutLinkName), nethelpers.TypeUnicast
		r.Table = nethelpers.TableMain
		w.add("network.RouteStatusController", with(network.NewRouteStatus(network.NamespaceName,
			network.RouteID(r.Table, r.Family, r.Destination, r.Gateway, r.Priority, r.OutLinkName)), r))
	}
	seen := map[netip.Prefix]bool{}
	for _, a := range v.Network.Addresses {
		if net := a.Prefix.Masked(); !a.Prefix.IsSingleIP() && !seen[net] {
			seen[net] = true
			r := network.RouteStatusSpec{
				Family: family(net.Addr()), Destination: net, OutLinkName: a.Link,
				Protocol: nethelpers.ProtocolKernel, Scope: nethelpers.ScopeLink, Source: a.Prefix.Addr(),
			}
			if net.Addr().Is6() {
				r.Scope, r.Priority, r.Source = nethelpers.ScopeGlobal, 256, netip.Addr{}
			}
			add(r)
		}
	}
	for _, g := range v.Network.Gateways {
		metric := g.Metric
		if metric == 0 {
			metric = network.DefaultRouteMetric
		}
		via := nethelpers.FamilyInet4
		if g.Via.Is6() {
			via = nethelpers.FamilyInet6
		}
		add(network.RouteStatusSpec{
			Family: via, Gateway: g.Via, OutLinkName: g.Link, Priority: metric,
			Protocol: nethelpers.ProtocolStatic, Scope: nethelpers.ScopeGlobal,
		})
	}
}

// names: hostname, resolvers, time servers, platform.
func (v View) names(w *wanted) {
	if v.Hostname != "" {
		w.add("network.HostnameSpecController", with(network.NewHostnameStatus(network.NamespaceName, network.HostnameID),
			network.HostnameStatusSpec{Hostname: v.Hostname, Domainname: v.Domainname}))
	}
	w.add("network.ResolverSpecController", with(network.NewResolverStatus(network.NamespaceName, network.ResolverID),
		network.ResolverStatusSpec{DNSServers: filled(v.Network.Resolvers), SearchDomains: []string{}}))
	w.add("network.TimeServerSpecController", with(network.NewTimeServerStatus(network.NamespaceName, network.TimeServerID),
		network.TimeServerStatusSpec{NTPServers: v.timeServers()}))
	metadata := v.Platform.spec()
	w.add("network.PlatformConfigController", with(network.NewPlatformConfig(network.NamespaceName, network.PlatformConfigActiveID),
		network.PlatformConfigSpec{
			Addresses: []network.AddressSpecSpec{}, Links: []network.LinkSpecSpec{}, Routes: []network.RouteSpecSpec{},
			Hostnames: []network.HostnameSpecSpec{}, Resolvers: []network.ResolverSpecSpec{},
			TimeServers: []network.TimeServerSpecSpec{}, Operators: []network.OperatorSpecSpec{},
			ExternalIPs: []netip.Addr{}, Metadata: &metadata,
		}))
	w.add("network.PlatformConfigApplyController",
		with(runtime.NewPlatformMetadataSpec(runtime.NamespaceName, runtime.PlatformMetadataID), metadata))
	dns := network.HostDNSConfigSpec{Enabled: v.configured(), ListenAddresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.53:53")}}
	if v.configured() {
		dns.ListenAddresses = append(dns.ListenAddresses, netip.AddrPortFrom(hostDNS(), 53))
	}
	w.add("network.HostDNSConfigController", with(network.NewHostDNSConfig(network.HostDNSConfigID), dns))
}

func (p Platform) spec() runtime.PlatformMetadataSpec {
	return runtime.PlatformMetadataSpec{
		Platform: p.Name, Hostname: p.Hostname, Region: p.Region, Zone: p.Zone,
		InstanceType: p.InstanceType, InstanceID: p.InstanceID, ProviderID: p.ProviderID,
	}
}

// filled gives an empty list instead of none: YAML shows [] as a real node does.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
