package resources_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func admin(context.Context) role.Set { return role.MakeSet(role.Admin) }

func newStore(t *testing.T) *resources.Store {
	t.Helper()
	s, err := resources.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t *testing.T, s *resources.Store, v resources.View) {
	t.Helper()
	if err := s.Apply(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

const controlPlane = `version: v1alpha1
machine:
  type: controlplane
  kubelet:
    image: ghcr.io/siderolabs/kubelet:v1.36.3
    defaultRuntimeSeccompProfileEnabled: true
    disableManifestsDirectory: true
    extraConfig:
      cgroupsPerQOS: false
      enforceNodeAllocatable: [none]
      localStorageCapacityIsolation: false
      oomScoreAdj: 0
  nodeLabels:
    node.kubernetes.io/exclude-from-external-load-balancers: ""
  features:
    kubePrism:
      enabled: true
      port: 7445
cluster:
  clusterName: t1
  controlPlane:
    endpoint: https://10.5.0.2:6443
  network:
    dnsDomain: cluster.local
    podSubnets: [10.244.0.0/16]
    serviceSubnets: [10.96.0.0/12]
  apiServer:
    image: registry.k8s.io/kube-apiserver:v1.36.3
  controllerManager:
    image: registry.k8s.io/kube-controller-manager:v1.36.3
  scheduler:
    image: registry.k8s.io/kube-scheduler:v1.36.3
`

func load(t *testing.T, text string) config.Provider {
	t.Helper()
	p, err := configloader.NewFromBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// maintenance is the recorded node in maintenance, on a machine of metal.
func maintenance(w *world.World) resources.View {
	return resources.View{
		Version: "v1.13.9", Platform: resources.Platform{Name: "hcloud", Hostname: "n1", InstanceType: "cx23"}, Cmdline: "talos.platform=metal", Booted: time.Now(),
		Machine: w.AddMachine(world.Spec{Kind: world.Dedicated, Number: 1, UUID: "8f0f1b5c-7b1e-4c8e-9b7d-0d3c6f3f1c11", Disks: []*world.Disk{
			{Name: "nvme0n1", Model: "SAMSUNG MZVL2512HCJQ-00B00", Serial: "S675NX1T364492", WWN: "eui.002538b321c5527c", SizeBytes: 512 << 30, Transport: "nvme"},
			{Name: "sda", Model: "ST4000NM0245-1Z2107", Serial: "ZC1A", WWN: "0x5000c500a1b2c3d4", SizeBytes: 4 << 40, Transport: "sata", Rotational: true},
			{Name: "sdb", Model: "no name", SizeBytes: 1 << 40, Transport: "sata"},
		}}),
		Hostname: "n1", NodeID: "J3UJWpxcvrTfglL36RQeST79sB7xs9tb8CJVtWonOs3", TimeSynced: true,
		Network: resources.Network{
			Links:     []resources.Link{{Name: "eth0", MAC: "5a:8d:b4:a2:89:37", Driver: "igb"}},
			Addresses: []resources.Address{{Link: "eth0", Prefix: netip.MustParsePrefix("10.5.0.2/24")}, {Link: "eth0", Prefix: netip.MustParsePrefix("fe80::588d:b4ff:fea2:8937/64")}},
			Gateways:  []resources.Gateway{{Link: "eth0", Via: netip.MustParseAddr("10.5.0.1")}}, Resolvers: []netip.Addr{netip.MustParseAddr("10.5.0.1")},
			AddressReady: true, ConnectivityReady: true, HostnameReady: true, EtcFilesReady: true,
		},
		Stage: runtime.MachineStageMaintenance, Ready: true, Maintenance: true,
		Services: []resources.Service{{ID: "apid", Healthy: true, PID: 123}, {ID: "containerd", Healthy: true, PID: 76}, {ID: "machined", Healthy: true, PID: 1}},
		Volumes:  []resources.Volume{{ID: "META", Type: block.VolumeTypePartition, Phase: block.VolumePhaseWaiting}, {ID: "STATE", Type: block.VolumeTypePartition, Phase: block.VolumePhaseMissing}},
	}
}

// running is the recorded control plane, or with worker the recorded worker, installed on a disk.
func running(t *testing.T, w *world.World, worker bool) resources.View {
	t.Helper()
	v := maintenance(w)
	v.Stage, v.Maintenance, v.Type = runtime.MachineStageRunning, false, machine.TypeControlPlane
	text := controlPlane
	name, etcd := "n1", uint64(0xc3d3020cf75b8728)
	pods := []resources.StaticPod{}
	for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		pods = append(pods, resources.StaticPod{Name: p, Image: "registry.k8s.io/" + p + ":v1.36.3", Running: true, Healthy: true, Since: time.Now()})
	}
	more := []resources.Service{{ID: "cri", Healthy: true, PID: 142}, {ID: "kubelet", Healthy: true, PID: 246}}
	if worker {
		v.Type, name, etcd, pods = machine.TypeWorker, "n4", 0, nil
		text = strings.Split(strings.Replace(controlPlane, "controlplane", "worker", 1), "  apiServer:")[0]
		text = strings.Replace(text, "  nodeLabels:\n    node.kubernetes.io/exclude-from-external-load-balancers: \"\"\n", "", 1)
		v.Network.Addresses[0].Prefix = netip.MustParsePrefix("10.5.0.5/24")
		v.NodeID = "7Z0KueftA5mZsp39URGtkrk43YWWPeoChOGqSpFAE2eC"
	} else {
		more = append(more, resources.Service{ID: "etcd", Healthy: true, PID: 330}, resources.Service{ID: "trustd", Healthy: true, PID: 194})
	}
	v.Hostname, v.Nodename, v.EtcdMember, v.StaticPods = name, name, etcd, pods
	v.Running, v.Persistent = load(t, text), load(t, text)
	v.Services = append(v.Services, more...)
	v.ClusterID, v.ClusterName = "piJ47WlWbIREPhISXkHpkHEQ0mzQbgHhVzXkazqoe20=", "t1"
	v.Members = []resources.Member{
		{NodeID: "J3UJWpxcvrTfglL36RQeST79sB7xs9tb8CJVtWonOs3", Hostname: "n1", Nodename: "n1", Type: machine.TypeControlPlane, OperatingSystem: "Talos (v1.13.9)", Addresses: []netip.Addr{netip.MustParseAddr("10.5.0.2")}},
		{NodeID: "tBGPHr9urSWSTfbDZc1EL3FNkl3wmA9u3L1etvOIMXp", Hostname: "n2", Nodename: "n2", Type: machine.TypeControlPlane, OperatingSystem: "Talos (v1.13.9)", Addresses: []netip.Addr{netip.MustParseAddr("10.5.0.3")}},
		{NodeID: "alnfOvnJLV23vOlcnAh5NeFNlFUPE2fIAlPJxUtmglaA", Hostname: "n3", Nodename: "n3", Type: machine.TypeControlPlane, OperatingSystem: "Talos (v1.13.9)", Addresses: []netip.Addr{netip.MustParseAddr("10.5.0.4")}},
		{NodeID: "7Z0KueftA5mZsp39URGtkrk43YWWPeoChOGqSpFAE2eC", Hostname: "n4", Nodename: "n4", Type: machine.TypeWorker, OperatingSystem: "Talos (v1.13.9)", Addresses: []netip.Addr{netip.MustParseAddr("10.5.0.5")}},
	}
	v.Node = &resources.NodeStatus{Ready: true, Labels: map[string]string{
		"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
	}, Annotations: map[string]string{"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}}
	v.SystemDisk, v.Meta = "nvme0n1", map[uint8]string{10: "value"}
	v.Discovered = []resources.DiscoveredVolume{
		{Name: "nvme0n1", Bytes: 512 << 30, Found: "gpt", UUID: "0b1c"},
		{Name: "nvme0n1p6", Disk: "nvme0n1", Bytes: 500 << 30, Found: "xfs", Label: "EPHEMERAL", PartitionLabel: "EPHEMERAL", PartitionIndex: 6, UUID: "5c4d"},
	}
	v.Volumes = []resources.Volume{
		{ID: "META", Type: block.VolumeTypePartition, Phase: block.VolumePhaseReady, Location: "/dev/nvme0n1p4", Disk: "/dev/nvme0n1", Bytes: 1 << 20},
		{ID: "STATE", Type: block.VolumeTypePartition, Phase: block.VolumePhaseReady, Location: "/dev/nvme0n1p5", Disk: "/dev/nvme0n1", Bytes: 100 << 20, Filesystem: block.FilesystemTypeXFS, Mount: "/system/state"},
		{ID: "EPHEMERAL", Type: block.VolumeTypePartition, Phase: block.VolumePhaseReady, Location: "/dev/nvme0n1p6", Disk: "/dev/nvme0n1", Bytes: 500 << 30, Filesystem: block.FilesystemTypeXFS, Mount: "/var"},
	}
	v.Extensions = []resources.Extension{{Name: "qemu-guest-agent", Version: "10.0.2", Author: "Sidero Labs"}}
	return v
}

// recorded is a type with some of its resources on a real node.
type recorded struct {
	Type  string
	Count int
	Items []struct {
		ID, Owner string
		Keys      []string
	}
}

func recording(t *testing.T, name string) []recorded {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		var r recorded
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}
