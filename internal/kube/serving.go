package kube

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ServingRequest is a kubelet's wish for a serving certificate that nobody decided yet. Kubernetes approves none by
// itself; without approval kubectl logs and metrics of the node fail with a TLS error.
type ServingRequest struct {
	Name      string // of the CertificateSigningRequest
	Node      string // who asks: system:node:NAME
	CreatedAt time.Time
	request   certificatesv1.CertificateSigningRequest
}

// Decision is what became of a request.
type Decision struct {
	Request string
	Node    string
	Err     error // nil: approved
}

// ServingRequests lists the undecided ones, oldest first.
func (c *Cluster) ServingRequests(ctx context.Context) ([]ServingRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	l, err := c.requests.CertificateSigningRequests().List(ctx, metav1.ListOptions{
		FieldSelector: "spec.signerName=" + certificatesv1.KubeletServingSignerName,
	})
	if err != nil {
		return nil, c.explain(ctx, err, "list certificate requests")
	}
	var open []ServingRequest
	for _, r := range l.Items {
		if len(r.Status.Conditions) > 0 {
			continue
		}
		open = append(open, ServingRequest{Name: r.Name, Node: strings.TrimPrefix(r.Spec.Username, "system:node:"), CreatedAt: r.CreationTimestamp.Time, request: r})
	}
	slices.SortStableFunc(open, func(a, b ServingRequest) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return open, nil
}

// ApproveServing approves every undecided request that comes from a known node and asks for nothing but its name
// and known addresses of it. The others stay undecided, with the reason in their Decision: a person may look.
func (c *Cluster) ApproveServing(ctx context.Context, known map[string][]netip.Addr) ([]Decision, error) {
	open, err := c.ServingRequests(ctx)
	if err != nil {
		return nil, err
	}
	var all []Decision
	for _, r := range open {
		d := Decision{Request: r.Name, Node: r.Node}
		addresses, there := known[r.Node]
		if !there {
			d.Err = fleet.Errorf(fleet.Refused, "certificate request %s is of %q, which is no node of ours", r.Name, r.Node)
		} else if d.Err = r.Check(addresses); d.Err == nil {
			d.Err = c.approve(ctx, r)
		}
		all = append(all, d)
	}
	return all, nil
}

func (c *Cluster) approve(ctx context.Context, r ServingRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	csr := r.request.DeepCopy()
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "TalosManagerApproved",
		Message: "asked for by " + r.Node + ", for its own name and addresses only", LastUpdateTime: metav1.Now(),
	})
	_, err := c.requests.CertificateSigningRequests().UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{FieldManager: manager})
	if err != nil {
		return c.explain(ctx, err, "approve certificate request %s of node %s", r.Name, r.Node)
	}
	return nil
}

// Check holds a request to what Kubernetes' signer wants of it (reference/access-authn-authz/
// certificate-signing-requests: kubernetes.io/kubelet-serving) and to the addresses the node has; refused otherwise.
func (r ServingRequest) Check(addresses []netip.Addr) error {
	if why := r.wrong(addresses); why != "" {
		return fleet.Errorf(fleet.Refused, "certificate request %s of node %s %s", r.Name, r.Node, why)
	}
	return nil
}

func (r ServingRequest) wrong(addresses []netip.Addr) string {
	spec := r.request.Spec
	if spec.SignerName != certificatesv1.KubeletServingSignerName {
		return "is not for a kubelet's server"
	}
	if spec.Username != "system:node:"+r.Node || r.Node == "" || !slices.Contains(spec.Groups, "system:nodes") {
		return "was not made by a kubelet"
	}
	for _, u := range spec.Usages {
		if u != certificatesv1.UsageDigitalSignature && u != certificatesv1.UsageKeyEncipherment && u != certificatesv1.UsageServerAuth {
			return fmt.Sprintf("wants to be used for %q", u)
		}
	}
	if !slices.Contains(spec.Usages, certificatesv1.UsageServerAuth) {
		return "is not for a server"
	}
	block, rest := pem.Decode(spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return "is not one PEM block"
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return "cannot be read or is not signed by its key"
	}
	return r.wrongNames(csr, addresses)
}

// wrongNames checks whom the certificate would speak for.
func (r ServingRequest) wrongNames(csr *x509.CertificateRequest, addresses []netip.Addr) string {
	if csr.Subject.CommonName != r.request.Spec.Username {
		return fmt.Sprintf("has the common name %q", csr.Subject.CommonName)
	}
	if !slices.Equal(csr.Subject.Organization, []string{"system:nodes"}) {
		return fmt.Sprintf("has the organisations %q", csr.Subject.Organization)
	}
	if len(csr.EmailAddresses)+len(csr.URIs) > 0 {
		return "asks for e-mail addresses or URIs"
	}
	if len(csr.DNSNames)+len(csr.IPAddresses) == 0 {
		return "asks for no name and no address"
	}
	for _, name := range csr.DNSNames {
		if name != r.Node {
			return fmt.Sprintf("asks for the name %q", name)
		}
	}
	for _, ip := range csr.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok || !slices.Contains(addresses, addr.Unmap()) {
			return fmt.Sprintf("asks for %s, which is no address we know of it", ip)
		}
	}
	return ""
}
