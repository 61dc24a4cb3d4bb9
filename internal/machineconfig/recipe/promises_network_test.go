package recipe

import (
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

func networkPromises() []promise {
	return []promise{
		{"kubespan", "as on a vSwitch", nil, func(k kept) {
			c := k.NetworkKubeSpanConfig()
			k.want(c != nil && c.Enabled() && c.AdvertiseKubernetesNetworks() && c.MTU() == 1320 && c.ForceRouting(), "KubeSpan %v", c)
			//lint:ignore SA1019 that it is not there is the point
			k.want(k.minor < 13 || k.RawV1Alpha1().MachineConfig.MachineNetwork == nil || k.RawV1Alpha1().MachineConfig.MachineNetwork.NetworkKubeSpan == nil, "it is in both places")
		}},
		{"kubespan", "with everything", Params{"mtu": "1420", "advertise_kubernetes_networks": "no", "allow_down_peer_bypass": true, "endpoint_filters": "0.0.0.0/0,!192.168.0.0/16"}, func(k kept) {
			c := k.NetworkKubeSpanConfig()
			k.want(c.Enabled() && !c.AdvertiseKubernetesNetworks() && c.MTU() == 1420 && !c.ForceRouting(), "KubeSpan %v", c)
			k.want(slices.Equal(c.Filters().Endpoints(), []string{"0.0.0.0/0", "!192.168.0.0/16"}), "filters %v", c.Filters().Endpoints())
		}},
		{"vswitch-vlan", "by name", Params{"interface": "eth0", "routes": "10.0.0.0/16=10.0.1.254"}, func(k kept) { k.vlan("eth0", "eth0.4000", true) }},
		{"vswitch-vlan", "by a long name", Params{"interface": "enp193s0f0np0", "routes": "10.0.0.0/16=10.0.1.254"}, func(k kept) { k.vlan("enp193s0f0np0", "vlan4000", true) }},
		{"vswitch-vlan", "by MAC, static beside it", Params{"dhcp": false, "routes": "10.0.0.0/16=10.0.1.254"}, func(k kept) { k.vlan("", "vlan4000", false) }},
		{"static-address", "by name", Params{"interface": "eth0", "ipv6": "${public_ipv6}/64", "nameservers": "185.12.64.1"}, func(k kept) { k.static("eth0") }},
		{"static-address", "by MAC", Params{"ipv6": "2001:db8:1:2::2/64"}, func(k kept) { k.static("") }},
		{"static-address", "IPv4 only", Params{"interface": "eth0"}, func(k kept) {
			if k.minor >= 12 {
				k.want(len(k.link("eth0").Addresses()) == 1 && len(k.link("eth0").Routes()) == 2, "link %v", k.link("eth0"))
				return
			}
			k.want(len(k.Machine().Network().Devices()[0].Addresses()) == 1 && len(k.Machine().Network().Devices()[0].Routes()) == 2, "device %v", k.Machine().Network().Devices()[0])
		}},
	}
}

func (k kept) link(name string) config.NetworkCommonLinkConfig {
	k.Helper()
	for _, l := range k.NetworkCommonLinkConfigs() {
		if l.Name() == name {
			return l
		}
	}
	k.Fatalf("no link %s", name)
	return nil
}

// chosenByMAC says that the card is chosen by its address.
func (k kept) chosenByMAC() {
	k.Helper()
	aliases := k.NetworkLinkAliasConfigs()
	if len(aliases) != 1 || aliases[0].Name() != "uplink" {
		k.Fatalf("aliases %v", aliases)
	}
	k.selects(aliases[0].LinkSelector().MarshalText, `mac(link.permanent_addr) == "0c:9d:92:11:22:33"`)
}

func (k kept) vlan(card, name string, dhcp bool) {
	k.Helper()
	if k.minor < 12 {
		devices := k.Machine().Network().Devices()
		if len(devices) != 1 || len(devices[0].Vlans()) != 1 {
			k.Fatalf("devices %v", devices)
		}
		d, v := devices[0], devices[0].Vlans()[0]
		k.want(d.Interface() == card && d.DHCP() == dhcp, "device %q, DHCP %v", d.Interface(), d.DHCP())
		k.want(card != "" || d.Selector().HardwareAddress() == "0c:9d:92:11:22:33", "selector %v", d.Selector())
		k.want(v.ID() == 4000 && v.MTU() == 1400 && slices.Equal(v.Addresses(), []string{"10.0.1.1/21"}), "VLAN %v", v)
		k.want(len(v.Routes()) == 1 && v.Routes()[0].Network() == "10.0.0.0/16" && v.Routes()[0].Gateway() == "10.0.1.254", "routes %v", v.Routes())
		return
	}
	parent := card
	if card == "" {
		parent = "uplink"
		k.chosenByMAC()
	}
	v, ok := k.link(name).(config.NetworkVLANConfig)
	if !ok {
		k.Fatalf("%s is no VLAN", name)
	}
	k.want(v.VLANID() == 4000 && v.ParentLink() == parent && v.MTU().ValueOrZero() == 1400, "VLAN %v", v)
	k.want(len(v.Addresses()) == 1 && v.Addresses()[0].Address().String() == "10.0.1.1/21", "addresses %v", v.Addresses())
	k.want(len(v.Routes()) == 1 && v.Routes()[0].Gateway().ValueOrZero().String() == "10.0.1.254", "routes %v", v.Routes())
	k.want((len(k.NetworkDHCPv4Configs()) == 1) == dhcp, "DHCP %v", k.NetworkDHCPv4Configs())
}

func (k kept) static(card string) {
	k.Helper()
	if k.minor < 12 {
		d := k.Machine().Network().Devices()[0]
		k.want(d.Interface() == card && !d.DHCP() && d.MTU() == 1500, "device %q", d.Interface())
		k.want(card != "" || d.Selector().HardwareAddress() == "0c:9d:92:11:22:33", "selector %v", d.Selector())
		k.want(slices.Equal(d.Addresses(), []string{"203.0.113.7/32", "2001:db8:1:2::2/64"}), "addresses %v", d.Addresses())
		var routes []string
		for _, r := range d.Routes() {
			routes = append(routes, r.Network()+" via "+r.Gateway())
		}
		k.want(slices.Equal(routes, []string{"203.0.113.1/32 via ", "0.0.0.0/0 via 203.0.113.1", "::/0 via fe80::1"}), "routes %v", routes)
		return
	}
	name := card
	if card == "" {
		name = "uplink"
		k.chosenByMAC()
	} else {
		k.want(len(k.NetworkResolverConfig().Resolvers()) == 1 && k.NetworkResolverConfig().Resolvers()[0].Addr.String() == "185.12.64.1", "resolvers %v", k.NetworkResolverConfig().Resolvers())
	}
	var addresses, routes []string
	for _, a := range k.link(name).Addresses() {
		addresses = append(addresses, a.Address().String())
	}
	for _, r := range k.link(name).Routes() {
		to, gateway := r.Destination().ValueOrZero(), r.Gateway().ValueOrZero()
		routes = append(routes, strings.ReplaceAll(to.String()+" via "+gateway.String(), "invalid Prefix", "default"))
	}
	k.want(k.link(name).MTU().ValueOrZero() == 1500, "MTU %v", k.link(name).MTU())
	k.want(slices.Equal(addresses, []string{"203.0.113.7/32", "2001:db8:1:2::2/64"}), "addresses %v", addresses)
	k.want(slices.Equal(routes, []string{"203.0.113.1/32 via invalid IP", "default via 203.0.113.1", "default via fe80::1"}), "routes %v", routes)
	k.want(len(k.NetworkDHCPConfigs()) == 0, "DHCP %v", k.NetworkDHCPConfigs())
	k.want(k.minor < 14 || k.NetworkHostDNSConfig().HostDNSEnabled(), "the cache for DNS was lost")
}
