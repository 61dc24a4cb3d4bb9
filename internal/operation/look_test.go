package operation_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// A cluster is asked: before it runs, while it does, and when one of its machines is dark.
func TestALookAtAClusterTellsWhoAnswersAndWhoDoesNot(t *testing.T) {
	t.Parallel()
	l := newLabWith(t, quick, rescuehost.Options{})
	c := l.cluster(t, nil, []string{"control-plane-1", "worker-1"})
	before, err := l.ops.LookAtCluster(t.Context(), c.Name)
	if err != nil || len(before.Nodes) != 0 || !strings.Contains(before.Kubernetes.Problem, "not bootstrapped") {
		t.Errorf("before anything is installed: %+v, %v", before, err)
	}
	l.engine(t, workflow.Options{})
	for _, name := range []string{"control-plane-1", "worker-1"} {
		l.succeeds(t, l.install(t, name).ID)
	}
	look, err := l.ops.LookAtCluster(t.Context(), c.ID)
	if err != nil || len(look.Nodes) != 2 {
		t.Fatalf("it tells of %d nodes, %v", len(look.Nodes), err)
	}
	plane, worker := look.Nodes[0], look.Nodes[1]
	if plane.Problem != "" || worker.Problem != "" || plane.Talos != c.TalosVersion || plane.Etcd != "Running" || worker.Etcd != "" {
		t.Errorf("the nodes say %+v and %+v", plane, worker)
	}
	if len(look.Members) != 1 || look.Members[0].Server != plane.Server.ID || look.Members[0].State != "Running" || !slices.Equal(look.Members[0].SeenBy, []string{"control-plane-1"}) {
		t.Errorf("etcd's members are %+v", look.Members)
	}
	known := func(n operation.KubeNode) bool { return n.Ready && n.Server != "" && n.Kubelet == c.KubernetesVersion }
	if k := look.Kubernetes; k.Problem != "" || k.Version != c.KubernetesVersion || len(k.Nodes) != 2 || !known(k.Nodes[0]) || !known(k.Nodes[1]) {
		t.Errorf("Kubernetes says %+v", k)
	}
	l.machine(t, "worker-1").PowerCut()
	if look, err = l.ops.LookAtCluster(t.Context(), c.ID); err != nil || look.Nodes[0].Problem != "" || look.Nodes[1].Problem == "" {
		t.Errorf("with a dark worker: %+v, %v", look.Nodes, err)
	}
	if _, err := l.ops.LookAtCluster(t.Context(), "nobody"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("no cluster: %v", err)
	}
}
