package kube_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// wish is what a kubelet asks for; the zero value is filled in to a good one of node "serve-1" at 10.0.0.7.
type wish struct {
	template x509.CertificateRequest
	usages   []certificatesv1.KeyUsage
}

func goodWish(node string) wish {
	return wish{
		x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
			DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP("10.0.0.7")},
		},
		[]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
	}
}

// ask makes the request as the node itself.
func (l *lab) ask(name, node string, w wish) {
	l.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &w.template, newKey(l.T))
	if err != nil {
		l.Fatal(err)
	}
	_, err = l.client("system:node:"+node, "system:nodes").CertificatesV1().CertificateSigningRequests().Create(l.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Usages: w.usages,
			Request: pemBlock("CERTIFICATE REQUEST", der),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
}

func TestServingCertificatesAreApprovedForKnownNamesAndAddressesOnly(t *testing.T) {
	everywhere(t, func(l *lab) {
		good := goodWish("serve-1")
		l.ask("good", "serve-1", good)
		foreign := goodWish("serve-1")
		foreign.template.IPAddresses = []net.IP{net.ParseIP("10.0.0.8")}
		l.ask("foreign-address", "serve-1", foreign)
		l.ask("unknown-node", "serve-9", goodWish("serve-9"))

		decisions, err := l.ApproveServing(l.Context(), map[string][]netip.Addr{"serve-1": {netip.MustParseAddr("10.0.0.7")}})
		if err != nil {
			l.Fatal(err)
		}
		for request, want := range map[string]string{"good": "", "foreign-address": "asks for 10.0.0.8", "unknown-node": "no node of ours"} {
			d := decision(decisions, request)
			switch {
			case want == "" && d.Err != nil:
				l.Errorf("%s: refused: %v", request, d.Err)
			case want != "" && (d.Err == nil || fleet.KindOf(d.Err) != fleet.Refused || !strings.Contains(d.Err.Error(), want)):
				l.Errorf("%s: %v, want %q", request, d.Err, want)
			}
			csr, err := l.admin.CertificatesV1().CertificateSigningRequests().Get(l.Context(), request, metav1.GetOptions{})
			if err != nil {
				l.Fatal(err)
			}
			approved := len(csr.Status.Conditions) > 0 && csr.Status.Conditions[0].Type == certificatesv1.CertificateApproved
			if approved != (want == "") {
				l.Errorf("%s: conditions %v", request, csr.Status.Conditions)
			}
		}
		again, err := l.ServingRequests(l.Context())
		if err != nil {
			l.Fatal(err)
		}
		for _, r := range again {
			if r.Name == "good" {
				l.Error("an approved request is still listed as undecided")
			}
		}
	})
}

func decision(all []kube.Decision, request string) kube.Decision {
	for _, d := range all {
		if d.Request == request {
			return d
		}
	}
	return kube.Decision{}
}

func TestAServingRequestMayOnlySpeakForItsNode(t *testing.T) {
	l := simulated(t)
	u, _ := url.Parse("spiffe://x")
	for i, c := range []struct {
		reason string
		change func(*wish)
		bad    string
	}{
		{"as kubelets do", func(*wish) {}, ""},
		{"a name is not needed", func(w *wish) { w.template.DNSNames = nil }, ""},
		{"an RSA kubelet wants key encipherment too", func(w *wish) { w.usages = append(w.usages, certificatesv1.UsageKeyEncipherment) }, ""},
		{"it would be another node", func(w *wish) { w.template.Subject.CommonName = "system:node:serve-2" }, "has the common name"},
		{"it would be a master", func(w *wish) { w.template.Subject.Organization = []string{"system:nodes", "system:masters"} }, "has the organisations"},
		{"it would be the API server's name", func(w *wish) { w.template.DNSNames = []string{"serve-2", "kubernetes.default"} }, `asks for the name "serve-2"`},
		{"it would be another machine's address", func(w *wish) { w.template.IPAddresses = append(w.template.IPAddresses, net.ParseIP("10.0.0.1")) }, "asks for 10.0.0.1"},
		{"it could log in", func(w *wish) { w.usages = append(w.usages, certificatesv1.UsageClientAuth) }, `wants to be used for "client auth"`},
		{"it could not serve", func(w *wish) { w.usages = w.usages[:1] }, "is not for a server"},
		{"it has a URI", func(w *wish) { w.template.URIs = []*url.URL{u} }, "e-mail addresses or URIs"},
		{"it has an e-mail address", func(w *wish) { w.template.EmailAddresses = []string{"a@b"} }, "e-mail addresses or URIs"},
		{"it names nothing", func(w *wish) { w.template.DNSNames, w.template.IPAddresses = nil, nil }, "no name and no address"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := goodWish("serve-1")
			c.change(&w)
			name := "csr-" + string(rune('a'+i))
			l.ask(name, "serve-1", w)
			all, err := l.ServingRequests(l.Context())
			if err != nil || len(all) == 0 {
				t.Fatal(all, err)
			}
			for _, r := range all {
				if r.Name != name {
					continue
				}
				err := r.Check([]netip.Addr{netip.MustParseAddr("10.0.0.7")})
				switch {
				case c.bad == "" && err != nil:
					t.Errorf("refused: %v", err)
				case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
					t.Errorf("error %v, want %q", err, c.bad)
				}
				return
			}
			t.Errorf("%s is not listed", name)
		})
	}
}

func TestARequestThatAPersonMadeIsNotAKubelets(t *testing.T) {
	l := simulated(t)
	w := goodWish("serve-1")
	der, err := x509.CreateCertificateRequest(rand.Reader, &w.template, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.admin.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "forged"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Usages: w.usages,
			Request: pemBlock("CERTIFICATE REQUEST", der), Username: "system:node:serve-1",
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := l.ApproveServing(t.Context(), map[string][]netip.Addr{"serve-1": {netip.MustParseAddr("10.0.0.7")}, "admin": {netip.MustParseAddr("10.0.0.7")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := decision(decisions, "forged"); fleet.KindOf(d.Err) != fleet.Refused {
		t.Errorf("decision %+v", d)
	}
}

func TestANodeThatAsksIsApproved(t *testing.T) {
	l := simulatedAt(t, 100)
	l.kubelet("w-1", func(k *world.Kubelet) { k.ServingCSR = true })
	l.until("w-1 asked and was approved", func() bool {
		all, err := l.ApproveServing(t.Context(), map[string][]netip.Addr{"w-1": {netip.MustParseAddr("10.0.0.2")}})
		return err == nil && len(all) == 1 && all[0].Err == nil
	})
	l.until("it got its certificate", func() bool {
		all, err := l.admin.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{FieldSelector: "spec.signerName=" + certificatesv1.KubeletServingSignerName})
		return err == nil && len(all.Items) == 1 && len(all.Items[0].Status.Certificate) > 0
	})
}
