package rescue_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

var dedicated = fleet.Facts{
	NICs: []fleet.NIC{
		{Name: "eth1", MAC: "90:1b:0e:00:00:02"},
		{Name: "eth0", MAC: "90:1b:0e:00:00:01", Up: true, Addresses: []string{"203.0.113.10/26", "2001:db8:10:20::2/64"}},
	},
	Gateway: "203.0.113.1", Gateway6: "fe80::1",
}

// platformConfig reads a static network as Talos does.
func platformConfig(t *testing.T, n rescue.Network) network.PlatformConfigSpec {
	t.Helper()
	text, err := n.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var spec network.PlatformConfigSpec
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&spec); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return spec
}

func TestAStaticNetworkIsWhatTheRescueSystemHasAsTalosReadsIt(t *testing.T) {
	n, err := rescue.StaticNetwork("node-1", dedicated, true)
	if err != nil {
		t.Fatal(err)
	}
	n.Hostname = "node-1"
	spec := platformConfig(t, n)
	const link = "enx901b0e000001"
	if len(spec.Links) != 1 || spec.Links[0].Name != link || !spec.Links[0].Up || spec.Links[0].ConfigLayer != network.ConfigPlatform {
		t.Errorf("links %+v", spec.Links)
	}
	if len(spec.Addresses) != 2 || spec.Addresses[0].Address.String() != "203.0.113.10/32" || spec.Addresses[1].Address.String() != "2001:db8:10:20::2/64" {
		t.Errorf("addresses %+v", spec.Addresses)
	}
	for _, a := range spec.Addresses {
		if a.LinkName != link || a.Scope != nethelpers.ScopeGlobal || a.Flags != nethelpers.AddressFlags(nethelpers.AddressPermanent) {
			t.Errorf("address %+v", a)
		}
	}
	var routes []string
	for _, r := range spec.Routes {
		if r.Table != nethelpers.TableMain || r.Type != nethelpers.TypeUnicast || r.OutLinkName != link || r.Protocol != nethelpers.ProtocolStatic {
			t.Errorf("route %+v", r)
		}
		dst := "default"
		if r.Destination.IsValid() {
			dst = r.Destination.String()
		}
		routes = append(routes, r.Family.String()+" "+dst+" via "+r.Gateway.String()+" "+r.Scope.String())
	}
	want := "inet4 203.0.113.1/32 via invalid IP link, inet4 default via 203.0.113.1 global, inet6 default via fe80::1 global"
	if got := strings.Join(routes, ", "); got != want {
		t.Errorf("routes %s", got)
	}
	//lint:ignore SA1019 what every version knows
	if len(spec.Resolvers) != 1 || len(spec.Resolvers[0].DNSServers) != 4 || len(spec.TimeServers) != 1 || spec.Hostnames[0].Hostname != "node-1" {
		t.Errorf("the rest %+v", spec)
	}
	text, err := n.YAML()
	if err != nil || (rescue.Meta{rescue.MetaNetworkConfig: text}).String() != "0xa static network 203.0.113.10/32 and 2001:db8:10:20::2/64" {
		t.Errorf("it is told as %s, %v", rescue.Meta{rescue.MetaNetworkConfig: text}, err)
	}
}

func TestAStaticNetworkElsewhereKeepsItsPrefix(t *testing.T) {
	n, err := rescue.StaticNetwork("node-1", dedicated, false)
	if err != nil {
		t.Fatal(err)
	}
	spec := platformConfig(t, n)
	if spec.Addresses[0].Address.String() != "203.0.113.10/26" || len(spec.Routes) != 2 || len(spec.Resolvers)+len(spec.TimeServers) != 0 {
		t.Errorf("%+v", spec)
	}
}

func TestAMachineReachedByItsVSwitchGetsTheVLAN(t *testing.T) {
	n := rescue.Network{
		MAC:  "90:1B:0E:00:00:01",
		VLAN: &rescue.VLAN{ID: 4000, Address: netip.MustParsePrefix("10.0.1.7/24"), Gateway: netip.MustParseAddr("10.0.1.1")},
	}
	spec := platformConfig(t, n)
	if len(spec.Links) != 2 {
		t.Fatalf("links %+v", spec.Links)
	}
	v := spec.Links[1]
	if v.Name != "vlan4000" || !v.Logical || v.Kind != network.LinkKindVLAN || v.ParentName != "enx901b0e000001" || v.MTU != 1400 || v.VLAN.VID != 4000 || v.VLAN.Protocol != nethelpers.VLANProtocol8021Q || v.Type != nethelpers.LinkEther {
		t.Errorf("VLAN %+v", v)
	}
	if spec.Addresses[0].LinkName != "vlan4000" || spec.Routes[0].Gateway.String() != "10.0.1.1" || spec.Routes[0].OutLinkName != "vlan4000" {
		t.Errorf("%+v", spec)
	}
}

func TestNoStaticNetworkIsMadeUp(t *testing.T) {
	for why, change := range map[string]func(*fleet.Facts){
		"no address": func(f *fleet.Facts) { f.NICs = f.NICs[:1] },
		"no gateway": func(f *fleet.Facts) {
			f.Gateway, f.NICs = "", []fleet.NIC{{MAC: "90:1b:0e:00:00:01", Addresses: []string{"203.0.113.10/26"}}}
		},
		"no MAC": func(f *fleet.Facts) { f.NICs = []fleet.NIC{{Addresses: []string{"203.0.113.10/26"}}} },
	} {
		f := dedicated
		change(&f)
		if n, err := rescue.StaticNetwork("node-1", f, true); fleet.KindOf(err) != fleet.Refused {
			t.Errorf("%s: %+v, %v", why, n, err)
		}
	}
}
