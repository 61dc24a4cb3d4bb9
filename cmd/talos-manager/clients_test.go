package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	talos "github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// tour is an exposed demo, seen with the official clients and nothing but the files it writes.
type tour struct {
	*demo
	ctx    context.Context
	values map[string]string
	hcloud *hcloud.Client
	talos  *clientconfig.Config
}

// The tour's stations need one demo, in this order: the last ones take a worker apart and put it together again.
func TestOfficialClientsWorkOnAnExposedDemo(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--expose", "--speed", "40")
	seen := watchPort(t, 2222)
	said := d.says(40*time.Second, staysUp)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	g := &tour{demo: d, ctx: ctx, values: d.env()}
	g.files(said)
	var err error
	if g.talos, err = clientconfig.Open(g.values["TALOSCONFIG"]); err != nil {
		t.Fatal(err)
	}
	g.hcloud = hcloud.NewClient(hcloud.WithEndpoint(g.values["HCLOUD_ENDPOINT"]), hcloud.WithToken(g.values["HCLOUD_TOKEN"]),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(10 * time.Millisecond)}))
	t.Run("every server has its own addresses", func(t *testing.T) { g.ports(t, seen()) })
	t.Run("hcloud reads", g.hcloudReads)
	t.Run("hcloud keys", g.hcloudKeys)
	t.Run("hcloud power", g.hcloudPower)
	t.Run("Kubernetes", g.kubernetes)
	t.Run("Talos reads", g.talosReads)
	t.Run("Talos resources", g.talosResources)
	t.Run("Talos streams", g.talosStreams)
	t.Run("Talos health", g.talosHealth)
	t.Run("Talos roles", g.talosRoles)
	t.Run("Talos refuses", g.talosRefuses)
	t.Run("rescue and maintenance", g.rescueAndMaintenance)
}

// files: env.sh names everything that is needed, and the text says how.
func (g *tour) files(said string) {
	g.t.Helper()
	for _, name := range []string{
		"TALOS_MANAGER_URL", "TALOS_MANAGER_TOKEN", "TALOSCONFIG", "KUBECONFIG", "HCLOUD_ENDPOINT", "HCLOUD_TOKEN",
		"ROBOT_URL", "HETZNER_WEBSERVICE_USER", "HETZNER_WEBSERVICE_PASSWORD", "FACTORY_URL",
	} {
		if g.values[name] == "" {
			g.t.Errorf("env.sh lacks %s", name)
		}
	}
	for _, name := range []string{"env.sh", "talosconfig", "kubeconfig"} {
		if info, err := os.Stat(filepath.Join(g.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			g.t.Errorf("%s: %v %v; it holds secrets", name, info, err)
		}
	}
	for _, command := range []string{"talos-manager server list", "hcloud server list", "talosctl -n ", "kubectl get nodes"} {
		if !strings.Contains(said, command) {
			g.t.Errorf("it does not say: %s", command)
		}
	}
}

// watchPort notes which loopback addresses have this port open at any time from now on.
func watchPort(t *testing.T, port int) func() []string {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	seen := map[string]bool{}
	suffix := fmt.Sprintf(":%04X", port)
	go func() {
		defer close(done)
		for tick := time.NewTicker(3 * time.Millisecond); ; {
			text, err := os.ReadFile("/proc/net/tcp")
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); err == nil && len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
					seen[socketAddress(f[1])] = true
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	end := func() []string {
		select {
		case <-stop:
		default:
			close(stop)
		}
		<-done
		var all []string
		for a := range seen {
			all = append(all, a)
		}
		return all
	}
	t.Cleanup(func() { end() })
	return end
}

// ports: Talos on 50000 of every server's own loopback address, Kubernetes on 6443 of every control plane's, and SSH
// was on 2222 of each while it was in rescue: this user may not open 22.
func (g *tour) ports(t *testing.T, rescue []string) {
	own := map[string]bool{}
	for _, c := range g.addresses(t) {
		if !net.ParseIP(c).IsLoopback() || c == "127.0.0.1" || own[c] {
			t.Errorf("address %s", c)
		}
		own[c] = true
	}
	if len(own) != 5 {
		t.Errorf("%d addresses", len(own))
	}
	for address := range own {
		for _, port := range []string{"50000", "6443"} {
			if port == "6443" && !slices.Contains(g.talos.Contexts[g.talos.Context].Endpoints, address) {
				continue
			}
			// The API server of a joining control plane comes up after its node is Ready.
			eventually(t, 10*time.Second, address+" listens on "+port, func() bool {
				return slices.Contains(listening(t, g.cmd.Process.Pid), net.JoinHostPort(address, port))
			})
		}
		if !slices.Contains(rescue, net.JoinHostPort(address, "2222")) {
			t.Errorf("SSH never listened on %s:2222", address)
		}
	}
}

// addresses of the nodes, as Kubernetes has them.
func (g *tour) addresses(t *testing.T) (all []string) {
	t.Helper()
	nodes, err := g.kube(t).CoreV1().Nodes().List(g.ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && strings.HasPrefix(a.Address, "127.") {
				all = append(all, a.Address)
			}
		}
	}
	return all
}

func (g *tour) kube(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", g.values["KUBECONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kubernetes: what kubectl get, cordon and taint ask for.
func (g *tour) kubernetes(t *testing.T) {
	c := g.kube(t)
	version, err := c.ServerVersion()
	if err != nil || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Fatalf("version %v, %v", version, err)
	}
	nodes, err := c.CoreV1().Nodes().List(g.ctx, metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 5 {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	for _, n := range nodes.Items {
		if !ready(&n) || n.Status.NodeInfo.KubeletVersion != version.GitVersion {
			t.Errorf("%s: ready %v, %s", n.Name, ready(&n), n.Status.NodeInfo.KubeletVersion)
		}
		_, plane := n.Labels["node-role.kubernetes.io/control-plane"]
		if _, worker := n.Labels["node-role.kubernetes.io/worker"]; plane == worker || plane != strings.HasPrefix(n.Name, "control-plane") {
			t.Errorf("%s has labels %v", n.Name, n.Labels)
		}
	}
	if taints := node(t, g, c, "worker-1").Spec.Taints; len(taints) != 1 || taints[0] != (corev1.Taint{Key: "role", Value: "database", Effect: "NoSchedule"}) {
		t.Errorf("taints of worker-1: %v", taints)
	}
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	if n, err := c.CoreV1().Nodes().Patch(g.ctx, "worker-1", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil || !n.Spec.Unschedulable {
		t.Errorf("cordon: %v, %v", n.Spec.Unschedulable, err)
	}
	patch = []byte(`{"spec":{"unschedulable":null}}`)
	if n, err := c.CoreV1().Nodes().Patch(g.ctx, "worker-1", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil || n.Spec.Unschedulable {
		t.Errorf("uncordon: %v, %v", n.Spec.Unschedulable, err)
	}
	pods, err := c.CoreV1().Pods("kube-system").List(g.ctx, metav1.ListOptions{LabelSelector: "tier=control-plane"})
	if err != nil || len(pods.Items) != 9 {
		t.Errorf("%d static pods of three control planes, %v", len(pods.Items), err)
	}
}

func node(t *testing.T, g *tour, c *kubernetes.Clientset, name string) *corev1.Node {
	t.Helper()
	n, err := c.CoreV1().Nodes().Get(g.ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// node is the official Talos client with a config, for one node.
func (g *tour) node(t *testing.T, config *clientconfig.Config, address string) *talos.Client {
	t.Helper()
	c, err := talos.New(g.ctx, talos.WithConfig(config), talos.WithEndpoints(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// address of a Cloud server.
func (g *tour) address(t *testing.T, name string) string {
	t.Helper()
	s, _, err := g.hcloud.Server.GetByName(g.ctx, name)
	if err != nil || s == nil {
		t.Fatalf("server %s: %v, %v", name, s, err)
	}
	return s.PublicNet.IPv4.IP.String()
}
