package machineconfig

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Variables are what `${name}` in a patch stands for. A known name with an empty value is one that this server
// does not have.
type Variables map[string]string

// VariableInfo is a built-in variable, for pages and completion.
type VariableInfo struct{ Name, Means string }

// BuiltInVariables lists the variables that every server has, or has where the fact is known. The first five are
// those of the reference application.
func BuiltInVariables() []VariableInfo {
	return []VariableInfo{
		{"hostname", "name of the node"},
		{"private_ip", "address in the private network, without prefix length"},
		{"public_ip", "public IPv4 address, or IPv6 where the server has no IPv4"},
		{"vlan", "VLAN of the cluster's vSwitch; dedicated servers only"},
		{"bootstrap_disk_wwid", "WWID of the install disk"},
		{"public_ipv6", "public IPv6 address"},
		{"gateway", "IPv4 default gateway"},
		{"mac", "MAC address of the network card with the public address"},
		{"private_prefix", "prefix length of the private network"},
		{"private_mtu", "MTU of the private network: 1400 on a vSwitch, 1450 in a Cloud network"},
		{"server_name", "name of the server at the provider"},
		{"server_id", "number or id of the server at the provider"},
		{"product", "product of the server: AX41-NVMe, cx23"},
		{"location", "location of the server: FSN1-DC8, fsn1"},
		{"uuid", "SMBIOS UUID of the machine"},
		{"architecture", "amd64 or arm64"},
		{"provider", "hetzner_robot or hetzner_cloud"},
		{"role", "controlplane or worker"},
		{"cluster_name", "name of the cluster"},
		{"endpoint", "https://host:port of the cluster's Kubernetes API"},
		{"talos_version", "Talos version, v1.14.1"},
		{"kubernetes_version", "Kubernetes version, v1.36.3"},
	}
}

func builtIn(name string) bool {
	return slices.ContainsFunc(BuiltInVariables(), func(v VariableInfo) bool { return v.Name == name })
}

var variableName = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,62}$`)

// CheckVariables refuses own variables whose name cannot be one, or is taken.
func CheckVariables(own map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if !variableName.MatchString(name) {
			return fleet.Errorf(fleet.Invalid, "variable name %q", name).
				WithHint("use a letter of a-z first, then a-z, 0-9, '_', '.' and '-', 63 in all at most")
		}
		if builtIn(name) {
			return fleet.Errorf(fleet.Invalid, "variable %q is built in", name).WithHint("choose another name")
		}
	}
	return nil
}

// About is what the variables of a server are taken from.
type About struct {
	Server        *fleet.Server
	Cluster       *fleet.Cluster // nil: not known
	VLAN          int            // 0: no vSwitch
	PrivatePrefix int            // length of the private network's prefix; 0: not known
	PrivateMTU    int            // 0: what the provider has
	// Own variables; later ones win: of the cluster, then of the server.
	Own []map[string]string
}

// VariablesFor gives the variables of a server.
func VariablesFor(a About) (Variables, error) {
	s := a.Server
	v := Variables{
		"hostname":            s.Hostname(),
		"private_ip":          s.Assignment.PrivateIP,
		"public_ip":           s.Address(),
		"vlan":                number(a.VLAN),
		"bootstrap_disk_wwid": "",
		"public_ipv6":         s.IPv6,
		"gateway":             gatewayOf(s),
		"mac":                 primaryMAC(s),
		"private_prefix":      number(a.PrivatePrefix),
		"private_mtu":         number(privateMTU(a)),
		"server_name":         s.Name,
		"server_id":           s.ProviderID,
		"product":             s.Product,
		"location":            s.Location,
		"uuid":                s.Facts.UUID,
		"architecture":        string(s.Architecture),
		"provider":            string(s.Provider),
		"role":                string(s.Assignment.Role),
	}
	if disk := s.InstallDisk(); !strings.HasPrefix(disk, "serial:") {
		v["bootstrap_disk_wwid"] = disk
	}
	if c := a.Cluster; c != nil {
		v["cluster_name"], v["endpoint"] = c.Name, c.Endpoint
		v["talos_version"], v["kubernetes_version"] = c.TalosVersion, c.KubernetesVersion
	}
	for _, own := range a.Own {
		if err := CheckVariables(own); err != nil {
			return nil, err
		}
		maps.Copy(v, own)
	}
	return v, nil
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// gatewayOf is what the rescue system saw; for Cloud servers it is the same everywhere.
func gatewayOf(s *fleet.Server) string {
	if s.Facts.Gateway == "" && s.Provider == fleet.HetznerCloud && s.IPv4 != "" {
		return "172.31.1.1"
	}
	return s.Facts.Gateway
}

// primaryMAC is the MAC address of the card that has the public address, or of the only one that is up.
func primaryMAC(s *fleet.Server) string {
	var up []string
	for _, nic := range s.Facts.NICs {
		for _, address := range nic.Addresses {
			p, err := netip.ParsePrefix(address)
			if err == nil && (p.Addr().String() == s.IPv4 || p.Addr().String() == s.IPv6) {
				return strings.ToLower(nic.MAC)
			}
		}
		if nic.Up && nic.MAC != "" {
			up = append(up, strings.ToLower(nic.MAC))
		}
	}
	if len(up) == 1 {
		return up[0]
	}
	return ""
}

func privateMTU(a About) int {
	switch {
	case a.PrivateMTU != 0:
		return a.PrivateMTU
	case a.Server.Provider == fleet.HetznerCloud:
		return 1450
	case a.VLAN != 0:
		return 1400
	}
	return 0
}

// withInput adds what the input itself says: the versions it is rendered for win over those of the records.
func (v Variables) withInput(in *Input) Variables {
	out := maps.Clone(v)
	if out == nil {
		out = Variables{}
	}
	for name, value := range map[string]string{
		"cluster_name": in.ClusterName, "endpoint": in.Endpoint, "role": string(in.Role),
		"talos_version": in.TalosVersion, "kubernetes_version": in.KubernetesVersion,
	} {
		out[name] = value
	}
	return out
}
