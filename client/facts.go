package client

import "time"

// Facts are what a machine said of itself in the rescue system.
type Facts struct {
	At           time.Time   `json:"at"`
	UUID         string      `json:"uuid,omitempty" doc:"SMBIOS system UUID, lower case"`
	Serial       string      `json:"serial,omitempty"`
	Manufacturer string      `json:"manufacturer,omitempty"`
	Product      string      `json:"product,omitempty"`
	Board        *Board      `json:"board,omitempty"`
	Firmware     string      `json:"firmware,omitempty" doc:"bios or uefi"`
	SecureBoot   bool        `json:"secureBoot,omitempty"`
	CPU          string      `json:"cpu,omitempty"`
	Cores        int         `json:"cores,omitempty"`
	MemoryBytes  int64       `json:"memoryBytes,omitempty"`
	Gateway      string      `json:"gateway,omitempty" doc:"IPv4 default gateway"`
	Gateway6     string      `json:"gateway6,omitempty" doc:"IPv6 default gateway"`
	DHCP         bool        `json:"dhcp,omitempty" doc:"the rescue system has its IPv4 address from DHCP"`
	NICs         []NIC       `json:"nics,omitempty"`
	Disks        []Disk      `json:"disks,omitempty"`
	Arrays       []Array     `json:"arrays,omitempty" doc:"what stands on one or several disks together"`
	BootEntries  []BootEntry `json:"bootEntries,omitempty" doc:"boot menu of a UEFI firmware, those in its order first"`
	ClockOffset  float64     `json:"clockOffsetSeconds,omitempty" doc:"how far its clock is ahead of ours"`
	MissingTools []string    `json:"missingTools,omitempty" doc:"programs that an install needs and its rescue system lacks"`
}

// Board is a mainboard.
type Board struct {
	Vendor  string `json:"vendor,omitempty"`
	Product string `json:"product,omitempty"`
	Serial  string `json:"serial,omitempty"`
}

// NIC is a network interface as the rescue system sees it.
type NIC struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	Up        bool     `json:"up"`
	Link      bool     `json:"link,omitempty" doc:"a cable, and somebody at its other end"`
	SpeedMbit int      `json:"speedMbit,omitempty" doc:"absent: unknown"`
	Addresses []string `json:"addresses,omitempty" doc:"with prefix length"`
}

// Disk as the rescue system sees it.
type Disk struct {
	ID          string      `json:"id,omitempty" doc:"what an assignment calls it: its WWID, or serial:…"`
	Name        string      `json:"name" doc:"changes between boots, never an identity"`
	WWID        string      `json:"wwid,omitempty"`
	Serial      string      `json:"serial,omitempty"`
	Model       string      `json:"model,omitempty"`
	SizeBytes   int64       `json:"sizeBytes"`
	SectorBytes int         `json:"sectorBytes,omitempty" doc:"logical"`
	Rotational  bool        `json:"rotational,omitempty"`
	Transport   string      `json:"transport,omitempty" doc:"nvme, sata, …"`
	Contents    []string    `json:"contents,omitempty" doc:"partitions, filesystems, raid membership; absent: blank"`
	Partitions  []Partition `json:"partitions,omitempty"`
	Talos       string      `json:"talos,omitempty" doc:"an earlier Talos on it, and whose it was"`
}

// Partition of a disk.
type Partition struct {
	Number    int      `json:"number"`
	Label     string   `json:"label,omitempty" doc:"in the partition table"`
	Type      string   `json:"type,omitempty" doc:"GUID, or the number in an MBR"`
	UUID      string   `json:"uuid,omitempty"`
	SizeBytes int64    `json:"sizeBytes"`
	FSType    string   `json:"fsType,omitempty" doc:"of what is in it: ext4, linux_raid_member, crypto_LUKS, …"`
	FSLabel   string   `json:"fsLabel,omitempty"`
	FSUUID    string   `json:"fsUUID,omitempty"`
	MountedAt string   `json:"mountedAt,omitempty"`
	Loaders   []string `json:"loaders,omitempty" doc:"boot loaders of an EFI system partition"`
}

// Array is what stands on one or several disks together.
type Array struct {
	Kind    string   `json:"kind" doc:"md, lvm, luks, zfs, btrfs, ceph"`
	Name    string   `json:"name,omitempty"`
	ID      string   `json:"id,omitempty"`
	Level   string   `json:"level,omitempty" doc:"raid1, …"`
	Active  bool     `json:"active,omitempty" doc:"the rescue system has it running"`
	Members []string `json:"members,omitempty" doc:"partitions or disks, by their names of that boot"`
	Missing int      `json:"missing,omitempty" doc:"members that were not found"`
}

// BootEntry is an entry of a UEFI firmware's boot menu.
type BootEntry struct {
	Number  string `json:"number"`
	Label   string `json:"label"`
	Active  bool   `json:"active,omitempty"`
	Current bool   `json:"current,omitempty" doc:"the rescue system came by it"`
	Next    bool   `json:"next,omitempty" doc:"of the next boot only"`
	Network bool   `json:"network,omitempty"`
	Loader  string `json:"loader,omitempty"`
}

// Change is something of a machine that is not as it was when it was last asked.
type Change struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Installed is what an install wrote last.
type Installed struct {
	Disk    string    `json:"disk"`
	Serial  string    `json:"serial,omitempty"`
	Cluster string    `json:"cluster,omitempty" doc:"its name then"`
	At      time.Time `json:"at"`
}
