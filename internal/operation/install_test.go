package operation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

func TestFiveRentedServersBecomeAHealthyCluster(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dedicated, cloud := []string{"control-plane-1", "worker-1"}, []string{"control-plane-2", "control-plane-3", "worker-2"}
	c := l.cluster(t, dedicated, cloud)
	if _, err := l.manager.AddRule(t.Context(), "test", fleet.Rule{Match: "worker", Labels: map[string]string{"node-role.kubernetes.io/worker": ""}, Taints: []fleet.Taint{{Key: "role", Value: "batch", Effect: "NoSchedule"}}}); err != nil {
		t.Fatal(err)
	}
	l.engine(t, workflow.Options{})
	var ids []string
	for _, name := range append(dedicated, cloud...) {
		op, err := l.ops.Install(t.Context(), "test", name, operation.InstallOptions{Wipe: true})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, op.ID)
	}
	for _, id := range ids {
		if op := l.finish(t, id, 90*time.Second); op.State != fleet.Succeeded {
			l.dump(t, op)
			t.Fatalf("install is %s", op.State)
		}
	}
	k, err := l.ops.Kubernetes(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	nodes, err := k.Nodes(t.Context())
	if err != nil || len(nodes) != 5 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	for _, n := range nodes {
		if !n.Ready {
			t.Errorf("node %s is not Ready", n.Name)
		}
	}
}

// The reference's way: an image without any kernel argument of ours, and its grub.cfg edited in the rescue system.
func TestAPlainImageFetchesItsConfigByItsGrubLine(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.plainImages(l.sim.FactoryURL() + "/image/" + factory.Vanilla + "/v1.14.1/metal-amd64.raw.zst")
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Succeeded {
		l.dump(t, op)
		t.Fatalf("install is %s", op.State)
	}
	boot, err := world.ReadBoot(l.machine(t, "control-plane-1").Disks[0])
	if err != nil || !strings.Contains(boot.Cmdline, "talos.config="+l.config.URL+"/config?uuid=${uuid}&code=") {
		t.Errorf("the kernel line is %q, %v", boot.Cmdline, err)
	}
}
