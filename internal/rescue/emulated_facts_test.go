package rescue_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
)

// emulatedRescue boots an emulated machine into its rescue system and logs in as the manager does.
func emulatedRescue(t *testing.T, o emulated.Options) (*emulated.Machine, *rescue.Session) {
	t.Helper()
	m := emulated.New(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	key := signer(t)
	if err := m.BootRescue(ctx, key.PublicKey()); err != nil {
		t.Fatal(err)
	}
	s, err := rescue.Open(ctx, rescue.Options{Server: "node-1", Address: address, Key: key, Pins: m.Fingerprints(), Dial: m.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return m, s
}

func emulatedFacts(t *testing.T, s *rescue.Session) fleet.Facts {
	t.Helper()
	f, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func furnish(t *testing.T, m *emulated.Machine, layout emulated.Layout, disks ...int) {
	t.Helper()
	if err := m.Furnish(t.Context(), layout, disks...); err != nil {
		t.Fatal(err)
	}
}

func bySerial(t *testing.T, f fleet.Facts, serial string) fleet.Disk {
	t.Helper()
	d, ok := f.Disk("serial:" + serial)
	if !ok {
		t.Fatalf("no disk %s among %s", serial, rescue.Describe(f.Disks))
	}
	return d
}

// What earlier owners leave on disks, on a machine with UEFI: it is seen, told apart, released, and kept from booting.
func TestLeftoversOnRealDisksAreSeenAndClearedAway(t *testing.T) {
	m, s := emulatedRescue(t, emulated.Options{
		Firmware: emulated.UEFI, MemoryMB: 1536, Clock: "2020-01-31T00:00:00",
		Disks: []emulated.Disk{
			{Bus: emulated.NVMe, Serial: "MIRROR-A", WWN: "002538b321c5527c"},
			{Bus: emulated.NVMe, Serial: "MIRROR-B"},
			{Bus: emulated.SCSI, Serial: "GROUP-A", WWN: "500a07511610dce0"},
			{Bus: emulated.SCSI, Serial: "GROUP-B", WWN: "500a07511610dce1"},
			{Bus: emulated.SATA, Serial: "OLDTALOS", WWN: "5000c500a1b2c3d4", Model: "ST4000NM0245"},
			{Bus: emulated.SATA, Serial: "DEBIAN", Model: "ST4000NM0245"},
			{Bus: emulated.SCSI, Serial: "VAULT"},
			{Bus: emulated.SCSI, Serial: "POOL"},
			{Bus: emulated.Virtio, Serial: "OSD"},
			{Bus: emulated.Virtio, Serial: "BLANK"},
		},
	})
	furnish(t, m, emulated.RAID1, 0, 1)
	furnish(t, m, emulated.LVM, 2, 3)
	furnish(t, m, emulated.Talos, 4)
	furnish(t, m, emulated.ESP, 5)
	furnish(t, m, emulated.LUKS, 6)
	furnish(t, m, emulated.ZFS, 7)
	furnish(t, m, emulated.Ceph, 8)
	f := emulatedFacts(t, s)
	if t.Failed() || testing.Verbose() {
		text, _ := json.MarshalIndent(f, "", " ")
		t.Logf("%s", text)
	}
	seen(t, f)
	released(t, s, f)
	disarmed(t, m, s, f)
}

// seen checks what the facts say.
func seen(t *testing.T, f fleet.Facts) {
	t.Helper()
	if f.Firmware != "uefi" || f.UUID != "4c4c4544-0042-3510-8050-b4c04f384833" || f.Serial != "SYS0001" || f.Board != (fleet.Board{Vendor: "ASUSTeK COMPUTER INC.", Product: "Pro WS 565-ACE", Serial: "BRD0001"}) {
		t.Errorf("firmware %s, UUID %s, serial %s, board %+v", f.Firmware, f.UUID, f.Serial, f.Board)
	}
	if f.ClockOffset > -365*24*time.Hour {
		t.Errorf("a clock of 2020 is off by %s", f.ClockOffset)
	}
	if f.MemoryBytes == 0 || f.Gateway != "10.0.2.2" {
		t.Errorf("memory %d, gateway %q", f.MemoryBytes, f.Gateway)
	}
	if len(f.NICs) != 1 || !f.NICs[0].Link || f.NICs[0].MAC != "90:1b:0e:00:00:01" || !slices.Contains(f.NICs[0].Addresses, "10.0.2.15/24") {
		t.Errorf("NICs %+v", f.NICs)
	}
	if len(f.MissingTools) > 0 {
		t.Errorf("the rescue system lacks %v", f.MissingTools)
	}
	for serial, wwid := range map[string]string{"MIRROR-A": "eui.002538b321c5527c", "GROUP-A": "naa.500a07511610dce0", "OLDTALOS": "naa.5000c500a1b2c3d4", "DEBIAN": "t10.ATA", "MIRROR-B": "nvme.1b36-"} {
		if d := bySerial(t, f, serial); !strings.HasPrefix(d.WWID, wwid) {
			t.Errorf("disk %s has WWID %q, want %s", serial, d.WWID, wwid)
		}
	}
	for _, want := range []struct {
		kind, name, level string
		active            bool
		on                []string
	}{
		{"md", "md0", "raid1", true, []string{"MIRROR-A", "MIRROR-B"}},
		{"md", "md1", "raid1", true, []string{"MIRROR-A", "MIRROR-B"}},
		{"lvm", "vg0", "", true, []string{"GROUP-A", "GROUP-B"}},
		{"luks", "secret", "", true, []string{"VAULT"}},
		{"zfs", "tank", "", false, []string{"POOL"}},
		{"ceph", "", "", false, []string{"OSD"}},
	} {
		i := slices.IndexFunc(f.Arrays, func(a fleet.Array) bool { return a.Kind == want.kind && a.Name == want.name })
		if i < 0 {
			t.Errorf("no %s %s among %+v", want.kind, want.name, f.Arrays)
			continue
		}
		var on []string
		for _, d := range f.DisksOf(f.Arrays[i]) {
			on = append(on, d.Serial)
		}
		slices.Sort(on)
		if a := f.Arrays[i]; a.Level != want.level || a.Active != want.active || !slices.Equal(on, want.on) || a.Missing != 0 {
			t.Errorf("%+v on %v, want %+v", a, on, want)
		}
	}
	old := bySerial(t, f, "OLDTALOS").Talos
	if old == nil || old.Cluster != "old" || old.Hostname != "old-1" || old.Endpoint != "https://198.51.100.7:6443" || old.ClusterID != "b2xkIGNsdXN0ZXIgb2xkIGNsdXN0ZXIgb2xkIGNsdQ==" || len(old.Partitions) != 6 {
		t.Errorf("the earlier Talos is %+v", old)
	}
	text, err := json.Marshal(f)
	if err != nil || strings.Contains(string(text), "oldold.1234567890abcdef") || strings.Contains(string(text), "c2VjcmV0IG9m") {
		t.Errorf("a secret of the earlier Talos is in the facts, or %v", err)
	}
	esp := bySerial(t, f, "DEBIAN").Partitions
	if len(esp) != 1 || !esp[0].EFI() || !slices.Contains(esp[0].Loaders, "EFI/debian") || !slices.Contains(esp[0].Loaders, "EFI/BOOT") {
		t.Errorf("the EFI system partition is %+v", esp)
	}
	if d := bySerial(t, f, "BLANK"); !d.Blank() || len(d.Signatures) > 0 {
		t.Errorf("the blank disk holds %v, %v", d.Contents, d.Signatures)
	}
	first, ok := f.UEFI.Entry(f.UEFI.Order[0])
	if !ok || first.Label != "debian" || first.PartUUID != esp[0].UUID || !strings.EqualFold(first.Loader, `\EFI\debian\shimx64.efi`) || first.Network {
		t.Errorf("the first boot entry is %+v, the order %v", first, f.UEFI.Order)
	}
}

// released checks that disks are let go of, one by one, and what an array is on is not touched.
func released(t *testing.T, s *rescue.Session, f fleet.Facts) {
	t.Helper()
	for _, tc := range []struct{ serial, text string }{
		{"MIRROR-A", "array md1 stopped"}, {"GROUP-A", "vg0-root switched off"}, {"VAULT", "secret closed"}, {"BLANK", ""},
	} {
		done, err := s.Release(t.Context(), bySerial(t, f, tc.serial))
		if err != nil || !strings.Contains(strings.Join(done, "; "), tc.text) || tc.text == "" && len(done) > 0 {
			t.Errorf("disk %s: %v, %v", tc.serial, done, err)
		}
	}
	after := emulatedFacts(t, s)
	for _, a := range after.Arrays {
		if a.Active {
			t.Errorf("%s %s still runs", a.Kind, a.Name)
		}
	}
	if d := bySerial(t, after, "MIRROR-B"); len(d.Partitions) != 2 || d.Partitions[1].FSType != "linux_raid_member" {
		t.Errorf("the other half of the mirror is %+v", d.Partitions)
	}
	if a := after.ArraysOn(bySerial(t, after, "MIRROR-A")); len(a) != 2 || len(a[0].Members) != 2 || a[0].Level != "raid1" {
		t.Errorf("the stopped arrays are %+v", a)
	}
}

// disarmed checks that nothing on another disk wins over Talos on the chosen one, and that all of it can be undone.
func disarmed(t *testing.T, m *emulated.Machine, s *rescue.Session, f fleet.Facts) {
	t.Helper()
	chosen := bySerial(t, f, "MIRROR-A")
	rivals := rescue.Rivals(f, chosen, "")
	if len(rivals) != 4 { // META, STATE and EPHEMERAL of the old Talos, the loaders of Debian; the EFI of the old Talos is empty
		t.Fatalf("rivals: %+v", rivals)
	}
	for range 2 { // once more, as after a death
		for _, r := range rivals {
			if _, err := s.Disarm(t.Context(), f, r); err != nil {
				t.Error(err)
			}
		}
	}
	after := emulatedFacts(t, s)
	for _, r := range rivals {
		if done, err := s.Disarm(t.Context(), after, r); done != "" || err != nil {
			t.Errorf("%s is disarmed once more: %s, %v", r.Text, done, err)
		}
	}
	if rest := rescue.Rivals(after, chosen, ""); len(rest) > 0 {
		t.Errorf("rivals are left: %+v", rest)
	}
	order := rescue.BootOrder(after.UEFI, chosen, true)
	if len(order) == 0 {
		t.Fatalf("debian stays first in %v", after.UEFI.Order)
	}
	if err := s.SetBootOrder(t.Context(), order); err != nil {
		t.Error(err)
	}
	after = emulatedFacts(t, s)
	if first, _ := after.UEFI.Entry(after.UEFI.Order[0]); first.Label == "debian" {
		t.Errorf("first in the order is %+v", first)
	}
	if again := rescue.BootOrder(after.UEFI, chosen, true); again != nil {
		t.Errorf("the order %v is to be changed again, to %v", after.UEFI.Order, again)
	}
	if !slices.ContainsFunc(after.UEFI.Entries, func(e fleet.BootEntry) bool { return e.Label == "debian" }) {
		t.Error("the entry of the other system is gone: only its place in the order was to change")
	}
	out, err := m.Run(t.Context(), `part=$(lsblk -nrpo NAME,PARTLABEL | sed -n 's/ EFI-SYSTEM$//p'); mount "$part" /mnt; find /mnt -name '*.efi'; umount /mnt
		grep efivarfs /proc/mounts; blkid -p -s PART_ENTRY_NAME -o value $(lsblk -nrpo NAME,SERIAL | sed -n 's/ OLDTALOS$/5/p')`)
	if err != nil || !strings.Contains(out, "/mnt/EFI.talos-manager/debian/shimx64.efi") || !strings.Contains(out, "efivarfs ro") || !strings.Contains(out, "STATE.old") {
		t.Errorf("%v: %s", err, out)
	}
}
