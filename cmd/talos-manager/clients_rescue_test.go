package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	talos "github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"

	"github.com/talos-manager/talos-manager/client"
)

// vanilla is the factory's schematic without any customisation.
const vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// rescueAndMaintenance resets a worker: it asks the manager for a config that nobody has ordered, and is refused.
// Then it gets a plain image by hand in its rescue system, comes up in maintenance mode, takes its config without
// certificates, and is a node again.
func (g *tour) rescueAndMaintenance(t *testing.T) {
	const name = "worker-2"
	address := g.address(t, name)
	c := g.node(t, g.talos, address)
	mc, err := safe.StateGetByID[*config.MachineConfig](g.ctx, c.COSI, config.PersistentID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := mc.Provider().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	version, err := c.Version(g.ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.wipe(t, c)
	key := g.rescue(t, name)
	g.lookAround(t, address, key)
	image := fmt.Sprintf("%s/image/%s/%s/hcloud-amd64.raw.xz", g.values["FACTORY_URL"], vanilla, version.Messages[0].Version.Tag)
	g.ssh(t, address, key, "set -o pipefail; wget -q -O - '"+image+"' | xz -d | dd of=/dev/sda bs=4M && sync")
	if out, err := g.client(address, key, "reboot").CombinedOutput(); err != nil { // it takes its connection away
		t.Logf("reboot: %v %s", err, out)
	}
	m := insecure(g.ctx, t, address)
	eventually(t, 15*time.Second, "maintenance mode", func() bool {
		s, err := safe.StateGetByID[*runtime.MachineStatus](g.ctx, m.COSI, runtime.MachineStatusID)
		return err == nil && s.TypedSpec().Stage == runtime.MachineStageMaintenance
	})
	g.inMaintenance(t, m, text)
	kube := g.kube(t)
	eventually(t, 15*time.Second, "the node is back", func() bool {
		s, err := safe.StateGetByID[*runtime.MachineStatus](g.ctx, c.COSI, runtime.MachineStatusID)
		return err == nil && s.TypedSpec().Status.Ready && ready(node(t, g, kube, name))
	})
}

// wipe is talosctl reset of STATE and EPHEMERAL. The kernel argument stays: the machine fetches its config, which is
// handed out once only.
func (g *tour) wipe(t *testing.T, c *talos.Client) {
	t.Helper()
	if err := c.ResetGeneric(g.ctx, &machine.ResetRequest{Reboot: true, SystemPartitionsToWipe: []*machine.ResetPartitionSpec{
		{Label: "STATE", Wipe: true}, {Label: "EPHEMERAL", Wipe: true},
	}}); err != nil {
		t.Fatal(err)
	}
	manager, err := client.New(client.Options{URL: g.values["TALOS_MANAGER_URL"], Token: g.values["TALOS_MANAGER_TOKEN"]})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "the refusal is an event", func() bool {
		l, err := manager.Events(g.ctx, client.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Items {
			if e.Verb == "config.refused" {
				return true
			}
		}
		return false
	})
}

// ssh runs a command with the system's own client.
func (g *tour) ssh(t *testing.T, address, key, command string) string {
	t.Helper()
	out, err := g.client(address, key, command).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh: %v\n%s", err, out)
	}
	return string(out)
}

func (g *tour) client(address, key, command string) *exec.Cmd {
	return exec.CommandContext(g.ctx, "ssh", "-F", "none", "-i", key, "-p", "2222", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile="+filepath.Join(filepath.Dir(key), "known_hosts"), "root@"+address, command)
}

// lookAround waits for SSH of the rescue system and runs what one runs there first.
func (g *tour) lookAround(t *testing.T, address, key string) {
	t.Helper()
	eventually(t, 15*time.Second, "SSH of the rescue system", func() bool {
		return exec.CommandContext(g.ctx, "ssh-keyscan", "-T", "2", "-p", "2222", address).Run() == nil
	})
	if said := g.ssh(t, address, key, "hostname"); !strings.Contains(said, "rescue") {
		t.Errorf("hostname: %q", said)
	}
	said := g.ssh(t, address, key, "lsblk --output NAME,TYPE,SIZE,UUID,MODEL,WWN --bytes --json && id -un && cat /etc/os-release")
	for _, want := range []string{`"blockdevices"`, `"sda"`, "root", "Debian"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %s in: %s", want, said)
		}
	}
	out, err := exec.CommandContext(g.ctx, "ssh", "-F", "none", "-p", "2222", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-i", "/dev/null", "root@"+address, "id").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("without a key: %v %s", err, out)
	}
}

// inMaintenance: what may be asked, what may not, and apply-config --insecure.
func (g *tour) inMaintenance(t *testing.T, m *talos.Client, text []byte) {
	t.Helper()
	if v, err := m.Version(g.ctx); err != nil || v.Messages[0].Version.Tag == "" {
		t.Errorf("version: %v", err)
	}
	if _, err := m.Disks(g.ctx); err != nil {
		t.Errorf("disks: %v", err)
	}
	if err := m.Reboot(g.ctx); talos.StatusCode(err) != codes.PermissionDenied {
		t.Errorf("reboot: %v", err)
	}
	if err := m.BlockDeviceWipe(g.ctx, &storage.BlockDeviceWipeRequest{Devices: []*storage.BlockDeviceWipeDescriptor{{Device: "nosuch"}}}); talos.StatusCode(err) == codes.PermissionDenied {
		t.Errorf("wipe: %v", err)
	}
	if _, err := m.ApplyConfiguration(g.ctx, &machine.ApplyConfigurationRequest{Data: []byte("machine: {type: nonsense}\n")}); talos.StatusCode(err) != codes.InvalidArgument {
		t.Errorf("nonsense as config: %v", err)
	}
	applied, err := m.ApplyConfiguration(g.ctx, &machine.ApplyConfigurationRequest{Data: text})
	if err != nil || !strings.Contains(applied.Messages[0].ModeDetails, "Applied configuration without a reboot") {
		t.Errorf("apply-config --insecure: %v, %v", applied, err)
	}
}
