package manage

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Proposal is what a server could be in a cluster.
type Proposal struct {
	Role      fleet.Role
	Hostname  string // one that no other node of the cluster has
	PrivateIP string // free in the cluster's private network; "" if it has none, or none is left
}

// Propose says what servers could be in a cluster that has these members: what they are there already; else the role
// that their name suggests, with a control plane among them if the cluster has none, a name and an address that are free.
// Nothing of it is checked or kept: Assign does that.
func Propose(c fleet.Cluster, members, servers []fleet.Server) []Proposal {
	names, addresses, planes := map[string]bool{}, map[netip.Addr]bool{}, 0
	take := func(hostname, address string, role fleet.Role) {
		names[hostname] = true
		if ip, err := netip.ParseAddr(address); err == nil {
			addresses[ip] = true
		}
		if role == fleet.ControlPlane {
			planes++
		}
	}
	for _, s := range members {
		take(s.Hostname(), s.Assignment.PrivateIP, s.Assignment.Role)
	}
	all := make([]Proposal, len(servers))
	for i, s := range servers {
		a := s.Assignment
		if a.ClusterID == c.ID {
			all[i] = Proposal{Role: a.Role, Hostname: s.Hostname(), PrivateIP: a.PrivateIP}
		} else {
			all[i] = Proposal{Role: fleet.GuessRole(s.Name), Hostname: freeHostname(names, s.Name), PrivateIP: freeAddress(c.PrivateNetwork, addresses)}
		}
		take(all[i].Hostname, all[i].PrivateIP, all[i].Role)
	}
	for i, s := range servers {
		if planes == 0 && s.Assignment.ClusterID != c.ID {
			all[i].Role = fleet.ControlPlane
			break
		}
	}
	return all
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// freeHostname makes a DNS label of a name, that no other node has.
func freeHostname(taken map[string]bool, name string) string {
	name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if name == "" {
		name = "node"
	}
	name = strings.TrimRight(name[:min(len(name), 60)], "-")
	free := name
	for n := 2; taken[free]; n++ {
		free = name + "-" + strconv.Itoa(n)
	}
	return free
}

// freeAddress is the one after the highest that is taken, else the lowest that is free. The first address of a network
// is left out: it is the gateway's where Hetzner couples a vSwitch to a Cloud network.
func freeAddress(network string, taken map[netip.Addr]bool) string {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return ""
	}
	highest := p.Masked().Addr().Next()
	for ip := range taken {
		if p.Contains(ip) && highest.Less(ip) {
			highest = ip
		}
	}
	if ip := highest.Next(); usable(p, ip) {
		return ip.String()
	}
	for ip := p.Masked().Addr().Next().Next(); usable(p, ip); ip = ip.Next() {
		if !taken[ip] {
			return ip.String()
		}
	}
	return ""
}

// usable leaves out the broadcast address of IPv4.
func usable(p netip.Prefix, ip netip.Addr) bool {
	return p.Contains(ip) && (ip.Is6() || p.Contains(ip.Next()))
}
