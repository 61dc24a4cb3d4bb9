package manage_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Until a machine has them, a cluster's secrets can be replaced: by a bundle, or by what is in a control plane's config.
func TestSecretsAreReplacedUntilAMachineHasThem(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	c, err := l.CreateCluster(ctx, "test", manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.1:6443"})
	must(t, err)
	bundle, err := machineconfig.NewSecrets(c.TalosVersion, time.Now())
	must(t, err)
	read, err := l.BundleOf(bytes.ReplaceAll(bundle, []byte("\n"), []byte("\r\n")))
	if err != nil || !bytes.Equal(read, bundle) {
		t.Fatalf("a bundle with line ends of Windows: %v", err)
	}
	must(t, l.ReplaceSecrets(ctx, "test", "prod", read))
	if now, err := l.Store.Cluster(ctx, c.ID); err != nil || !bytes.Equal(now.Secrets, bundle) {
		t.Errorf("the cluster has others, %v", err)
	}
	if err := l.ReplaceSecrets(ctx, "test", "prod", []byte("cluster: {}\n")); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("no bundle: %v", err)
	}
	if _, err := l.BundleOf([]byte("machine:\n  type: worker\ncluster: {}\n")); err == nil {
		t.Error("a worker's config is taken for a bundle")
	}
	must(t, l.Store.MarkBootstrapped(ctx, c.ID, time.Now()))
	if err := l.ReplaceSecrets(ctx, "test", "prod", bundle); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("a cluster that runs: %v", err)
	}
}

func TestTheVSwitchOfAClusterIsChanged(t *testing.T) {
	l := newLab(t)
	l.rent(t, "db-1")
	ctx := t.Context()
	all, err := l.Store.VSwitches(ctx, "")
	must(t, err)
	_, err = l.CreateCluster(ctx, "test", manage.NewCluster{Name: "prod", Endpoint: "https://203.0.113.1:6443"})
	must(t, err)
	c, err := l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{VSwitch: &all[0].ID})
	if err != nil || c.VSwitchID != all[0].ID {
		t.Errorf("%+v, %v", c.VSwitchID, err)
	}
	nowhere := "nowhere"
	if _, err := l.UpdateCluster(ctx, "test", "prod", manage.ClusterChange{VSwitch: &nowhere}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("no vSwitch: %v", err)
	}
}

// What a cluster can be made of is what the factory builds and this program knows; without the factory, the newest.
func TestVersionsAreOfferedWithAndWithoutTheFactory(t *testing.T) {
	l := newLab(t)
	with := l.Offers(t.Context())
	if with.Problem != "" || len(with.Talos) < 2 || with.Talos[0] < with.Talos[1] || len(with.Kubernetes) == 0 {
		t.Errorf("with the factory: %+v", with)
	}
	for _, v := range with.Talos {
		if err := machineconfig.CheckTalos(v); err != nil {
			t.Errorf("offered, but refused: %v", err)
		}
	}
	l = newLab(t)
	l.sim.Close()
	for range 2 { // the second time it is not asked
		if without := l.Offers(t.Context()); without.Problem == "" || len(without.Talos) != 1 || without.Talos[0] != machineconfig.NewestTalos() {
			t.Errorf("without the factory: %+v", without)
		}
	}
}
