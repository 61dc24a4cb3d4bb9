package talos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Facts asks a node what machine it runs on, in the rescue system's words as far as it knows them: firmware, arrays
// and boot entries it does not tell. UUID is what META makes of it, if META overrides the board's. A node in
// maintenance mode answers too: all of it is open to os:reader, whose rights everybody has there (recorded from 1.13; before
// that: ReadOnlyWithAdminOnSiderolink of internal/app/machined/pkg/controllers/runtime/maintenance_service.go).
func (n *Node) Facts(ctx context.Context) (fleet.Facts, error) {
	var f fleet.Facts
	for _, ask := range []func(context.Context, *fleet.Facts) error{n.board, n.memory, n.cards, n.disks} {
		if err := ask(ctx, &f); err != nil {
			return fleet.Facts{}, err
		}
	}
	return f, nil
}

func (n *Node) board(ctx context.Context, f *fleet.Facts) error {
	info, err := safe.StateGet[*hardware.SystemInformation](ctx, n.c.COSI, resource.NewMetadata(hardware.NamespaceName, hardware.SystemInformationType, hardware.SystemInformationID, resource.VersionUndefined))
	if err != nil {
		return n.fail("system information", err)
	}
	s := info.TypedSpec()
	f.UUID, f.Serial, f.Manufacturer, f.Product = strings.ToLower(s.UUID), s.SerialNumber, s.Manufacturer, s.ProductName
	all, err := safe.StateListAll[*hardware.Processor](ctx, n.c.COSI)
	if err != nil {
		return n.fail("processors", err)
	}
	for p := range all.All() {
		s := p.TypedSpec()
		if s.CoreCount == 0 { // an empty socket
			continue
		}
		f.CPU = cmp.Or(f.CPU, s.ProductName)
		f.Cores += int(cmp.Or(s.ThreadCount, s.CoreCount)) // as the rescue system counts them
	}
	return nil
}

func (n *Node) memory(ctx context.Context, f *fleet.Facts) error {
	all, err := safe.StateListAll[*hardware.MemoryModule](ctx, n.c.COSI)
	for m := range all.All() {
		f.MemoryBytes += int64(m.TypedSpec().Size) << 20
	}
	return n.fail("memory modules", err)
}

func (n *Node) cards(ctx context.Context, f *fleet.Facts) error {
	links, err := safe.StateListAll[*network.LinkStatus](ctx, n.c.COSI)
	if err != nil {
		return n.fail("links", err)
	}
	addresses, err := safe.StateListAll[*network.AddressStatus](ctx, n.c.COSI)
	if err != nil {
		return n.fail("addresses", err)
	}
	for l := range links.All() {
		s := l.TypedSpec()
		if !s.Physical() {
			continue
		}
		card := fleet.NIC{
			Name: l.Metadata().ID(), MAC: strings.ToLower(s.HardwareAddr.String()), Link: s.LinkState,
			Up: s.OperationalState.String() == "up", SpeedMbit: max(s.SpeedMegabits, 0),
		}
		for a := range addresses.All() {
			if a.TypedSpec().LinkName == card.Name && !a.TypedSpec().Address.Addr().IsLinkLocalUnicast() {
				card.Addresses = append(card.Addresses, a.TypedSpec().Address.String())
			}
		}
		f.NICs = append(f.NICs, card)
	}
	return nil
}

func (n *Node) disks(ctx context.Context, f *fleet.Facts) error {
	all, err := safe.StateListAll[*block.Disk](ctx, n.c.COSI)
	if err = n.fail("disks", err); fleet.KindOf(err) == fleet.Forbidden { // everybody may read them where they are known
		return fleet.Errorf(fleet.Refused, "%w: Talos tells of its disks since 1.8", err).
			WithHint("install a newer Talos, or have the machine fetch its config")
	}
	if err != nil {
		return err
	}
	volumes, err := safe.StateListAll[*block.DiscoveredVolume](ctx, n.c.COSI)
	if err != nil {
		return n.fail("volumes", err)
	}
	for d := range all.All() {
		s := d.TypedSpec()
		if s.Readonly || s.CDROM || len(s.SecondaryDisks) > 0 || virtual(d.Metadata().ID()) {
			continue
		}
		disk := fleet.Disk{
			Name: d.Metadata().ID(), WWID: s.WWID, Serial: cmp.Or(strings.TrimSpace(s.Serial), serialOf(s)), Model: strings.TrimSpace(s.Model),
			SizeBytes: int64(s.Size), SectorBytes: int(s.SectorSize), Rotational: s.Rotational, Transport: s.Transport,
		}
		for v := range volumes.All() {
			hold(&disk, v.Metadata().ID(), v.TypedSpec())
		}
		slices.SortFunc(disk.Partitions, func(a, b fleet.Partition) int { return cmp.Compare(a.Number, b.Number) })
		f.Disks = append(f.Disks, disk)
	}
	return nil
}

// virtual says whether a block device is the kernel's own rather than a disk.
func virtual(name string) bool {
	return slices.ContainsFunc([]string{"loop", "zram", "ram", "nbd", "dm-", "md", "sr"}, func(kind string) bool { return strings.HasPrefix(name, kind) })
}

// serialOf finds the serial number of a disk whose driver does not tell it (SATA, virtio-scsi) in the names that udev
// gives it: /dev/disk/by-id/ata-ST4000NM0245-1Z2107_ZC1…, scsi-0QEMU_QEMU_HARDDISK_52685044.
func serialOf(s *block.DiskSpec) string {
	for _, link := range s.Symlinks {
		name, ok := strings.CutPrefix(link, "/dev/disk/by-id/")
		if i := strings.LastIndex(name, "_"); ok && i >= 0 && (strings.HasPrefix(name, "ata-") || strings.HasPrefix(name, "scsi-0")) {
			return name[i+1:]
		}
	}
	return ""
}

// hold notes what stands on a disk, if the volume is the disk or a part of it.
func hold(d *fleet.Disk, name string, v *block.DiscoveredVolumeSpec) {
	switch {
	case v.Parent == d.Name:
		d.Partitions = append(d.Partitions, fleet.Partition{
			Number: int(v.PartitionIndex), Name: name, Label: v.PartitionLabel, Type: strings.ToLower(v.PartitionType),
			UUID: strings.ToLower(v.PartitionUUID), SizeBytes: int64(v.Size), FSType: v.Name, FSLabel: v.Label, FSUUID: v.UUID,
		})
		d.Contents = append(d.Contents, strings.Join(strings.Fields(fmt.Sprint(name, " ", cmp.Or(v.Name, "partition"), " ", cmp.Or(v.PartitionLabel, v.Label))), " "))
	case name == d.Name && v.Name != "" && v.Name != "gpt" && v.Name != "mbr" && v.Name != "dos":
		d.Signatures = append(d.Signatures, v.Name)
		d.Contents = append(d.Contents, strings.TrimSpace(name+" "+v.Name+" "+v.Label))
	case name == d.Name && v.Name != "":
		d.Signatures = append(d.Signatures, v.Name)
	}
}
