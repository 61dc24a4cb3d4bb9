package kubeapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
)

var bootstrapGroups = []string{"system:bootstrappers", "system:bootstrappers:nodes", authenticated}

// requestClientCertificate leaves the request by which the kubelet got its certificate; those approve themselves
// (recorded in 09-csrs-over-time.jsonl: AutoApproved, issued 30 ms later).
func (l *kubelet) requestClientCertificate() {
	c := l.signingRequest(certificatesv1.KubeAPIServerClientKubeletSignerName, nil)
	if c == nil {
		return
	}
	c.Spec.Username, c.Spec.Groups = "system:bootstrap:"+utilrand.String(6), bootstrapGroups
	c.Status.Conditions = stamp([]certificatesv1.CertificateSigningRequestCondition{{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "AutoApproved", Message: "Auto approving kubelet client certificate after SubjectAccessReview.",
	}})
	l.create(csrs, c)
}

// requestServingCertificate asks for a serving certificate, which nothing in Kubernetes approves by itself.
func (l *kubelet) requestServingCertificate() {
	for _, c := range list[*certificatesv1.CertificateSigningRequest](l.cluster, csrs, "") {
		if c.Spec.SignerName == certificatesv1.KubeletServingSignerName && c.Spec.Username == nodePrefix+l.conf.Node && len(c.Status.Conditions) == 0 {
			return // still waiting
		}
	}
	var ips []net.IP
	for _, a := range l.conf.Addresses {
		ips = append(ips, a.AsSlice())
	}
	if c := l.signingRequest(certificatesv1.KubeletServingSignerName, ips); c != nil {
		c.Spec.Username, c.Spec.Groups = nodePrefix+l.conf.Node, []string{nodesGroup, authenticated}
		l.create(csrs, c)
	}
}

func (l *kubelet) signingRequest(signer string, ips []net.IP) *certificatesv1.CertificateSigningRequest {
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: nodePrefix + l.conf.Node, Organization: []string{nodesGroup}}}
	if ips != nil {
		usages[1] = certificatesv1.UsageServerAuth
		template.IPAddresses, template.DNSNames = ips, []string{l.conf.Node}
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, k)
	if err != nil {
		return nil
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "csr-" + utilrand.String(5), GenerateName: "csr-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer, Usages: usages,
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		},
	}
}

// stamp gives new conditions their times.
func stamp(conditions []certificatesv1.CertificateSigningRequestCondition) []certificatesv1.CertificateSigningRequestCondition {
	conditions = slices.Clone(conditions)
	for i := range conditions {
		if conditions[i].LastUpdateTime.IsZero() {
			conditions[i].LastUpdateTime = now()
		}
		if conditions[i].LastTransitionTime.IsZero() {
			conditions[i].LastTransitionTime = now()
		}
	}
	return conditions
}

// issueCertificates signs what was approved. The authority is made for each certificate: nobody in this world
// checks a kubelet's certificate.
func (c *cluster) issueCertificates() {
	for _, r := range list[*certificatesv1.CertificateSigningRequest](c, csrs, "") {
		approved := slices.ContainsFunc(r.Status.Conditions, func(cond certificatesv1.CertificateSigningRequestCondition) bool {
			return cond.Type == certificatesv1.CertificateApproved
		})
		if !approved || len(r.Status.Certificate) > 0 {
			continue
		}
		cert, err := sign(r.Spec.Request)
		modify(c, csrs, r, func(r *certificatesv1.CertificateSigningRequest) {
			if err == nil {
				r.Status.Certificate = cert
				return
			}
			r.Status.Conditions = append(r.Status.Conditions, stamp([]certificatesv1.CertificateSigningRequestCondition{{
				Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure", Message: err.Error(),
			}})...)
			r.Status.Certificate = nil
		})
	}
}

func sign(request []byte) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, errors.New("the request is no PEM block")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: csr.Subject, NotBefore: time.Now().Add(-5 * time.Minute),
		NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, csr.PublicKey, authority)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
