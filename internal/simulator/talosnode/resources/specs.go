package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"

	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubeaccess"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
)

// hostDNS is the address at which pods reach the node's resolver.
func hostDNS() netip.Addr { return netip.MustParseAddr("169.254.116.108") }

// specs are what Talos' controllers want, where a status says what is: they agree here.
func (v View) specs(w *wanted) {
	if v.Hostname != "" {
		w.add("HostnameMergeControllers.net.talos.dev", with(network.NewHostnameSpec(network.NamespaceName, network.HostnameID),
			network.HostnameSpecSpec{Hostname: v.Hostname, Domainname: v.Domainname, ConfigLayer: network.ConfigPlatform}))
	}
	w.add("ResolverMergeControllers.net.talos.dev", with(network.NewResolverSpec(network.NamespaceName, network.ResolverID),
		network.ResolverSpecSpec{DNSServers: filled(v.Network.Resolvers), ConfigLayer: network.ConfigPlatform}))
	w.add("TimeServerMergeControllers.net.talos.dev", with(network.NewTimeServerSpec(network.NamespaceName, network.TimeServerID),
		network.TimeServerSpecSpec{NTPServers: v.timeServers(), ConfigLayer: network.ConfigDefault}))
	w.add("LinkMergeControllers.net.talos.dev", with(network.NewLinkSpec(network.NamespaceName, "lo"),
		network.LinkSpecSpec{Name: "lo", Up: true, ConfigLayer: network.ConfigDefault}))
	for _, r := range []struct {
		family   nethelpers.Family
		priority uint32
		table    nethelpers.RoutingTable
	}{
		{nethelpers.FamilyInet4, 0, nethelpers.TableLocal},
		{nethelpers.FamilyInet4, 32766, nethelpers.TableMain},
		{nethelpers.FamilyInet4, 32767, nethelpers.TableDefault},
		{nethelpers.FamilyInet6, 0, nethelpers.TableLocal},
		{nethelpers.FamilyInet6, 32766, nethelpers.TableMain},
	} {
		w.add("network.RoutingRuleStatusController",
			with(network.NewRoutingRuleStatus(network.NamespaceName, network.RoutingRuleID(r.family, r.priority)),
				network.RoutingRuleStatusSpec{Family: r.family, Priority: r.priority, Table: r.table, Action: nethelpers.RoutingRuleActionUnicast}))
	}
	if v.configured() {
		v.configuredSpecs(w)
	}
}

func (v View) timeServers() []string {
	if len(v.Network.TimeServers) == 0 {
		return []string{"time.cloudflare.com"} // Talos' default
	}
	return v.Network.TimeServers
}

func (v View) configuredSpecs(w *wanted) {
	dns := netip.PrefixFrom(hostDNS(), 32)
	w.add("AddressMergeControllers.net.talos.dev", with(network.NewAddressSpec(network.NamespaceName, network.AddressID("lo", dns)),
		network.AddressSpecSpec{
			Address: dns, LinkName: "lo", Family: nethelpers.FamilyInet4, Scope: nethelpers.ScopeHost,
			Flags: nethelpers.AddressFlags(nethelpers.AddressPermanent), ConfigLayer: network.ConfigOperator,
		}))
	for _, at := range []string{"127.0.0.53:53", hostDNS().String() + ":53"} {
		for _, protocol := range []string{"tcp-", "udp-"} {
			w.add("network.DNSResolveCacheController",
				with(network.NewDNSResolveCache(protocol+at), network.DNSResolveCacheSpec{Status: "running"}))
		}
	}
	if n := v.Running.K8sNetworkConfig(); n != nil && v.Nodename != "" {
		all := append(n.PodCIDRs(), n.ServiceCIDRs()...)
		for _, f := range []struct {
			id   string
			spec network.NodeAddressFilterSpec
		}{
			{k8s.NodeAddressFilterNoK8s, network.NodeAddressFilterSpec{IncludeSubnets: []netip.Prefix{}, ExcludeSubnets: all}},
			{k8s.NodeAddressFilterOnlyK8s, network.NodeAddressFilterSpec{IncludeSubnets: all, ExcludeSubnets: []netip.Prefix{}}},
		} {
			w.add("k8s.AddressFilterController", with(network.NewNodeAddressFilter(network.NamespaceName, f.id), f.spec))
		}
	}
	if v.Node != nil {
		sum := sha256.Sum256([]byte(v.NodeID))
		w.add("k8s.KubeletKubeconfigController", with(k8s.NewKubeletKubeconfig(k8s.NamespaceName, k8s.KubeletKubeconfigID),
			k8s.KubeletKubeconfigSpec{Hash: hex.EncodeToString(sum[:])}))
	}
	w.add("kubespan.ConfigController", with(kubespan.NewConfig("config", kubespan.ConfigID),
		kubespan.ConfigSpec{Enabled: len(v.Peers) > 0, ClusterID: v.ClusterID}))
	w.add("cluster.ConfigController", with(cluster.NewConfig("config", cluster.ConfigID), cluster.ConfigSpec{
		DiscoveryEnabled: true, RegistryServiceEnabled: true, ServiceEndpoint: "discovery.talos.dev:443", ServiceClusterID: v.ClusterID,
		ServiceEndpoints: []cluster.ServiceEndpoint{{Name: "default", Endpoint: "discovery.talos.dev:443"}},
	}))
	if v.Type.IsControlPlane() {
		w.add("kubeaccess.ConfigController", with(kubeaccess.NewConfig("config", kubeaccess.ConfigID), kubeaccess.ConfigSpec{
			AllowedAPIRoles: []string{}, AllowedKubernetesNamespaces: []string{},
		}))
	}
}

// mounts are the requests of those who use a volume.
func (v View) mounts(w *wanted, d Volume) {
	requester := "block.VolumeConfigController"
	if d.ID == "EPHEMERAL" || d.ID == "STATE" {
		requester = "sequencer"
	}
	owner := ""
	if requester != "sequencer" {
		owner = requester
	}
	w.add(owner, with(block.NewVolumeMountRequest(block.NamespaceName, d.ID),
		block.VolumeMountRequestSpec{VolumeID: d.ID, Requester: requester, Secure: requester == "sequencer"}))
	status := with(block.NewVolumeMountStatus(block.NamespaceName, d.ID),
		block.VolumeMountStatusSpec{VolumeID: d.ID, Requester: requester, Target: d.Mount, Secure: requester == "sequencer"})
	status.Metadata().Labels().Set("mount-status-id", d.ID)
	w.add("block.MountStatusController", status)
	settings := with(block.NewVolumeConfig(block.NamespaceName, d.ID), block.VolumeConfigSpec{Type: d.Type, Mount: mountSpec(d)})
	system(settings)
	w.add("block.VolumeConfigController", settings)
}
