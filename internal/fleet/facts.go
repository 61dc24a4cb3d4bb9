package fleet

import (
	"slices"
	"strings"
	"time"
)

// Facts are what the machine said of itself in the rescue system. The zero value: never asked.
type Facts struct {
	At           time.Time
	UUID         string // SMBIOS system UUID, lower case
	Serial       string
	Manufacturer string
	Product      string
	Board        Board
	Firmware     string // "bios" or "uefi"
	SecureBoot   bool
	CPU          string
	Cores        int
	MemoryBytes  int64
	NICs         []NIC
	Gateway      string // IPv4 default gateway
	Gateway6     string // IPv6 default gateway
	DHCP         bool   // the rescue system has its IPv4 address from DHCP
	Disks        []Disk
	Arrays       []Array
	UEFI         UEFI
	// ClockOffset is how far the machine's clock is ahead of ours; negative: behind.
	ClockOffset  time.Duration
	MissingTools []string // programs that our scripts need and the rescue system lacks
	Dmidecode    string   // output of dmidecode -t system, for a mail to Hetzner
}

// Board is a mainboard, as SMBIOS has it.
type Board struct{ Vendor, Product, Serial string }

// NIC is a network interface as the rescue system sees it.
type NIC struct {
	Name      string
	MAC       string
	Up        bool
	Link      bool     // a cable, and somebody at its other end
	SpeedMbit int      // 0: unknown
	Addresses []string // with prefix length
}

// UEFI is what the firmware means to boot.
type UEFI struct {
	Current string // number of the entry this boot came from, as 0001
	Next    string // of the entry for the next boot only; "" if none
	Order   []string
	Entries []BootEntry
}

// BootEntry is an entry of the firmware's boot menu.
type BootEntry struct {
	Number   string // 0001
	Label    string
	Active   bool
	Network  bool   // PXE or HTTP
	PartUUID string // of the partition it boots from, lower case; "" if it names none
	Loader   string // \EFI\debian\shimx64.efi; "" if it names none
}

// Entry gives the boot entry of that number.
func (u *UEFI) Entry(number string) (BootEntry, bool) {
	for _, e := range u.Entries {
		if strings.EqualFold(e.Number, number) {
			return e, true
		}
	}
	return BootEntry{}, false
}

// Disk as the rescue system sees it.
type Disk struct {
	Name        string // nvme0n1; changes between boots, never an identity
	WWID        string // Talos' notation: eui.…, naa.…, nvme.…, t10.…; "" if it has none
	Serial      string
	Model       string
	SizeBytes   int64
	SectorBytes int // logical
	Rotational  bool
	Transport   string // nvme, sata, …
	Partitions  []Partition
	BootCode    bool `json:",omitempty"` // its first sector has code that a BIOS would run
	// Signatures are what stands on the disk itself, outside of partitions: gpt, ext4, linux_raid_member, …
	Signatures []string
	Talos      *EarlierTalos // nil: none is on it
	// Contents names what is on it: partitions, filesystem signatures, raid membership. Empty: blank.
	Contents []string
}

// Partition of a disk.
type Partition struct {
	Number    int
	Name      string // sda1; changes between boots
	Label     string `json:",omitempty"` // in the partition table
	Type      string `json:",omitempty"` // GUID, lower case, or the number in an MBR
	UUID      string `json:",omitempty"` // of the partition, lower case
	SizeBytes int64
	FSType    string `json:",omitempty"`
	FSLabel   string `json:",omitempty"`
	FSUUID    string `json:",omitempty"`
	MountedAt string `json:",omitempty"` // where the rescue system has it, or what stands on it, mounted
	// Loaders are what an EFI system partition has in its directory EFI, as EFI/BOOT; Unreadable: it could not be mounted.
	Loaders    []string `json:",omitempty"`
	Unreadable bool     `json:",omitempty"`
}

// TypeEFI is the type of EFI system partitions.
const TypeEFI = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

// EFI says whether firmware looks for boot loaders there.
func (p Partition) EFI() bool { return p.Type == TypeEFI || p.Type == "0xef" }

// EarlierTalos is a Talos that was found on a disk.
type EarlierTalos struct {
	Partitions []string // labels of its partitions, as EFI, META, STATE, EPHEMERAL
	Encrypted  bool     `json:",omitempty"` // STATE is; then nothing more is known
	Unreadable bool     `json:",omitempty"` // STATE could not be mounted
	Nameless   bool     `json:",omitempty"` // STATE has a config, in which no cluster was found
	Cluster    string   `json:",omitempty"` // name of its cluster; "" if it never got a config
	ClusterID  string   `json:",omitempty"` // Talos' own id of the cluster
	Endpoint   string   `json:",omitempty"`
	Hostname   string   `json:",omitempty"`
}

// Array is what stands on one or several disks together.
type Array struct {
	Kind    string   // md, lvm, luks, zfs, btrfs, ceph
	Name    string   // md0, a volume group's or a pool's name
	ID      string   // its UUID
	Level   string   // raid1, …; "" if that means nothing for its kind
	Active  bool     // the rescue system has it running: it holds its disks
	Members []string // names of the partitions or disks it stands on, of this boot
	Missing int      // members it has besides, that were not found; 0 if unknown
}

// ID is what a person and an assignment call the disk: its WWID, else its serial number, else "".
func (d Disk) ID() string {
	switch {
	case d.WWID != "":
		return d.WWID
	case d.Serial != "":
		return "serial:" + d.Serial
	}
	return ""
}

// Called says whether id, a WWID or "serial:…", names the disk.
func (d Disk) Called(id string) bool {
	return id != "" && (d.WWID == id || d.Serial != "" && "serial:"+d.Serial == id)
}

// Blank says that nothing is on the disk as far as can be seen. An empty partition table counts as nothing.
func (d Disk) Blank() bool { return len(d.Contents) == 0 }

// holds says whether a device of this boot is the disk or one of its partitions.
func (d Disk) holds(device string) bool {
	return d.Name == device || slices.ContainsFunc(d.Partitions, func(p Partition) bool { return p.Name == device })
}

// ArraysOn lists what stands on a disk.
func (f *Facts) ArraysOn(d Disk) []Array {
	var on []Array
	for _, a := range f.Arrays {
		if slices.ContainsFunc(a.Members, d.holds) {
			on = append(on, a)
		}
	}
	return on
}

// DisksOf lists the disks an array stands on.
func (f *Facts) DisksOf(a Array) []Disk {
	var under []Disk
	for _, d := range f.Disks {
		if slices.ContainsFunc(a.Members, d.holds) {
			under = append(under, d)
		}
	}
	return under
}

// Disk finds a disk by its WWID or "serial:…".
func (f *Facts) Disk(id string) (Disk, bool) {
	for _, d := range f.Disks {
		if d.Called(id) {
			return d, true
		}
	}
	return Disk{}, false
}

// TalosWWID turns what lsblk prints as WWN into what Talos calls the WWID: 0x5002… is naa.5002…, eui.… and
// nvme.… stay. Source: siderolabs/go-blockdevice block/device_linux.go.
func TalosWWID(wwn string) string {
	wwn = strings.TrimSpace(wwn)
	if rest, ok := strings.CutPrefix(wwn, "0x"); ok {
		return "naa." + rest
	}
	return wwn
}

// String says whose Talos it was.
func (t *EarlierTalos) String() string {
	switch {
	case t.Cluster != "" && t.Hostname != "":
		return "Talos of node " + t.Hostname + " in cluster " + t.Cluster + " (" + t.Endpoint + ")"
	case t.Cluster != "":
		return "Talos of cluster " + t.Cluster + " (" + t.Endpoint + ")"
	case t.Encrypted:
		return "Talos with an encrypted STATE: whose it was cannot be seen"
	case t.Unreadable:
		return "Talos with a STATE that cannot be read"
	case t.Nameless:
		return "Talos with a config that names no cluster"
	}
	return "Talos without a config"
}
