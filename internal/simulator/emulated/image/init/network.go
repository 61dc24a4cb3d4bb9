package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

// platformConfig is what this init understands of Talos' MetalNetworkPlatformConfig
// (talos pkg/machinery/resources/network and internal/app/machined/pkg/runtime.PlatformNetworkConfig).
type platformConfig struct {
	Addresses []struct {
		Address  netip.Prefix `yaml:"address"`
		LinkName string       `yaml:"linkName"`
	} `yaml:"addresses"`
	Links []struct {
		Name    string `yaml:"name"`
		Logical bool   `yaml:"logical"`
		Up      bool   `yaml:"up"`
		MTU     uint32 `yaml:"mtu"`
	} `yaml:"links"`
	Routes []struct {
		Destination string     `yaml:"dst"`
		Gateway     netip.Addr `yaml:"gateway"`
		OutLinkName string     `yaml:"outLinkName"`
		Flags       string     `yaml:"flags"`
	} `yaml:"routes"`
	Hostnames []struct {
		Hostname string `yaml:"hostname"`
	} `yaml:"hostnames"`
	Resolvers []struct {
		DNSServers []string `yaml:"dnsServers"`
	} `yaml:"resolvers"`
}

// asIfByDHCP is what the emulated network hands out (QEMU's user network).
const asIfByDHCP = `
addresses: [{address: 10.0.2.15/24}]
routes: [{gateway: 10.0.2.2}]
resolvers: [{dnsServers: [10.0.2.3]}]
`

// configureNetwork applies META's network config, or else what DHCP would say.
func (m *machine) configureNetwork() error {
	text, from := m.meta[keyNetwork], "META"
	if text == "" {
		text, from = asIfByDHCP, "DHCP"
	}
	var c platformConfig
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("network config of %s: %w", from, err)
	}
	for _, l := range c.Links {
		if l.Logical {
			return fmt.Errorf("network config of %s: this init knows no logical links, as %s is", from, l.Name)
		}
	}
	if err := m.apply(c); err != nil {
		return fmt.Errorf("network config of %s: %w", from, err)
	}
	shown := map[string]string{"from": from}
	for i, a := range c.Addresses {
		shown[fmt.Sprintf("address%d", i)] = strings.TrimSpace(a.LinkName + " " + a.Address.String())
	}
	for i, r := range c.Routes {
		shown[fmt.Sprintf("route%d", i)] = strings.TrimSpace(r.OutLinkName + " " + r.Destination + " via " + r.Gateway.String())
	}
	m.say(console.Event{Name: console.Network, Values: shown})
	return nil
}

// apply sets links, addresses and routes. There is no udev here, so that a link has its kernel's name: any name of Talos'
// means the only card there is, unless it contains another card's address.
func (m *machine) apply(c platformConfig) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := link(s, 1); err != nil {
		return err
	}
	if err := link(s, m.nic.Index); err != nil {
		return err
	}
	if err := m.carrier(); err != nil {
		return err
	}
	for _, a := range c.Addresses {
		if err := m.mine(a.LinkName); err != nil {
			return err
		}
		if err := address(s, m.nic.Index, a.Address); err != nil {
			return fmt.Errorf("address %s: %w", a.Address, err)
		}
	}
	for _, r := range c.Routes {
		if err := m.mine(r.OutLinkName); err != nil {
			return err
		}
		if err := route(s, m.nic.Index, r.Destination, r.Gateway, strings.Contains(r.Flags, "onlink")); err != nil {
			return fmt.Errorf("route to %q via %s: %w", r.Destination, r.Gateway, err)
		}
	}
	for _, h := range c.Hostnames {
		if err := unix.Sethostname([]byte(h.Hostname)); err != nil {
			return fmt.Errorf("hostname %q: %w", h.Hostname, err)
		}
	}
	var servers bytes.Buffer
	for _, r := range c.Resolvers {
		for _, d := range r.DNSServers {
			fmt.Fprintln(&servers, "nameserver", d)
		}
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	return os.WriteFile("/etc/resolv.conf", servers.Bytes(), 0o600)
}

// mine refuses the name of a link that says to be another card: "enx" and its address is one of Talos' names for links.
func (m *machine) mine(name string) error {
	digits, ok := strings.CutPrefix(name, "enx")
	if own := strings.ReplaceAll(m.nic.HardwareAddr.String(), ":", ""); ok && digits != own {
		return fmt.Errorf("there is no link %s: the card's address is %s", name, own)
	}
	return nil
}

// carrier waits until the card has a link.
func (m *machine) carrier() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		nic, err := net.InterfaceByIndex(m.nic.Index)
		if err != nil {
			return err
		}
		if nic.Flags&net.FlagRunning != 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has no link", nic.Name)
		}
	}
}

// link brings a link up.
func link(s, index int) error {
	var b bytes.Buffer
	put(&b, unix.IfInfomsg{Index: int32(index), Flags: unix.IFF_UP, Change: unix.IFF_UP})
	return request(s, unix.RTM_NEWLINK, 0, b.Bytes())
}

func address(s, index int, p netip.Prefix) error {
	ip := p.Addr().AsSlice()
	var b bytes.Buffer
	put(&b, unix.IfAddrmsg{Family: family(p.Addr()), Prefixlen: uint8(p.Bits()), Flags: unix.IFA_F_NODAD, Index: uint32(index)})
	attribute(&b, unix.IFA_LOCAL, ip)
	attribute(&b, unix.IFA_ADDRESS, ip)
	return request(s, unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b.Bytes())
}

// route adds a route; an empty destination is the default one. A gateway that no address or route before reaches is refused by
// the kernel, unless it is said to be on the link.
func route(s, index int, destination string, gateway netip.Addr, onLink bool) error {
	m := unix.RtMsg{Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, Family: unix.AF_INET, Scope: unix.RT_SCOPE_LINK}
	var tail bytes.Buffer
	if destination != "" {
		p, err := netip.ParsePrefix(destination)
		if err != nil {
			return err
		}
		m.Family, m.Dst_len = family(p.Addr()), uint8(p.Bits())
		attribute(&tail, unix.RTA_DST, p.Masked().Addr().AsSlice())
	}
	if gateway.IsValid() {
		m.Family, m.Scope = family(gateway), unix.RT_SCOPE_UNIVERSE
		if onLink {
			m.Flags = unix.RTNH_F_ONLINK
		}
		attribute(&tail, unix.RTA_GATEWAY, gateway.AsSlice())
	}
	attribute(&tail, unix.RTA_OIF, binary.LittleEndian.AppendUint32(nil, uint32(index)))
	var b bytes.Buffer
	put(&b, m)
	b.Write(tail.Bytes())
	return request(s, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b.Bytes())
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) } // fixed sizes into memory: it cannot fail

func attribute(b *bytes.Buffer, kind uint16, value []byte) {
	put(b, unix.RtAttr{Len: uint16(unix.SizeofRtAttr + len(value)), Type: kind})
	b.Write(value)
	b.Write(make([]byte, -len(value)&3))
}

// request sends one request over netlink and reads the answer.
func request(s int, kind, flags uint16, body []byte) error {
	var b bytes.Buffer
	put(&b, unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | flags, Seq: 1})
	b.Write(body)
	if err := unix.Sendto(s, b.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("netlink answered with %d bytes", n)
	}
	if code := int32(binary.LittleEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
