package talosnode_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
)

func (l *lab) tag(ctx context.Context, c *client.Client) string {
	v, err := c.Version(ctx)
	if err != nil {
		return ""
	}
	return v.GetMessages()[0].GetVersion().GetTag()
}

func image(version string) string {
	return "factory.talos.dev/metal-installer/" + strings.Repeat("b", 64) + ":" + version
}

func TestALegacyUpgradeRebootsIntoTheNewVersionAndARollbackIntoTheOld(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, _ = l.configured(2, l.controlPlane)
	m, c := l.configured(6, l.worker)
	if _, err := c.MachineClient.Upgrade(context.Background(), &machine.UpgradeRequest{Image: image("v9.9.9")}); err == nil ||
		!strings.Contains(err.Error(), "error validating installer image") {
		t.Errorf("an image that is not there: %v", err)
	}
	if _, err := c.MachineClient.Upgrade(context.Background(), &machine.UpgradeRequest{Image: image("v1.13.10")}); err != nil {
		t.Fatal(err)
	}
	c = l.client(m)
	l.until("the new version", func(ctx context.Context) bool { return l.tag(ctx, c) == "v1.13.10" })
	if _, err := c.MachineClient.Rollback(context.Background(), &machine.RollbackRequest{}); err != nil {
		t.Fatal(err)
	}
	c = l.client(m)
	l.until("the old version", func(ctx context.Context) bool { return l.tag(ctx, c) == "v1.13.9" })
	l.until("its config", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
}

func TestALifecycleUpgradeInstallsAndTheClientReboots(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, _ = l.configured(2, l.controlPlane)
	m, c := l.configured(6, l.worker)
	s, err := c.LifecycleClient.Upgrade(context.Background(), &machine.LifecycleServiceUpgradeRequest{
		Containerd: &common.ContainerdInstance{Driver: common.ContainerDriver_CRI, Namespace: common.ContainerdNamespace_NS_SYSTEM},
		Source:     &machine.InstallArtifactsSource{ImageName: image("v1.13.10")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var last *machine.LifecycleServiceInstallProgress
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = r.GetProgress()
	}
	if _, ok := last.GetResponse().(*machine.LifecycleServiceInstallProgress_ExitCode); !ok || last.GetExitCode() != 0 {
		t.Errorf("last message %v", last)
	}
	if tag := l.tag(context.Background(), c); tag != "v1.13.9" {
		t.Errorf("%s before the reboot", tag)
	}
	if err := c.Reboot(context.Background()); err != nil {
		t.Fatal(err)
	}
	c = l.client(m)
	l.until("the new version", func(ctx context.Context) bool { return l.tag(ctx, c) == "v1.13.10" })
}

func TestAnUpgradeOfOneOfTwoControlPlanesIsRefused(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, a := l.configured(2, l.controlPlane)
	_, _ = l.configured(3, l.controlPlane)
	if err := a.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("two voters", func(context.Context) bool { return l.voters(a) == 2 })
	_, err := a.MachineClient.Upgrade(context.Background(), &machine.UpgradeRequest{Image: image("v1.13.10")})
	if err == nil || !strings.Contains(err.Error(), "etcd member count(2) is insufficient to maintain quorum if upgrade commences") {
		t.Errorf("%v", err)
	}
}

func TestMetaIsWrittenAndDeleted(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	if err := c.MetaWrite(context.Background(), 12, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if meta := l.meta(m); meta[12] != "hello" {
		t.Errorf("META %v", meta)
	}
	if err := c.MetaDelete(context.Background(), 12); err != nil {
		t.Fatal(err)
	}
	if err := c.MetaDelete(context.Background(), 12); err == nil {
		t.Error("deleted twice")
	}
}
