package operation

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// ClusterLook is what the nodes and the Kubernetes API of a cluster say of themselves at one moment. Whoever did not
// answer is in it, with why.
type ClusterLook struct {
	At         time.Time
	Took       time.Duration
	Nodes      []NodeLook // of servers that run as nodes by our records, by hostname
	Members    []EtcdMember
	Kubernetes KubernetesLook
}

// NodeLook is what Talos of one server says.
type NodeLook struct {
	Server  fleet.Server
	Talos   string   // v1.14.1
	Etcd    string   // what its etcd service is: Running, Preparing; "" on workers
	Ailing  []string // services that are not well, as "kubelet: Failed (exit code 1)"
	Problem string   // why it did not answer, "" if it did
	members []talos.Member
}

// EtcdMember is a member of etcd, as control planes list it.
type EtcdMember struct {
	ID       uint64
	Hostname string // "" of a learner that has just joined
	Learner  bool
	Server   string   // id of the server whose node has the hostname, "" if none of ours has
	State    string   // of its etcd service as its own node says, "" if it did not answer
	SeenBy   []string // hostnames of the control planes that list it
	Missed   []string // of those that list members, but not this one
}

// KubernetesLook is what the Kubernetes API says.
type KubernetesLook struct {
	Version string
	Nodes   []KubeNode
	Problem string // why it did not answer, "" if it did
}

// KubeNode is a node of Kubernetes.
type KubeNode struct {
	Name     string
	Ready    bool
	Reason   string // why it is not Ready
	Since    time.Time
	Kubelet  string // v1.36.3
	Cordoned bool
	Server   string // id of the server whose node has the name, "" if none of ours has
}

const (
	lookTime    = 10 * time.Second // for all of a cluster: a person waits for it
	looksAtOnce = 32
)

// LookAtCluster asks the nodes of a cluster over Talos' API, and its Kubernetes API, how they are. It takes some seconds
// at most: who has not answered by then is said not to have. Nothing is written down.
func (o *Operations) LookAtCluster(ctx context.Context, ref string) (ClusterLook, error) {
	cluster, err := o.Store.Cluster(ctx, ref)
	if err != nil {
		return ClusterLook{}, err
	}
	servers, err := o.Store.Servers(ctx, store.ServerFilter{ClusterID: cluster.ID, States: nodes, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return ClusterLook{}, err
	}
	l := ClusterLook{At: o.Now(), Nodes: make([]NodeLook, len(servers))}
	begun := time.Now()
	slices.SortFunc(servers, func(a, b fleet.Server) int { return cmp.Compare(a.Hostname(), b.Hostname()) })
	bounded, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { l.Kubernetes = o.lookAtKubernetes(bounded, cluster, servers) })
	turns := make(chan struct{}, looksAtOnce)
	for i, s := range servers {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			l.Nodes[i] = o.lookAtNode(bounded, &cluster, s)
		})
	}
	all.Wait()
	l.Members, l.Took = membersOf(l.Nodes), time.Since(begun)
	return l, ctx.Err()
}

// lookAtNode asks one node. A control plane is asked for the members of etcd only when there is an etcd: the call hangs
// before.
func (o *Operations) lookAtNode(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) NodeLook {
	l := NodeLook{Server: s}
	if ctx.Err() != nil {
		l.Problem = "it was not asked any more: the others took too long"
		return l
	}
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		l.Problem = plainly(err)
		return l
	}
	defer node.Close()
	err = talos.Look(ctx, func(ctx context.Context) error {
		version, err := node.Version(ctx)
		if err != nil {
			return err
		}
		l.Talos = version.Tag
		services, err := node.Services(ctx)
		l.note(services)
		if err != nil || s.Assignment.Role != fleet.ControlPlane || l.Etcd != "Running" || cluster.BootstrappedAt.IsZero() {
			return err
		}
		l.members, err = node.Members(ctx)
		return err
	})
	if err != nil {
		l.Problem = ofNode.ReplaceAllString(plainly(err), "")
	}
	return l
}

// note keeps what is worth knowing of services.
func (l *NodeLook) note(services []talos.Service) {
	for _, s := range services {
		if s.ID == "etcd" {
			l.Etcd = s.State
		}
		switch {
		case s.Known && !s.Healthy:
			l.Ailing = append(l.Ailing, fmt.Sprintf("%s: not healthy (%s)", s.ID, s.Message))
		case s.State == "Failed":
			l.Ailing = append(l.Ailing, fmt.Sprintf("%s: %s (%s)", s.ID, s.State, s.Message))
		}
	}
}

// membersOf puts together what control planes say of etcd's members: where they differ, etcd is in trouble.
func membersOf(looks []NodeLook) []EtcdMember {
	var all []EtcdMember
	var asked []string
	for _, l := range looks {
		if l.members == nil {
			continue
		}
		by := l.Server.Hostname()
		asked = append(asked, by)
		for _, m := range l.members {
			i := slices.IndexFunc(all, func(e EtcdMember) bool { return e.ID == m.ID })
			if i < 0 {
				i, all = len(all), append(all, EtcdMember{ID: m.ID, Hostname: m.Hostname, Learner: m.Learner})
			}
			all[i].SeenBy = append(all[i].SeenBy, by)
		}
	}
	for i := range all {
		for _, by := range asked {
			if !slices.Contains(all[i].SeenBy, by) {
				all[i].Missed = append(all[i].Missed, by)
			}
		}
		for _, l := range looks {
			if all[i].Hostname != "" && l.Server.Hostname() == all[i].Hostname {
				all[i].Server, all[i].State = l.Server.ID, l.Etcd
			}
		}
	}
	slices.SortFunc(all, func(a, b EtcdMember) int { return cmp.Compare(a.Hostname, b.Hostname) })
	return all
}

// lookAtKubernetes asks the API of a cluster; one that was never bootstrapped has none.
func (o *Operations) lookAtKubernetes(ctx context.Context, cluster fleet.Cluster, servers []fleet.Server) (l KubernetesLook) {
	if cluster.BootstrappedAt.IsZero() {
		l.Problem = "etcd is not bootstrapped yet: there is no Kubernetes API"
		return l
	}
	k, err := o.Kubernetes(ctx, cluster.ID)
	if err != nil {
		l.Problem = plainly(err)
		return l
	}
	defer k.Close()
	if l.Version, err = k.Version(ctx); err != nil {
		l.Problem = plainly(err)
		return l
	}
	listed, err := k.Nodes(ctx)
	if err != nil {
		l.Problem = plainly(err)
	}
	for _, n := range listed {
		l.Nodes = append(l.Nodes, kubeNode(n, servers))
	}
	return l
}

func kubeNode(n kube.Node, servers []fleet.Server) KubeNode {
	out := KubeNode{Name: n.Name, Ready: n.Ready, Reason: n.Reason, Since: n.Since, Kubelet: n.Version, Cordoned: n.Unschedulable}
	for _, s := range servers {
		if s.Hostname() == n.Name {
			out.Server = s.ID
		}
	}
	return out
}

// wrapping is what gRPC puts around a reason.
var wrapping = regexp.MustCompile(`rpc error: code = \w+ desc = |connection error: desc = |transport: Error while dialing: |"`)

// ofNode names the call and the node, which whoever reads of a node knows.
var ofNode = regexp.MustCompile(`^[a-z ]+ of node \S+: `)

// plainly is an error without the words of the libraries that passed it on.
func plainly(err error) string {
	text := wrapping.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", "; "), "")
	return strings.ReplaceAll(text, "context deadline exceeded", "no answer in time")
}
