package kubeapi

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// identity is who asks: the common name and the organisations of a client certificate.
type identity struct {
	name   string
	groups []string
}

const (
	masters       = "system:masters"
	nodesGroup    = "system:nodes"
	nodePrefix    = "system:node:"
	authenticated = "system:authenticated"
)

// serverTLS asks for a client certificate and leaves its check to authenticate, as kube-apiserver does: a bad
// one is an answer, 401, and no broken handshake.
func serverTLS(conf *tls.Config) *tls.Config {
	conf = conf.Clone()
	conf.ClientAuth = tls.RequestClientCert
	conf.NextProtos = nil // net/http adds h2 and http/1.1
	return conf
}

func (s *server) authenticate(r *http.Request) (identity, bool) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || s.conf.TLS.ClientCAs == nil {
		return identity{}, false
	}
	chain := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	cert := r.TLS.PeerCertificates[0]
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: s.conf.TLS.ClientCAs, Intermediates: chain,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil || cert.Subject.CommonName == "" {
		return identity{}, false
	}
	return identity{name: cert.Subject.CommonName, groups: append(slices.Clone(cert.Subject.Organization), authenticated)}, true
}

// authorize lets masters do everything, nodes what kubelets do, and everybody ask about himself.
func (s *server) authorize(q *request) error {
	if q.review != nil || q.who.may(q.verb, q.res, q.sub, q.namespace, q.name) {
		return nil
	}
	scope := "at the cluster scope"
	if q.namespace != "" {
		scope = fmt.Sprintf("in the namespace %q", q.namespace)
	}
	what := q.res.plural
	if q.sub != "" {
		what += "/" + q.sub
	}
	return apierrors.NewForbidden(q.res.groupResource(), q.name, fmt.Errorf("User %q cannot %s resource %q in API group %q %s",
		q.who.name, q.verb, what, q.res.version.Group, scope))
}

func (w identity) may(verb string, res *resource, sub, namespace, name string) bool {
	if slices.Contains(w.groups, masters) {
		return true
	}
	node, isNode := strings.CutPrefix(w.name, nodePrefix)
	if !isNode || !slices.Contains(w.groups, nodesGroup) {
		return false
	}
	reading := verb == "get" || verb == "list" || verb == "watch"
	switch res {
	case nodes: // NodeRestriction: its own only; Talos' controllers use this to label and cordon
		return reading || verb == "create" || ((verb == "patch" || verb == "update") && name == node)
	case pods:
		return reading || verb == "create" || verb == "delete" || sub == "eviction" || sub == "status"
	case events:
		return verb == "create" || verb == "update" || verb == "patch"
	case leases:
		return namespace == corev1.NamespaceNodeLease && (name == node || verb == "create")
	case csrs:
		return verb == "create" || verb == "get" || verb == "list" || verb == "watch"
	case services, endpoints, configmaps, secrets, accounts, namespaces:
		return reading
	}
	return false
}

// reviews are the requests about oneself (kubectl auth whoami, kubectl auth can-i).
var reviews = map[string]func(*server, *request, []byte) (any, error){
	"authentication.k8s.io/v1/selfsubjectreviews":      whoAmI,
	"authorization.k8s.io/v1/selfsubjectaccessreviews": canI,
}

func (s *server) review(w http.ResponseWriter, q *request) error {
	data, _, err := q.body(jsonBody)
	if err != nil {
		return err
	}
	v, err := q.review(s, q, data)
	if err != nil {
		return err
	}
	answer(w, http.StatusCreated, v)
	return nil
}

func whoAmI(_ *server, q *request, data []byte) (any, error) {
	var review authenticationv1.SelfSubjectReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	review.Kind, review.APIVersion = "SelfSubjectReview", authenticationv1.SchemeGroupVersion.String()
	review.Status.UserInfo = authenticationv1.UserInfo{Username: q.who.name, Groups: q.who.groups}
	return &review, nil
}

func canI(_ *server, q *request, data []byte) (any, error) {
	var review authorizationv1.SelfSubjectAccessReview
	if err := decode(data, &review); err != nil {
		return nil, err
	}
	review.Kind, review.APIVersion = "SelfSubjectAccessReview", authorizationv1.SchemeGroupVersion.String()
	review.Status.Allowed = slices.Contains(q.who.groups, masters)
	if a := review.Spec.ResourceAttributes; a != nil && !review.Status.Allowed {
		for _, res := range resources {
			if res.plural == a.Resource && res.version.Group == a.Group {
				review.Status.Allowed = q.who.may(a.Verb, res, a.Subresource, a.Namespace, a.Name)
			}
		}
	}
	return &review, nil
}
