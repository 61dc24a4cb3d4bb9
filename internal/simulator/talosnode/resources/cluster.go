package resources

import (
	"fmt"
	"net/netip"

	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
)

func (v View) cluster(w *wanted) {
	if v.NodeID != "" {
		w.add("cluster.NodeIdentityController", with(cluster.NewIdentity(cluster.NamespaceName, cluster.LocalIdentity),
			cluster.IdentitySpec{NodeID: v.NodeID}))
	}
	if v.ClusterID != "" || v.ClusterName != "" {
		w.add("cluster.InfoController", with(cluster.NewInfo(), cluster.InfoSpec{ClusterID: v.ClusterID, ClusterName: v.ClusterName}))
	}
	for _, m := range v.Members {
		w.add(m.affiliateOwner(v.NodeID), with(cluster.NewAffiliate(cluster.NamespaceName, m.NodeID), cluster.AffiliateSpec{
			NodeID: m.NodeID, Addresses: m.Addresses, Hostname: m.Hostname, Nodename: m.Nodename,
			OperatingSystem: m.OperatingSystem, MachineType: m.Type, ControlPlane: m.controlPlane(),
		}))
		w.add("cluster.MemberController", with(cluster.NewMember(cluster.NamespaceName, m.id()), cluster.MemberSpec{
			NodeID: m.NodeID, Addresses: m.Addresses, Hostname: m.Hostname,
			OperatingSystem: m.OperatingSystem, MachineType: m.Type, ControlPlane: m.controlPlane(),
		}))
	}
	v.discovered(w)
	v.secrets(w)
	for _, p := range v.Peers {
		state := kubespan.PeerStateDown
		if p.Up {
			state = kubespan.PeerStateUp
		}
		w.add("kubespan.ManagerController", with(kubespan.NewPeerStatus(kubespan.NamespaceName, p.PublicKey), kubespan.PeerStatusSpec{
			Endpoint: p.Endpoint, Label: p.Label, State: state, LastHandshakeTime: p.Handshake, LastUsedEndpoint: p.Endpoint,
			LastEndpointChange: p.Handshake,
		}))
	}
	v.etcd(w)
}

// id of a member: its node's name in Kubernetes, or its hostname while it has none.
func (m Member) id() string {
	if m.Nodename != "" {
		return m.Nodename
	}
	return m.Hostname
}

func (m Member) affiliateOwner(local string) string {
	if m.NodeID == local {
		return "cluster.LocalAffiliateController"
	}
	return "cluster.AffiliateMergeController"
}

func (m Member) controlPlane() *cluster.ControlPlane {
	if !m.Type.IsControlPlane() {
		return nil
	}
	port := m.Port
	if port == 0 {
		port = 6443
	}
	return &cluster.ControlPlane{APIServerPort: port}
}

// discovered are the control planes that discovery knows.
func (v View) discovered(w *wanted) {
	w.add("cluster.EndpointController", with(k8s.NewEndpoint(k8s.ControlPlaneNamespaceName, k8s.ControlPlaneDiscoveredEndpointsID),
		k8s.EndpointSpec{Addresses: v.controlPlanes(), Hosts: []string{}}))
}

func (v View) controlPlanes() []netip.Addr {
	all := []netip.Addr{}
	for _, m := range v.Members {
		if m.Type.IsControlPlane() {
			all = append(all, m.Addresses...)
		}
	}
	return all
}

func (v View) secrets(w *wanted) {
	if v.Hostname == "" {
		return
	}
	add := func(owner, id, fqdn string, more ...netip.Addr) {
		w.add(owner, with(secrets.NewCertSAN(secrets.NamespaceName, id), secrets.CertSANSpec{
			IPs: append(v.bare(), more...), DNSNames: []string{v.Hostname}, FQDN: fqdn,
		}))
	}
	local := netip.MustParseAddr("127.0.0.1")
	add("secrets.MaintenanceCertSANsController", secrets.CertSANMaintenanceID, "maintenance-service.talos.dev", local, netip.IPv6Loopback())
	if v.configured() {
		add("secrets.APICertSANsController", secrets.CertSANAPIID, v.Hostname, local)
	}
	if v.configured() && v.Type.IsControlPlane() {
		names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + v.domain(), "localhost", v.Hostname}
		w.add("secrets.KubernetesCertSANsController", with(secrets.NewCertSAN(secrets.NamespaceName, secrets.CertSANKubernetesID),
			secrets.CertSANSpec{IPs: append(v.bare(), local), DNSNames: names}))
	}
}

func (v View) etcd(w *wanted) {
	if v.Type != machine.TypeControlPlane && v.Type != machine.TypeInit || !v.configured() {
		return
	}
	w.add("etcd.PKIController", with(etcd.NewPKIStatus(etcd.NamespaceName, etcd.PKIID), etcd.PKIStatusSpec{Ready: true, Version: "1"}))
	image := ""
	if c := v.Running.Cluster(); c != nil {
		image = c.Etcd().Image()
	}
	w.add("etcd.ConfigController", with(etcd.NewConfig(etcd.NamespaceName, etcd.ConfigID), etcd.ConfigSpec{
		AdvertiseExcludeSubnets: []string{}, ListenExcludeSubnets: []string{}, Image: image, ExtraArgs: map[string]etcd.ArgValues{},
	}))
	anywhere := []netip.Addr{netip.IPv4Unspecified()}
	w.add("etcd.SpecController", with(etcd.NewSpec(etcd.NamespaceName, etcd.SpecID), etcd.SpecSpec{
		Name: v.Hostname, AdvertisedAddresses: v.bare(), ListenPeerAddresses: anywhere, ListenClientAddresses: anywhere,
		Image: image, ExtraArgs: map[string]etcd.ArgValues{},
	}))
	if v.EtcdMember != 0 {
		w.add("etcd.MemberController", with(etcd.NewMember(etcd.NamespaceName, etcd.LocalMemberID),
			etcd.MemberSpec{MemberID: fmt.Sprintf("%016x", v.EtcdMember)}))
	}
}
