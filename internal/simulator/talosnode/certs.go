package talosnode

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

const (
	apiLifetime  = 24 * time.Hour
	kubeLifetime = 365 * 24 * time.Hour
	backdate     = 10 * time.Second
)

// issue makes a key pair signed by a CA. The signature's algorithm follows the CA's.
func issue(ca *x509.PEMEncodedCertificateAndKey, lifetime time.Duration, usage stdx509.KeyUsage, ext []stdx509.ExtKeyUsage, options ...x509.Option) (*x509.KeyPair, error) {
	authority, err := x509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return x509.NewKeyPair(authority, append(options, x509.NotBefore(now.Add(-backdate)), x509.NotAfter(now.Add(lifetime)),
		x509.KeyUsage(usage), x509.ExtKeyUsage(ext))...)
}

// apiCertificate makes the server certificate of port 50000. A worker has no CA: a control plane issues it.
func (n *node) apiCertificate() (*x509.KeyPair, error) {
	ca := n.config().Machine().Security().IssuingCA()
	if ca == nil || len(ca.Key) == 0 {
		ca = n.env.Clusters.issuer(n)
	}
	if ca == nil {
		return nil, errors.New("no trustd answers")
	}
	names, ips := n.names()
	return issue(ca, apiLifetime, stdx509.KeyUsageDigitalSignature, []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth},
		x509.CommonName(n.hostname()), x509.DNSNames(names), x509.IPAddresses(ips))
}

// names are those a node's certificate is good for.
func (n *node) names() ([]string, []net.IP) {
	names, ips := []string{n.hostname()}, []net.IP{}
	for _, a := range n.addresses() {
		ips = append(ips, a.AsSlice())
	}
	ips = append(ips, net.IPv4(127, 0, 0, 1).To4())
	for _, san := range n.config().Machine().Security().CertSANs() {
		if ip := net.ParseIP(san); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, san)
		}
	}
	return names, ips
}

// maintenanceCertificate is self-signed and new on every boot.
func (n *node) maintenanceCertificate() (*tls.Certificate, error) {
	ips := []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	for _, a := range n.addresses() {
		ips = append(ips, a.AsSlice())
	}
	now := time.Now()
	ca, err := x509.NewSelfSignedCertificateAuthority(x509.CommonName("maintenance-service.talos.dev"), x509.DNSNames([]string{n.hostname()}),
		x509.IPAddresses(ips), x509.NotBefore(now.Add(-backdate)), x509.NotAfter(now.Add(apiLifetime)))
	if err != nil {
		return nil, err
	}
	pair, err := issue(x509.NewCertificateAndKeyFromCertificateAuthority(ca), apiLifetime, stdx509.KeyUsageDigitalSignature,
		[]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}, x509.CommonName("maintenance-service.talos.dev"),
		x509.DNSNames([]string{n.hostname()}), x509.IPAddresses(ips))
	if err != nil {
		return nil, err
	}
	return pair.Certificate, nil
}

// machineCAs are the roots of client certificates.
func (n *node) machineCAs() *stdx509.CertPool {
	pool := stdx509.NewCertPool()
	security := n.config().Machine().Security()
	if ca := security.IssuingCA(); ca != nil {
		pool.AppendCertsFromPEM(ca.Crt)
	}
	for _, ca := range security.AcceptedCAs() {
		pool.AppendCertsFromPEM(ca.Crt)
	}
	return pool
}

// remoteTLS is what a control plane shows and trusts when it calls another node.
func (n *node) remoteTLS() (*tls.Config, error) {
	ca := n.config().Machine().Security().IssuingCA()
	if ca == nil {
		return nil, errors.New("no machine CA")
	}
	pair, err := issue(ca, apiLifetime, stdx509.KeyUsageDigitalSignature, []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth},
		x509.Organization(string(role.Impersonator)))
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: n.machineCAs(), Certificates: []tls.Certificate{*pair.Certificate}}, nil
}

// kubeTLS is the configuration of the Kubernetes API server.
func (n *node) kubeTLS() (*tls.Config, error) {
	cfg := n.config()
	ca := cfg.K8sAPIServerCAConfig().IssuingCA()
	if ca == nil {
		return nil, errors.New("no Kubernetes CA key")
	}
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", n.hostname()}
	ips := []net.IP{net.IPv4(10, 96, 0, 1).To4(), net.IPv4(127, 0, 0, 1).To4()}
	for _, a := range n.addresses() {
		ips = append(ips, a.AsSlice())
	}
	sans := []string{cfg.K8sClusterConfig().ClusterEndpoint().Hostname()}
	if s := cfg.K8sAPIServerConfig(); s != nil {
		sans = append(sans, s.CertSANs()...)
	}
	for _, san := range sans {
		if ip := net.ParseIP(san); ip != nil {
			ips = append(ips, ip)
		} else if !slices.Contains(names, san) {
			names = append(names, san)
		}
	}
	pair, err := issue(ca, kubeLifetime, stdx509.KeyUsageDigitalSignature|stdx509.KeyUsageKeyEncipherment,
		[]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}, x509.CommonName("kube-apiserver"), x509.Organization("kube-master"),
		x509.DNSNames(names), x509.IPAddresses(ips))
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{*pair.Certificate}, ClientCAs: n.kubeCAs(), ClientAuth: tls.VerifyClientCertIfGiven}, nil
}

func (n *node) kubeCAs() *stdx509.CertPool {
	pool := stdx509.NewCertPool()
	for _, ca := range n.config().K8sAPIServerCAConfig().AcceptedCAs() {
		pool.AppendCertsFromPEM(ca.Crt)
	}
	return pool
}

// addresses of the node: those of the machine and those its config gives it in private networks.
func (n *node) addresses() []netip.Addr {
	return append(n.machine.Addresses(), n.private()...)
}

// private addresses come from the config.
func (n *node) private() []netip.Addr {
	cfg := n.config()
	if cfg == nil {
		return nil
	}
	var found []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() && !slices.Contains(n.machine.Addresses(), a) && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	for _, l := range cfg.NetworkCommonLinkConfigs() {
		for _, a := range l.Addresses() {
			add(a.Address().Addr())
		}
	}
	if cfg.Machine() == nil {
		return found
	}
	for _, d := range cfg.Machine().Network().Devices() {
		all := d.Addresses()
		for _, v := range d.Vlans() {
			all = append(all, v.Addresses()...)
		}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a); err == nil {
				add(p.Addr())
			} else if ip, err := netip.ParseAddr(a); err == nil {
				add(ip)
			}
		}
	}
	return found
}
