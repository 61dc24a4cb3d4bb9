package operation

import (
	"context"
	"strings"
	"sync"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// etcd looks at the etcd service of a control plane.
func (o *Operations) etcd(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) (talos.Service, error) {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return talos.Service{}, err
	}
	defer node.Close()
	var service talos.Service
	err = talos.Look(ctx, func(ctx context.Context) error {
		service, err = node.EtcdState(ctx)
		return err
	})
	return service, err
}

// hasData says that an etcd is, or was, part of a cluster. One that waits for its bootstrap, or to join, has none.
func hasData(s talos.Service) bool {
	return s.State == "Running" || s.State == "Failed" || strings.Contains(s.Message, "rpc not supported for learner")
}

// word is what a control plane says of its etcd.
type word struct {
	server fleet.Server
	etcd   talos.Service
	err    error
}

// askAll asks control planes at the same time: five that are switched off would take longer than a step may, one
// after the other.
func (o *Operations) askAll(ctx context.Context, cluster *fleet.Cluster, planes []fleet.Server) []word {
	words := make([]word, len(planes))
	var wg sync.WaitGroup
	for i, s := range planes {
		wg.Go(func() {
			words[i].server = s
			words[i].etcd, words[i].err = o.etcd(ctx, cluster, s)
		})
	}
	wg.Wait()
	return words
}

// controlPlanes lists the control planes of a cluster that are in one of the states, the one that bootstrapped first.
func (o *Operations) controlPlanes(ctx context.Context, cluster fleet.Cluster, states ...fleet.State) ([]fleet.Server, error) {
	all, err := o.Store.Servers(ctx, store.ServerFilter{ClusterID: cluster.ID, Role: fleet.ControlPlane, States: states, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	var out []fleet.Server
	for _, s := range all {
		if s.ID == cluster.BootstrapServerID {
			out = append([]fleet.Server{s}, out...)
		} else {
			out = append(out, s)
		}
	}
	return out, nil
}

// nodes are the states of servers that run as nodes.
var nodes = []fleet.State{fleet.Configured, fleet.Ready, fleet.Unhealthy}

// noMember refuses to wipe a control plane that etcd of its running cluster counts as a member: etcd would wait for it
// for ever, and lose its quorum the sooner. It is asked before the machine is rebooted: two members without one of them
// answer no more.
func (o *Operations) noMember(ctx context.Context, s fleet.Server) error {
	if s.Assignment.Role != fleet.ControlPlane {
		return nil
	}
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil || cluster.BootstrappedAt.IsZero() {
		return err
	}
	planes, err := o.controlPlanes(ctx, cluster, nodes...)
	if err != nil {
		return err
	}
	if len(planes) == 0 {
		return fleet.Errorf(fleet.Refused, "cluster %s was bootstrapped, and no control plane of it is left but %s: its etcd would be lost for good", cluster.Name, s.Name).
			WithHint("if it is lost already, make a new cluster: talos-manager cluster create; a second bootstrap of this one is never made")
	}
	for _, plane := range planes {
		members, err := o.members(ctx, &cluster, plane)
		if err != nil {
			continue // the next may answer
		}
		for _, m := range members {
			if m.Hostname == s.Hostname() {
				return fleet.Errorf(fleet.Refused, "etcd of cluster %s counts %s as a member (%x): wiping it would bring the cluster closer to losing its quorum", cluster.Name, s.Hostname(), m.ID).
					WithHint("remove the member first: talosctl -n %s etcd remove-member %x; then talos-manager operation retry", plane.Address(), m.ID)
			}
		}
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "no control plane of cluster %s says whether its etcd counts %s as a member", cluster.Name, s.Name).
		WithHint("mend one of its control planes first: talos-manager server list --cluster %s", cluster.Name)
}

func (o *Operations) members(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) (members []talos.Member, err error) {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return nil, err
	}
	defer node.Close()
	err = talos.Look(ctx, func(ctx context.Context) error {
		members, err = node.Members(ctx)
		return err
	})
	return members, err
}
