package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	talos "github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (g *tour) plane(t *testing.T) *talos.Client {
	t.Helper()
	return g.node(t, g.talos, g.address(t, "control-plane-2"))
}

// talosReads: version, services, etcd members and status, memory, processes, containers, mounts, time, list, read,
// usage, kubeconfig.
func (g *tour) talosReads(t *testing.T) {
	c := g.plane(t)
	for _, r := range []struct {
		what string
		good func() (bool, error)
	}{
		{"version", func() (bool, error) {
			v, err := c.Version(g.ctx)
			return err == nil && strings.HasPrefix(v.Messages[0].Version.Tag, "v1.") && v.Messages[0].Platform.Name == "metal", err // docs/decisions/metal-image-on-cloud.md
		}},
		{"services", func() (bool, error) {
			v, err := c.ServiceList(g.ctx)
			return err == nil && slices.ContainsFunc(v.Messages[0].Services, func(s *machine.ServiceInfo) bool {
				return s.Id == "etcd" && s.State == "Running" && s.Health.Healthy
			}), err
		}},
		{"etcd members", func() (bool, error) {
			v, err := c.EtcdMemberList(g.ctx, &machine.EtcdMemberListRequest{})
			return err == nil && len(v.Messages[0].Members) == 3, err
		}},
		{"etcd status", func() (bool, error) {
			v, err := c.EtcdStatus(g.ctx)
			return err == nil && v.Messages[0].MemberStatus.Leader != 0 && len(v.Messages[0].MemberStatus.Errors) == 0, err
		}},
		{"memory", func() (bool, error) {
			v, err := c.Memory(g.ctx)
			return err == nil && v.Messages[0].Meminfo.Memtotal > 1<<20, err
		}},
		{"processes", func() (bool, error) {
			v, err := c.Processes(g.ctx)
			return err == nil && len(v.Messages[0].Processes) > 5, err
		}},
		{"containers of Talos", func() (bool, error) {
			v, err := c.Containers(g.ctx, constants.SystemContainerdNamespace, common.ContainerDriver_CONTAINERD)
			return err == nil && len(v.Messages[0].Containers) > 2, err
		}},
		{"containers of pods", func() (bool, error) {
			v, err := c.Containers(g.ctx, constants.K8sContainerdNamespace, common.ContainerDriver_CRI)
			return err == nil && slices.ContainsFunc(v.Messages[0].Containers, func(i *machine.ContainerInfo) bool { return strings.Contains(i.Image, "kube-apiserver") }), err
		}},
		{"mounts", func() (bool, error) {
			v, err := c.Mounts(g.ctx)
			return err == nil && slices.ContainsFunc(v.Messages[0].Stats, func(s *machine.MountStat) bool { return s.MountedOn == "/var" }), err
		}},
		{"time", func() (bool, error) {
			v, err := c.Time(g.ctx)
			return err == nil && v.Messages[0].Localtime.IsValid() && v.Messages[0].Server != "", err
		}},
		{"list", func() (bool, error) {
			stream, err := c.LS(g.ctx, &machine.ListRequest{Root: "/"})
			names, err := gather(stream, err, (*machine.FileInfo).GetRelativeName)
			return slices.Contains(names, "etc") && slices.Contains(names, "var"), err
		}},
		{"usage", func() (bool, error) {
			stream, err := c.DiskUsage(g.ctx, &machine.DiskUsageRequest{Paths: []string{"/var"}})
			sizes, err := gather(stream, err, (*machine.DiskUsageInfo).GetSize)
			return len(sizes) > 0 && sizes[0] > 0, err
		}},
		{"read", func() (bool, error) {
			r, err := c.Read(g.ctx, "/etc/os-release")
			if err != nil {
				return false, err
			}
			text, err := io.ReadAll(r)
			return strings.Contains(string(text), "ID=talos"), err
		}},
		{"kubeconfig", func() (bool, error) {
			text, err := c.Kubeconfig(g.ctx)
			return strings.Contains(string(text), "client-certificate-data"), err
		}},
		{"etcd snapshot", func() (bool, error) {
			r, err := c.EtcdSnapshot(g.ctx, &machine.EtcdSnapshotRequest{})
			if err != nil {
				return false, err
			}
			data, err := io.ReadAll(r)
			return len(data)%512 == 32, err // talosctl looks for the checksum behind it
		}},
		{"copy", func() (bool, error) {
			r, err := c.Copy(g.ctx, "/etc/hosts")
			if err != nil {
				return false, err
			}
			head, err := tar.NewReader(gunzip(t, r)).Next()
			return err == nil && head.Size > 0, err
		}},
	} {
		if good, err := r.good(); err != nil || !good {
			t.Errorf("%s: good %v, %v", r.what, good, err)
		}
	}
}

// talosResources are those of talosctl get.
func (g *tour) talosResources(t *testing.T) {
	c := g.plane(t)
	if all, err := safe.StateListAll[*cluster.Member](g.ctx, c.COSI); err != nil || all.Len() != 5 {
		t.Errorf("members: %d, %v", all.Len(), err)
	}
	status, err := safe.StateGetByID[*runtime.MachineStatus](g.ctx, c.COSI, runtime.MachineStatusID)
	if err != nil || status.TypedSpec().Stage != runtime.MachineStageRunning || !status.TypedSpec().Status.Ready {
		t.Errorf("machinestatus: %+v, %v", status, err)
	}
	mc, err := safe.StateGetByID[*config.MachineConfig](g.ctx, c.COSI, config.ActiveID)
	if err != nil || mc.Provider().RawV1Alpha1() == nil {
		t.Errorf("machineconfig: %v", err)
	}
	if disk, err := safe.StateGetByID[*block.Disk](g.ctx, c.COSI, "sda"); err != nil || disk.TypedSpec().Size < 10<<30 {
		t.Errorf("disks: %+v, %v", disk, err)
	}
	links, err := safe.StateListAll[*network.LinkStatus](g.ctx, c.COSI)
	if err != nil || links.Len() < 2 {
		t.Errorf("links: %d, %v", links.Len(), err)
	}
	if _, err := safe.StateGetByID[*network.AddressStatus](g.ctx, c.COSI, "enp1s0/"+g.address(t, "control-plane-2")+"/32"); err != nil {
		t.Errorf("addresses: %v", err)
	}
	extensions, err := safe.StateListAll[*runtime.ExtensionStatus](g.ctx, c.COSI)
	if err != nil || extensions.Len() != 1 || extensions.Get(0).TypedSpec().Metadata.Name != "schematic" || len(extensions.Get(0).TypedSpec().Metadata.Version) != 64 {
		t.Errorf("extensions: %d, %v", extensions.Len(), err)
	}
	for _, id := range []resource.ID{constants.MetaPartitionLabel, constants.StatePartitionLabel, constants.EphemeralPartitionLabel} {
		if v, err := safe.StateGetByID[*block.VolumeStatus](g.ctx, c.COSI, id); err != nil || v.TypedSpec().Phase != block.VolumePhaseReady || v.TypedSpec().Location == "" {
			t.Errorf("volumestatus %s: %+v, %v", id, v, err)
		}
	}
	if kind, err := c.ResolveResourceKind(g.ctx, new(resource.Namespace), "machinestatus"); err != nil || kind.TypedSpec().Type != runtime.MachineStatusType {
		t.Errorf("the name on the command line: %v, %v", kind, err)
	}
}

// talosStreams: logs and dmesg, with and without following.
func (g *tour) talosStreams(t *testing.T) {
	c := g.plane(t)
	for _, follow := range []bool{false, true} {
		ctx, cancel := context.WithCancel(g.ctx)
		logs, err := c.Logs(ctx, constants.SystemContainerdNamespace, common.ContainerDriver_CONTAINERD, "kubelet", follow, -1)
		if text := streamed(t, logs, err, "Health check successful"); text == "" {
			t.Errorf("logs, follow %v", follow)
		}
		dmesg, err := c.Dmesg(ctx, follow, false)
		if text := streamed(t, dmesg, err, "boot sequence"); text == "" {
			t.Errorf("dmesg, follow %v", follow)
		}
		cancel()
	}
	logs, err := c.Logs(g.ctx, constants.SystemContainerdNamespace, common.ContainerDriver_CONTAINERD, "nosuch", false, -1)
	if _, err = gather(logs, err, (*common.Data).GetBytes); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("the log of nothing: %v", err)
	}
}

// gather reads a stream to its end.
func gather[M, V any](stream interface{ Recv() (*M, error) }, err error, of func(*M) V) (all []V, _ error) {
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			all = append(all, of(m))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, err
}

// streamed reads a stream until it has said something.
func streamed(t *testing.T, stream interface{ Recv() (*common.Data, error) }, err error, what string) string {
	t.Helper()
	var text strings.Builder
	for err == nil && !strings.Contains(text.String(), what) {
		var m *common.Data
		if m, err = stream.Recv(); err == nil {
			text.Write(m.GetBytes())
		}
	}
	if err != nil {
		t.Errorf("it ends before %q: %v", what, err)
		return ""
	}
	return text.String()
}

func gunzip(t *testing.T, r io.Reader) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// talosHealth is what talosctl health --server asks for.
func (g *tour) talosHealth(t *testing.T) {
	stream, err := g.plane(t).ClusterHealthCheck(g.ctx, 20*time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %q: %v", said, err)
		}
		said = append(said, m.Message)
	}
	if len(said) < 10 {
		t.Errorf("it checked only %q", said)
	}
}

// talosRoles are those of the RBAC guide.
func (g *tour) talosRoles(t *testing.T) {
	address := g.address(t, "control-plane-2")
	admin := g.plane(t)
	calls := map[string]func(c *talos.Client) error{
		"version":  func(c *talos.Client) error { _, err := c.Version(g.ctx); return err },
		"services": func(c *talos.Client) error { _, err := c.ServiceList(g.ctx); return err },
		"members":  func(c *talos.Client) error { _, err := safe.StateListAll[*cluster.Member](g.ctx, c.COSI); return err },
		"etcd members": func(c *talos.Client) error {
			_, err := c.EtcdMemberList(g.ctx, &machine.EtcdMemberListRequest{})
			return err
		},
		"snapshot": func(c *talos.Client) error {
			r, err := c.EtcdSnapshot(g.ctx, &machine.EtcdSnapshotRequest{})
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
		"machineconfig": func(c *talos.Client) error {
			_, err := safe.StateListAll[*config.MachineConfig](g.ctx, c.COSI)
			return err
		},
		"read": func(c *talos.Client) error {
			r, err := c.Read(g.ctx, "/etc/hosts")
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
		"kubeconfig": func(c *talos.Client) error { _, err := c.Kubeconfig(g.ctx); return err },
		"restart":    func(c *talos.Client) error { _, err := c.ServiceRestart(g.ctx, "nosuch"); return err },
		"apply": func(c *talos.Client) error {
			_, err := c.ApplyConfiguration(g.ctx, &machine.ApplyConfigurationRequest{Data: []byte("version: v1alpha1\n"), DryRun: true})
			return err
		},
		"bootstrap": func(c *talos.Client) error { return c.Bootstrap(g.ctx, &machine.BootstrapRequest{}) },
	}
	for role, may := range map[string][]string{
		"os:admin":       {"version", "services", "members", "etcd members", "snapshot", "machineconfig", "read", "kubeconfig", "restart", "apply", "bootstrap"},
		"os:operator":    {"version", "services", "members", "etcd members", "snapshot", "restart"},
		"os:reader":      {"version", "services", "members", "etcd members"},
		"os:etcd:backup": {"etcd members", "snapshot"},
	} {
		made, err := admin.GenerateClientConfiguration(g.ctx, &machine.GenerateClientConfigurationRequest{Roles: []string{role}, CrtTtl: durationpb.New(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := clientconfig.FromBytes(made.Messages[0].Talosconfig)
		if err != nil {
			t.Fatal(err)
		}
		c := g.node(t, cfg, address)
		for name, call := range calls {
			denied := talos.StatusCode(call(c)) == codes.PermissionDenied
			if denied == slices.Contains(may, name) {
				t.Errorf("%s, %s: denied %v", role, name, denied)
			}
		}
	}
}

// talosRefuses: a second bootstrap, on a control plane and on a worker; a config that makes no sense.
func (g *tour) talosRefuses(t *testing.T) {
	if err := g.plane(t).Bootstrap(g.ctx, &machine.BootstrapRequest{}); talos.StatusCode(err) != codes.AlreadyExists {
		t.Errorf("a second bootstrap: %v", err)
	}
	worker := g.node(t, g.talos, g.address(t, "worker-2"))
	if err := worker.Bootstrap(g.ctx, &machine.BootstrapRequest{}); talos.StatusCode(err) != codes.Unimplemented {
		t.Errorf("bootstrap of a worker: %v", err)
	}
	if _, err := worker.ApplyConfiguration(g.ctx, &machine.ApplyConfigurationRequest{Data: []byte("machine: {type: nonsense}\n"), Mode: machine.ApplyConfigurationRequest_AUTO}); talos.StatusCode(err) != codes.InvalidArgument {
		t.Errorf("nonsense as config: %v", err)
	}
	if _, err := insecure(g.ctx, t, g.address(t, "worker-2")).Version(g.ctx); err == nil {
		t.Error("a configured node answers without a certificate")
	}
}
