package talosnode

import (
	"context"
	"crypto/tls"
	stdx509 "crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/siderolabs/crypto/x509"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
)

// nodeStatus is what Kubernetes says of the node.
type nodeStatus struct {
	ready, unschedulable bool
	labels, annotations  map[string]string
	podCIDRs             []netip.Prefix
}

// watch keeps up to date what others say of the node and of the cluster. The Kubernetes API is asked with the
// kubelet's rights as Talos' NodeStatusController does: often until the node is ready, seldom then.
func (k *kubernetes) watch(ctx context.Context) {
	n := k.node
	var client *http.Client
	defer func() {
		if client != nil {
			client.CloseIdleConnections()
		}
	}()
	asked, told, changes := time.Time{}, time.Time{}, 0
	for n.rest(ctx, k.pace()) {
		if now := n.env.Clusters.changesOf(n); now != changes && time.Since(told) >= n.slowly(discoveryPace) {
			changes, told = now, time.Now()
			n.publish()
		}
		if client == nil && n.env.Kubernetes != nil {
			client = k.client()
		}
		if client != nil && time.Since(asked) >= k.patience() {
			k.look(ctx, client)
			asked = time.Now()
		}
		n.status.tick()
	}
}

// ready says whether the node was ready when Kubernetes was last asked.
func (k *kubernetes) ready() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status != nil && k.status.ready
}

// pace is how often the node looks at itself: a control plane must notice that its pods fail.
func (k *kubernetes) pace() time.Duration {
	switch {
	case !k.ready():
		return time.Second
	case k.node.controlPlane():
		return 2 * time.Second
	}
	return 20 * time.Second
}

// patience is how long an answer of Kubernetes is good for.
func (k *kubernetes) patience() time.Duration {
	if !k.ready() {
		return 0
	}
	return k.node.slowly(20 * time.Second)
}

func (k *kubernetes) look(ctx context.Context, client *http.Client) {
	found, err := k.ask(ctx, client)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.status = found
	}
}

// client has a certificate as the kubelet's, once a control plane can sign it.
func (k *kubernetes) client() *http.Client {
	n := k.node
	ca := n.env.Clusters.kubeCA(n)
	if ca == nil {
		return nil
	}
	pair, err := issue(ca, kubeLifetime, stdx509.KeyUsageDigitalSignature, []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth},
		x509.CommonName("system:node:"+k.nodeName()), x509.Organization("system:nodes"))
	if err != nil {
		return nil
	}
	return &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := n.dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			c := tls.Client(raw, &tls.Config{RootCAs: n.kubeCAs(), ServerName: "kubernetes", Certificates: []tls.Certificate{*pair.Certificate}})
			if err := c.HandshakeContext(ctx); err != nil {
				raw.Close()
				return nil, err
			}
			return c, nil
		},
		MaxIdleConnsPerHost: 1,
	}}
}

var errNoAnswer = errors.New("the Kubernetes API does not answer")

func (k *kubernetes) ask(ctx context.Context, client *http.Client) (*nodeStatus, error) {
	n := k.node
	server, _ := n.env.Clusters.apiServer(n)
	if server == nil {
		return nil, errNoAnswer
	}
	ctx, cancel := context.WithTimeout(ctx, max(n.w.Real(10*time.Second), time.Second))
	defer cancel()
	where := "https://" + net.JoinHostPort(server.address().String(), "6443") + "/api/v1/nodes/" + k.nodeName()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errNoAnswer
	}
	return decodeNode(json.NewDecoder(answer.Body))
}

// decodeNode reads the little of a Node that Talos shows.
func decodeNode(d *json.Decoder) (*nodeStatus, error) {
	var o struct {
		Metadata struct{ Labels, Annotations map[string]string }
		Spec     struct {
			Unschedulable bool
			PodCIDRs      []string
		}
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	s := &nodeStatus{unschedulable: o.Spec.Unschedulable, labels: o.Metadata.Labels, annotations: o.Metadata.Annotations}
	for _, c := range o.Status.Conditions {
		s.ready = s.ready || c.Type == "Ready" && c.Status == "True"
	}
	for _, c := range o.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(c); err == nil {
			s.podCIDRs = append(s.podCIDRs, p)
		}
	}
	return s, nil
}

// view is what COSI shows of the node and its static pods.
func (k *kubernetes) view() (*resources.NodeStatus, []resources.StaticPod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var node *resources.NodeStatus
	if s := k.status; s != nil {
		node = &resources.NodeStatus{Ready: s.ready, Unschedulable: s.unschedulable, Labels: s.labels, Annotations: s.annotations, PodCIDRs: s.podCIDRs}
	}
	if !k.node.controlPlane() {
		return node, nil
	}
	var pods []resources.StaticPod
	for _, name := range staticPods {
		pods = append(pods, resources.StaticPod{
			Name: name, Image: "registry.k8s.io/" + name + ":" + k.version(),
			Running: k.serves != "", Healthy: k.serves != "" && k.lost.IsZero(), Since: k.since,
		})
	}
	return node, pods
}

var staticPods = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// podView are the pods whose containers run here.
func (k *kubernetes) podView() []host.Pod {
	if k.serving() == "" {
		return nil
	}
	var pods []host.Pod
	for i, name := range staticPods {
		pods = append(pods, host.Pod{
			Namespace: "kube-system", Name: name + "-" + k.nodeName(),
			Containers: []host.Container{{Name: name, Image: "registry.k8s.io/" + name + ":" + k.version(), PID: int32(430 + i)}},
		})
	}
	return pods
}

// known says whether Kubernetes has the node.
func (k *kubernetes) known() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status != nil || k.node.env.Kubernetes == nil
}
