package rescue_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// oldConfig is that of another cluster's node, with everything that must not leave the machine.
const oldConfig = `version: v1alpha1
machine:
  type: controlplane
  token: oldold.1234567890abcdef
  network:
    hostname: "old-1"
cluster:
  id: b2xkIGNsdXN0ZXI=
  secret: c2VjcmV0
  controlPlane:
    endpoint: https://198.51.100.7:6443
  clusterName: old # of the year before
`

// installOld puts a Talos on a disk, as its first boot leaves it.
func installOld(t testing.TB, d *world.Disk, config string) {
	t.Helper()
	f := factory.New(world.New(world.Options{}), factory.Options{})
	spec, err := f.ImageSpec(factory.Vanilla, "v1.13.9", "metal", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := world.InstallImage(d, spec); err != nil {
		t.Fatal(err)
	}
	if err := world.EnsureState(d, true); err != nil {
		t.Fatal(err)
	}
	if err := world.WriteFile(d, "STATE", "config.yaml", []byte(config)); err != nil {
		t.Fatal(err)
	}
}

func TestTheClusterOfATalosThatKeepsItInDocumentsIsKnown(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) {
		installOld(t, s.Disks[1], "version: v1alpha1\nmachine: {}\n---\napiVersion: v1alpha1\nkind: DiscoveryServiceConfig\nendpoint: https://discovery.talos.dev/\n---\n"+
			"apiVersion: v1alpha1\nkind: DiscoveryIdentityConfig\nclusterID: b2xkIGNsdXN0ZXI=\n---\napiVersion: v1alpha1\nkind: KubeClusterConfig\nclusterName: old\nendpoint: https://198.51.100.7:6443\n")
	})
	f, err := r.open(t).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, _ := f.Disk("serial:B")
	if d.Talos == nil || d.Talos.ClusterID != "b2xkIGNsdXN0ZXI=" || d.Talos.String() != "Talos of cluster old (https://198.51.100.7:6443)" {
		t.Fatalf("the earlier Talos is %+v", d.Talos)
	}
	if only, why := rescue.OnlyTalos(f, d, "prod", ""); only || !strings.Contains(why, "of cluster old") {
		t.Errorf("it may be overwritten without a question: %s", why)
	}
}

func TestWhatWouldWinTheBootIsHiddenAndNothingElse(t *testing.T) {
	o := rescuehost.Options{BootEntries: []rescuehost.BootEntry{
		{Label: "debian", PartUUID: "11111111-2222-4333-8444-555555555555", Loader: `\EFI\debian\shimx64.efi`},
	}}
	r := newRig(t, o, func(s *world.Spec) {
		s.UEFI = true
		installOld(t, s.Disks[1], oldConfig)
	})
	s := r.open(t)
	before, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chosen, _ := before.Disk("serial:A")
	other, _ := before.Disk("serial:B")
	if other.Talos == nil || other.Talos.String() != "Talos of node old-1 in cluster old (https://198.51.100.7:6443)" || other.Talos.ClusterID != "b2xkIGNsdXN0ZXI=" {
		t.Fatalf("the earlier Talos is %+v", other.Talos)
	}
	if keep := rescue.Rivals(before, chosen, other.WWID); len(keep) != 3 {
		t.Errorf("with EPHEMERAL meant to be kept there, rivals are %+v", keep)
	}
	rivals := rescue.Rivals(before, chosen, "")
	var labels []string
	for _, r := range rivals {
		labels = append(labels, r.Label)
	}
	if slices.Sort(labels); !slices.Equal(labels, []string{"", "EPHEMERAL", "META", "STATE"}) {
		t.Fatalf("rivals are %+v", rivals)
	}
	state, err := world.ReadFile(r.m.Disks[1], "STATE", "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range other.Partitions { // as a look leaves it that breaks off with its connection
		if p.EFI() {
			r.shell(t, "mkdir -p /tmp/look && mount -o ro /dev/"+p.Name+" /tmp/look")
		}
	}
	for _, rival := range rivals {
		if done, err := s.Disarm(t.Context(), before, rival); err != nil || done == "" {
			t.Errorf("%s: %q, %v", rival.Text, done, err)
		}
	}
	order := rescue.BootOrder(before.UEFI, chosen, true)
	if !slices.Equal(order, []string{"0001", "0002", "0003", "0004"}) {
		t.Errorf("the boot order is to be %v", order)
	}
	if err := s.SetBootOrder(t.Context(), order); err != nil {
		t.Error(err)
	}
	after, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rest := rescue.Rivals(after, chosen, ""); len(rest) > 0 || rescue.BootOrder(after.UEFI, chosen, true) != nil {
		t.Errorf("left are %+v, boot order %v", rest, after.UEFI.Order)
	}
	if _, ok := after.UEFI.Entry("0010"); !ok {
		t.Error("the entry debian was deleted")
	}
	if _, err := world.ReadBoot(r.m.Disks[1]); err == nil {
		t.Error("the other disk still boots")
	}
	if now, err := world.ReadFile(r.m.Disks[1], "STATE.old", "config.yaml"); err != nil || string(now) != string(state) {
		t.Errorf("what is hidden is lost: %q, %v", now, err)
	}
	if r.m.Disks[0].Written() != 0 || r.m.Disks[2].Written() != 0 {
		t.Error("other disks were written to")
	}
}

// shell runs a command in the rescue system, as somebody who logged in.
func (r *rig) shell(t *testing.T, command string) {
	t.Helper()
	conn, err := r.w.Net.DialContext(t.Context(), "tcp", address+":22")
	if err != nil {
		t.Fatal(err)
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(r.key)}, HostKeyCallback: ssh.FixedHostKey(r.host.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := session.CombinedOutput(command); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func TestArraysOfEveryKindAreToldByTheirMembers(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) {
		members := []struct{ kind, name string }{{rescuehost.LVM, "vg0"}, {rescuehost.ZFS, "tank"}, {rescuehost.Btrfs, "pool"}, {rescuehost.LUKS, "vault"}, {rescuehost.Ceph, "osd"}}
		s.Disks = nil
		for i, m := range members {
			for j := range 2 {
				name := string(rune('a' + 2*i + j))
				d := &world.Disk{Name: "sd" + name, Model: "SSD", Serial: strings.ToUpper(name), SizeBytes: 512 << 30, Transport: "sata"}
				if err := rescuehost.WriteMember(d, 0, m.kind, m.name); err != nil {
					t.Fatal(err)
				}
				s.Disks = append(s.Disks, d)
			}
		}
	})
	f, err := r.open(t).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ kind, name string }{{"lvm", "vg0"}, {"zfs", "tank"}, {"btrfs", "pool"}, {"luks", ""}, {"ceph", ""}} {
		a := f.ArraysOn(f.Disks[2*i])
		if len(a) != 1 || a[0].Kind != want.kind || a[0].Name != want.name || len(f.DisksOf(a[0])) != 2 || a[0].Active {
			t.Errorf("%s %s: got %+v", want.kind, want.name, a)
		}
		losses := rescue.Losses(f, f.Disks[2*i], nil, func(fleet.Disk) bool { return false })
		if len(losses) != 2 || losses[1].Name != f.Disks[2*i+1].Serial || !strings.Contains(losses[1].Lines[0], "loses a member") {
			t.Errorf("%s: lost are %+v", want.kind, losses)
		}
	}
}

func TestADiskLetsGoOfWhatStandsOnIt(t *testing.T) {
	r := newRig(t, rescuehost.Options{}, func(s *world.Spec) {
		for _, d := range s.Disks[:2] {
			if err := rescuehost.WriteRAIDMember(d, 0, 100<<30, "rescue:0", 1, 2); err != nil {
				t.Fatal(err)
			}
		}
	})
	s := r.open(t)
	before := r.m.Disks[0].Written() + r.m.Disks[1].Written()
	disk := r.disk(t, s, "A")
	done, err := s.Release(t.Context(), disk)
	if err != nil || !slices.Equal(done, []string{"array md0 stopped"}) {
		t.Errorf("%q, %v", done, err)
	}
	if again, err := s.Release(t.Context(), disk); err != nil || len(again) > 0 {
		t.Errorf("once more: %q, %v", again, err)
	}
	if r.m.Disks[0].Written()+r.m.Disks[1].Written() != before {
		t.Error("something was written")
	}
	f, err := s.Facts(t.Context())
	if a := f.ArraysOn(disk); err != nil || len(a) != 1 || a[0].Active || len(a[0].Members) != 2 {
		t.Errorf("the array is %+v, %v", a, err)
	}
	gone := disk
	gone.Name = "sdz"
	if _, err := s.Release(t.Context(), gone); fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
		t.Errorf("a disk that is not there: %v", err)
	}
}
