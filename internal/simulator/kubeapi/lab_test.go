package kubeapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/talos-manager/talos-manager/internal/simulator/kubeapi"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// lab is a world with one cluster, "prod", whose API is at 10.0.0.1:6443.
type lab struct {
	*testing.T
	world  *world.World
	kube   *kubeapi.Kubernetes
	ca     *authority
	quorum atomic.Bool // is lost when true
	stop   func()      // stops the API server and waits for its end
}

const address = "10.0.0.1:6443"

// newLab serves the API; speed is seconds of the world in a second.
func newLab(t *testing.T, speed float64) *lab {
	t.Helper()
	l := &lab{T: t, world: world.New(world.Options{Speed: speed, Seed: 1}), ca: newAuthority(t)}
	t.Cleanup(l.world.Close)
	l.kube = kubeapi.New(l.world)
	l.serve("cp-1", address)
	return l
}

func (l *lab) serve(node, at string) {
	l.Helper()
	listener, err := l.world.Net.Listen(at)
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.world.Context())
	done := make(chan struct{})
	l.stop = func() { cancel(); <-done }
	conf := world.APIServer{Node: node, Version: "v1.36.3", TLS: l.ca.server(), HasQuorum: func() bool { return !l.quorum.Load() }}
	l.world.Go(func(context.Context) { defer close(done); l.kube.ServeAPI(ctx, "prod", listener, conf) })
}

// kubelet runs a kubelet until the returned function is called.
func (l *lab) kubelet(name string, change func(*world.Kubelet)) (stop func()) {
	k := world.Kubelet{
		Node: name, Version: "v1.36.3", TalosVersion: "v1.14.1", Arch: "amd64", Cores: 4, MemoryBytes: 8 << 30,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Endpoint: func() bool { return true },
	}
	if change != nil {
		change(&k)
	}
	ctx, cancel := context.WithCancel(l.world.Context())
	done := make(chan struct{})
	l.world.Go(func(context.Context) { defer close(done); l.kube.RunKubelet(ctx, "prod", k) })
	return func() { cancel(); <-done }
}

func controlPlane(k *world.Kubelet) { k.ControlPlane = true }

// config is for a user of some groups; none gives no certificate at all.
func (l *lab) config(user string, groups ...string) *rest.Config {
	c := &rest.Config{Host: "https://" + address, Dial: l.world.Net.DialContext, Timeout: 20 * time.Second, QPS: 1000, Burst: 1000}
	c.CAData = l.ca.pem
	if user != "" {
		c.CertData, c.KeyData = l.ca.client(user, groups...)
	}
	return c
}

func (l *lab) client(user string, groups ...string) *kubernetes.Clientset {
	l.Helper()
	c, err := kubernetes.NewForConfig(l.config(user, groups...))
	if err != nil {
		l.Fatal(err)
	}
	return c
}

func (l *lab) admin() *kubernetes.Clientset {
	l.Helper()
	return l.client("admin", "system:masters")
}

// until polls; what says what never happened.
func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	l.Fatalf("never happened: %s", what)
}

func (l *lab) node(c kubernetes.Interface, name string) *corev1.Node {
	n, err := c.CoreV1().Nodes().Get(l.Context(), name, metav1.GetOptions{})
	if err != nil {
		return &corev1.Node{}
	}
	return n
}

func ready(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// authority is the Kubernetes CA of the lab.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (a *authority) server() *tls.Config {
	cert, key, _ := a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("127.0.0.1")},
	})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientCAs: pool, MinVersion: tls.VersionTLS12}
}

func (a *authority) client(user string, groups ...string) (cert, key []byte) {
	_, k, cert := a.make(&x509.Certificate{Subject: pkix.Name{CommonName: user, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func hasTaint(n *corev1.Node, key string) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == key {
			return true
		}
	}
	return false
}

func (l *lab) events(c kubernetes.Interface, reason string) []corev1.Event {
	l.Helper()
	all, err := c.CoreV1().Events("").List(l.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason})
	if err != nil {
		l.Fatal(err)
	}
	return all.Items
}

func (l *lab) patch(c kubernetes.Interface, node, patch string) {
	l.Helper()
	if _, err := c.CoreV1().Nodes().Patch(l.Context(), node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
}
