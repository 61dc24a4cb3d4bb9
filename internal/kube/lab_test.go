package kube_test

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/simulator/kubeapi"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// lab is a cluster under test, and what plays the rest of the world in it.
type lab struct {
	*testing.T
	url  string
	dial dialer
	ca   *authority
	real bool
	*kube.Cluster
	admin kubernetes.Interface

	// Of the simulator only.
	world  *world.World
	sim    *kubeapi.Kubernetes
	silent atomic.Bool // etcd has no quorum
}

// everywhere runs a promise against the simulator and against a real kube-apiserver: so the simulator is held to
// what the real one does.
func everywhere(t *testing.T, promise func(*lab)) {
	t.Run("simulator", func(t *testing.T) { promise(simulated(t)) })
	t.Run("real", func(t *testing.T) { promise(realCluster(t)) })
}

func simulated(t *testing.T) *lab { return simulatedAt(t, 1) }

// simulatedAt has a world of so many seconds a second.
func simulatedAt(t *testing.T, speed float64) *lab {
	t.Helper()
	w := world.New(world.Options{Speed: speed, Seed: 1})
	t.Cleanup(w.Close)
	l := &lab{T: t, url: "https://10.0.0.1:6443", dial: w.Net.DialContext, ca: newAuthority(t), world: w, sim: kubeapi.New(w)}
	listener, err := w.Net.Listen("10.0.0.1:6443")
	if err != nil {
		t.Fatal(err)
	}
	conf := world.APIServer{Node: "cp-1", Version: "v1.36.3", TLS: l.ca.serverTLS(), HasQuorum: func() bool { return !l.silent.Load() }}
	w.Go(func(ctx context.Context) { l.sim.ServeAPI(ctx, "prod", listener, conf) })
	l.open()
	return l
}

func (l *lab) open() {
	l.Helper()
	l.Cluster = l.as("admin", "system:masters")
	l.admin = l.client("admin", "system:masters")
}

// as opens the cluster for another user.
func (l *lab) as(user string, groups ...string) *kube.Cluster {
	l.Helper()
	c, err := kube.Open(kubeconfig(l.url, l.ca, l.ca, user, groups...), l.dial)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(c.Close)
	return c
}

// client is client-go itself, for what the code under test does not do.
func (l *lab) client(user string, groups ...string) kubernetes.Interface {
	l.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig(l.url, l.ca, l.ca, user, groups...))
	if err != nil {
		l.Fatal(err)
	}
	config.Dial, config.QPS, config.Burst = l.dial, 1000, 1000
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// addNode registers a node that nobody runs, and waits until the controllers are done with it.
func (l *lab) addNode(name string, change func(*corev1.Node)) {
	l.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	status := corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
			LastTransitionTime: metav1.Now(),
		}},
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.7"}, {Type: corev1.NodeHostName, Address: name}},
		NodeInfo:  corev1.NodeSystemInfo{KubeletVersion: "v1.36.3", OSImage: "Talos (v1.14.1)"},
	}
	n.Status = status
	if change != nil {
		change(n)
	}
	status = n.Status
	made, err := l.admin.CoreV1().Nodes().Create(l.Context(), n, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	made.Status, made.ResourceVersion = status, ""
	if _, err := l.admin.CoreV1().Nodes().UpdateStatus(l.Context(), made, metav1.UpdateOptions{}); err != nil {
		l.Fatal(err)
	}
	l.until(name+" has its pod network", func() bool { return l.real || l.raw(name).Spec.PodCIDR != "" })
}

// raw reads a node as Kubernetes has it.
func (l *lab) raw(name string) *corev1.Node {
	l.Helper()
	n, err := l.admin.CoreV1().Nodes().Get(l.Context(), name, metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return n
}

// kubelet runs a node of the simulator until the world ends.
func (l *lab) kubelet(name string, change func(*world.Kubelet)) {
	k := world.Kubelet{
		Node: name, Version: "v1.36.3", TalosVersion: "v1.14.1", Arch: "amd64", Cores: 4, MemoryBytes: 8 << 30,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
	}
	if change != nil {
		change(&k)
	}
	l.world.Go(func(ctx context.Context) { l.sim.RunKubelet(ctx, "prod", k) })
}

func (l *lab) until(what string, ok func() bool) {
	l.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	l.Fatalf("never happened: %s", what)
}

func (l *lab) mergePatch(node, patch string) error {
	_, err := l.admin.CoreV1().Nodes().Patch(l.Context(), node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}
