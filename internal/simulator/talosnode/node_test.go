package talosnode_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func TestAMachinePullsItsConfigFromTheURLOfItsKernelArgument(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.machine(2, map[uint8]string{world.MetaDownloadURLCode: "one-time"},
		"talos.config=http://manager.sim/config?uuid=${uuid}&mac=${mac}&code=${CODE}&serial=${serial}")
	l.until("three tries", func(context.Context) bool { return len(l.server.asked()) >= 3 })
	q, err := url.ParseQuery(l.server.asked()[0])
	if err != nil || q.Get("uuid") != m.UUID || q.Get("code") != "one-time" || q.Get("mac") != m.MAC || q.Get("serial") != m.Serial {
		t.Errorf("query %q", l.server.asked()[0])
	}
	if !strings.HasPrefix(l.server.from[0], "10.5.0.2:") {
		t.Errorf("asked from %s", l.server.from[0])
	}
	l.server.give(func(w http.ResponseWriter, _ *http.Request) { w.Write(l.controlPlane(m)) })
	c := l.answers(m)
	v, err := c.Version(context.Background())
	if err != nil || v.GetMessages()[0].GetVersion().GetTag() != "v1.13.9" {
		t.Errorf("version %v %v", v, err)
	}
}

func TestANodeInMaintenanceTakesAConfigAndComesBackWithTheClustersCertificate(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.machine(2, nil)
	c := l.maintenance(m)
	_, err := c.MachineClient.Reboot(context.Background(), &machine.RebootRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("reboot in maintenance: %v", err)
	}
	if r := l.apply(c, l.controlPlane(m)); r.GetMode() != machine.ApplyConfigurationRequest_NO_REBOOT || r.GetModeDetails() != "Applied configuration without a reboot" {
		t.Errorf("apply: %v", r)
	}
	l.answers(m)
}

func TestBootstrapWorksOnceAndMakesKubernetes(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	ctx, cancel := context.WithTimeout(context.Background(), slower*200*time.Millisecond)
	defer cancel()
	if _, err := c.EtcdMemberList(ctx, &machine.EtcdMemberListRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("members before bootstrap: %v", err)
	}
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("the data directory", func(ctx context.Context) bool {
		err := c.Bootstrap(ctx, &machine.BootstrapRequest{})
		return status.Code(err) == codes.AlreadyExists && status.Convert(err).Message() == "etcd data directory is not empty"
	})
	l.until("one member", func(context.Context) bool { return l.voters(c) == 1 })
	l.until("a healthy node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
}
