// Package kube speaks to the Kubernetes API of one cluster: which nodes there are and why they are not Ready, labels
// and taints, cordons, deleting a node, and serving certificates for kubelets.
//
// It refuses a kubeconfig that runs a program, reads files or trusts any server. It never takes away a label or a taint
// that it was not asked about, and never changes one that Talos owns (annotations talos.dev/owned-…), because Talos
// would change it back. It never approves a certificate for a name or an address that the caller does not know to be
// that node's. It does not drain and does not wait; whoever waits looks again.
package kube

import (
	"context"
	"net"
	"net/http"
	"time"

	certificates "k8s.io/client-go/kubernetes/typed/certificates/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// manager is the field manager that our changes carry in the API's records.
const manager = "talos-manager"

// callTime ends a call that nobody answers: an API server without etcd quorum holds requests for a minute, and an
// operation's slice is shorter.
const callTime = 10 * time.Second

// Cluster is the API of one Kubernetes cluster. It is safe for use by many goroutines. Close it.
type Cluster struct {
	host      string
	core      *core.CoreV1Client
	requests  *certificates.CertificatesV1Client
	transport *http.Transport
}

// Open reads a kubeconfig and makes a client of its current context; it does not connect yet. A nil dial is the
// ordinary one.
func Open(kubeconfig []byte, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Cluster, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "read kubeconfig: %w", err)
	}
	if err := acceptable(config); err != nil {
		return nil, err
	}
	config.UserAgent = manager
	config.WarningHandler = rest.NoWarnings{} // the default one writes to stderr
	config.QPS, config.Burst = 50, 100
	return open(config, dial)
}

// acceptable refuses a kubeconfig that would run programs or read files here, or talk to anybody who answers.
func acceptable(config *rest.Config) error {
	hint := "give a kubeconfig with the CA and a client certificate or a token inside it"
	switch {
	case config.ExecProvider != nil || config.AuthProvider != nil:
		return fleet.Errorf(fleet.Invalid, "kubeconfig of %s runs a program to log in", config.Host).WithHint("%s", hint)
	case config.CAFile+config.CertFile+config.KeyFile+config.BearerTokenFile != "":
		return fleet.Errorf(fleet.Invalid, "kubeconfig of %s refers to files", config.Host).WithHint("%s", hint)
	case config.Insecure:
		return fleet.Errorf(fleet.Invalid, "kubeconfig of %s does not check the server's certificate", config.Host).WithHint("%s", hint)
	}
	return nil
}

// open has a transport of its own instead of client-go's shared ones: those are never freed when they have a dialer.
func open(config *rest.Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Cluster, error) {
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "kubeconfig of %s: %w", config.Host, err)
	}
	t := &http.Transport{
		TLSClientConfig: secure, DialContext: dial, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: callTime, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 4,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
	}
	if dial == nil {
		t.Proxy = http.ProxyFromEnvironment
		t.DialContext = (&net.Dialer{Timeout: callTime, KeepAlive: 30 * time.Second}).DialContext
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, t)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "kubeconfig of %s: %w", config.Host, err)
	}
	// Only the groups that are used: the clients of all of them make the program 10 MB larger.
	client := &http.Client{Transport: wrapped}
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst) // of both together
	c := &Cluster{host: config.Host, transport: t}
	if c.core, err = core.NewForConfigAndClient(config, client); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "kubeconfig of %s: %w", config.Host, err)
	}
	if c.requests, err = certificates.NewForConfigAndClient(config, client); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "kubeconfig of %s: %w", config.Host, err)
	}
	return c, nil
}

// Close ends the connections that no call uses.
func (c *Cluster) Close() { c.transport.CloseIdleConnections() }

// Version is the API server's, v1.36.3.
func (c *Cluster) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	data, err := c.core.RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		return "", c.explain(ctx, err, "ask for the version")
	}
	return readVersion(data)
}
