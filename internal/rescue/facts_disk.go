package rescue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// block is a line of lsblk -J -b. Older versions write numbers and booleans as strings.
type block struct {
	Name      string      `json:"name"`
	Type      string      `json:"type"`
	Size      json.Number `json:"size"`
	Model     string      `json:"model"`
	Serial    string      `json:"serial"`
	WWN       string      `json:"wwn"`
	RO        any         `json:"ro"`
	Rota      any         `json:"rota"`
	Tran      string      `json:"tran"`
	Sector    json.Number `json:"log-sec"`
	FSType    string      `json:"fstype"`
	Label     string      `json:"label"`
	UUID      string      `json:"uuid"`
	PTType    string      `json:"pttype"`
	PartType  string      `json:"parttype"`
	PartUUID  string      `json:"partuuid"`
	PartLabel string      `json:"partlabel"`
	Mounted   string      `json:"mountpoint"`
	Children  []block     `json:"children"`
}

// storage is what the sections say of block devices, by their names.
type storage struct {
	tree   []block
	probed map[string]map[string]string   // blkid's tags
	signs  map[string][]string            // types that wipefs found
	sysfs  map[string]map[string]string   // of disks
	talos  map[string]map[string]string   // of STATE partitions
	esp    map[string]map[string][]string // of EFI system partitions
	pvs    map[string][]string            // LVM's physical volumes: group, its UUID, its missing members
	mdadm  map[string]map[string]string   // arrays by UUID
}

func parseStorage(f *fleet.Facts, sections map[string]string) error {
	var list struct {
		Blockdevices []block `json:"blockdevices"`
	}
	if err := json.Unmarshal([]byte(sections["lsblk"]), &list); err != nil {
		return fmt.Errorf("lsblk: %w", err)
	}
	st := &storage{
		tree: list.Blockdevices, probed: parseBlkid(sections["blkid"]), signs: parseWipefs(sections["wipefs"]), sysfs: single(blocksOf(sections["sysfs"], "disk")),
		talos: single(blocksOf(sections["talos"], "device")), esp: blocksOf(sections["esp"], "device"), pvs: parsePVs(sections["pvs"]), mdadm: parseMdadm(sections["mdadm"]),
	}
	for _, b := range st.tree {
		size, err := cmp.Or(b.Size, "0").Int64()
		if err != nil {
			return fmt.Errorf("lsblk: size of %s: %w", b.Name, err)
		}
		if b.Type != "disk" || isTrue(b.RO) || size == 0 || strings.HasPrefix(b.Name, "zram") {
			continue // loop0 holds the rescue system; partitions come under their disk
		}
		f.Disks = append(f.Disks, st.disk(b, size))
	}
	slices.SortFunc(f.Disks, func(a, b fleet.Disk) int { return strings.Compare(a.Name, b.Name) })
	f.Arrays = st.arrays()
	return nil
}

// isTrue reads a boolean of any version of lsblk.
func isTrue(v any) bool { return v == true || v == "1" }

func (st *storage) disk(b block, size int64) fleet.Disk {
	own := st.sysfs[b.Name]
	d := fleet.Disk{
		Name: b.Name, Model: strings.TrimSpace(b.Model), SizeBytes: size, Rotational: isTrue(b.Rota), Transport: cmp.Or(b.Tran, transportOf(b.Name)),
		// As Talos reads it (siderolabs/go-blockdevice block/device_linux.go), else as lsblk has it from udev.
		WWID:   cmp.Or(own["wwid"], own["device/wwid"], fleet.TalosWWID(b.WWN)),
		Serial: cmp.Or(strings.TrimSpace(b.Serial), own["serial"], own["device/serial"], own["vpd80"]),
	}
	code, marked := strings.CutSuffix(own["boot"], "55aa") // a BIOS boots no sector without this mark
	d.BootCode = marked && strings.Trim(code, "0") != ""
	sector, _ := cmp.Or(b.Sector, "0").Int64() // for people only
	d.SectorBytes = int(sector)
	for _, c := range b.Children {
		if c.Type == "part" {
			d.Partitions = append(d.Partitions, st.partition(c))
		}
	}
	d.Signatures = st.signatures(b)
	d.Talos = st.earlierTalos(d)
	d.Contents = st.contents(b)
	return d
}

// transportOf tells by its name what lsblk does not say of a disk.
func transportOf(name string) string {
	switch {
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	}
	return ""
}

var partNumber = regexp.MustCompile(`[0-9]+$`)

func (st *storage) partition(b block) fleet.Partition {
	tags := st.probed[b.Name]
	p := fleet.Partition{
		Name: b.Name, Label: cmp.Or(b.PartLabel, tags["PART_ENTRY_NAME"]), Type: strings.ToLower(cmp.Or(b.PartType, tags["PART_ENTRY_TYPE"])),
		UUID: strings.ToLower(cmp.Or(b.PartUUID, tags["PART_ENTRY_UUID"])), FSLabel: cmp.Or(b.Label, tags["LABEL"]), FSUUID: cmp.Or(b.UUID, tags["UUID"]),
		FSType: st.fsType(b), MountedAt: b.mountedAt(),
	}
	p.Number, _ = strconv.Atoi(partNumber.FindString(b.Name))
	p.SizeBytes, _ = cmp.Or(b.Size, "0").Int64()
	if looked, ok := st.esp[b.Name]; ok {
		p.Loaders, p.Unreadable = looked["loader"], len(looked["unreadable"]) > 0
	}
	return p
}

// mountedAt is where the rescue system has a device, or something that stands on it.
func (b block) mountedAt() string {
	at := b.Mounted
	for _, c := range b.Children {
		at = cmp.Or(at, c.mountedAt())
	}
	return at
}

// fsType is what a device holds by any of those that looked. Several signatures at once make udev and blkid silent.
func (st *storage) fsType(b block) string {
	kind := cmp.Or(b.FSType, st.probed[b.Name]["TYPE"])
	if kind == "" {
		kind = strings.Join(slices.DeleteFunc(slices.Clone(st.signs[b.Name]), isTable), "+")
	}
	return kind
}

func isTable(kind string) bool {
	return slices.Contains([]string{"gpt", "PMBR", "dos", "atari", "mac", "sun", "bsd"}, kind)
}

// signatures are what stands on the disk itself.
func (st *storage) signatures(b block) []string {
	all := slices.Clone(st.signs[b.Name])
	for _, kind := range []string{b.PTType, st.probed[b.Name]["PTTYPE"], b.FSType, st.probed[b.Name]["TYPE"]} {
		if kind != "" {
			all = append(all, kind)
		}
	}
	all = slices.DeleteFunc(all, func(kind string) bool { return kind == "PMBR" })
	slices.Sort(all)
	return slices.Compact(all)
}

// contents names everything on a disk and below it, for people.
func (st *storage) contents(b block) []string {
	var out []string
	if kind := st.fsType(b); kind != "" {
		out = append(out, strings.Join(strings.Fields(b.Name+" "+kind+" "+cmp.Or(b.Label, st.probed[b.Name]["LABEL"])), " "))
	}
	for _, c := range b.Children {
		inner := st.contents(c)
		if len(inner) == 0 {
			inner = []string{strings.TrimSpace(c.Name + " " + c.Type + " " + cmp.Or(c.PartLabel, st.probed[c.Name]["PART_ENTRY_NAME"]))}
		}
		out = append(out, inner...)
	}
	return out
}

// talosLabels are the partitions of a Talos that has run. Source: talos pkg/machinery/constants.
var talosLabels = []string{"EFI", "BIOS", "BOOT", "META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG", "IMAGECACHE"}

// earlierTalos looks for the partitions that only Talos makes: META and STATE.
func (st *storage) earlierTalos(d fleet.Disk) *fleet.EarlierTalos {
	var t fleet.EarlierTalos
	is := false
	for _, p := range d.Partitions {
		if !slices.Contains(talosLabels, p.Label) {
			continue
		}
		t.Partitions = append(t.Partitions, p.Label)
		is = is || p.Label == "META" || p.Label == "STATE" || p.Label == "EPHEMERAL"
		if found := st.talos[p.Name]; found != nil && p.Label == "STATE" {
			t.Encrypted, t.Unreadable = found["encrypted"] == "yes", found["unreadable"] == "yes"
			t.Cluster, t.ClusterID, t.Endpoint, t.Hostname = plain(found["cluster"]), plain(found["id"]), plain(found["endpoint"]), plain(found["hostname"])
			t.Nameless = found["config"] == "yes" && t.Cluster == "" && t.ClusterID == ""
		}
	}
	if !is {
		return nil
	}
	return &t
}

// plain takes the quotes and the comment off a scalar of YAML.
func plain(text string) string {
	text, _, _ = strings.Cut(text, " #")
	return strings.Trim(strings.TrimSpace(text), `"'`)
}

// blocksOf reads lines of NAME=VALUE that belong to the device named before them.
func blocksOf(text, head string) map[string]map[string][]string {
	all := map[string]map[string][]string{}
	var at map[string][]string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		value = strings.TrimSpace(value)
		switch {
		case name == head:
			at = map[string][]string{}
			all[value] = at
		case at != nil && value != "":
			at[name] = append(at[name], value)
		}
	}
	return all
}

// single keeps the first value of each name.
func single(all map[string]map[string][]string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for device, named := range all {
		out[device] = map[string]string{}
		for name, list := range named {
			out[device][name] = list[0]
		}
	}
	return out
}

var hexEscape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// parseBlkid reads blkid -o export: what a shell would make of a value is escaped.
func parseBlkid(text string) map[string]map[string]string {
	all := single(blocksOf(text, "DEVNAME"))
	out := map[string]map[string]string{}
	for device, tags := range all {
		for name, value := range tags {
			value = hexEscape.ReplaceAllStringFunc(value, func(x string) string {
				n, _ := strconv.ParseUint(x[2:], 16, 8) // the form was matched
				return string(rune(n))
			})
			tags[name] = strings.TrimSpace(strings.ReplaceAll(value, `\`, ""))
		}
		tags["PART_ENTRY_NAME"] = cmp.Or(tags["PART_ENTRY_NAME"], tags["PARTLABEL"])
		tags["PART_ENTRY_UUID"] = cmp.Or(tags["PART_ENTRY_UUID"], tags["PARTUUID"])
		out[strings.TrimPrefix(device, "/dev/")] = tags
	}
	return out
}

// parseWipefs reads wipefs -n -J: the kinds of signatures, by device. It prints nothing where there are none.
func parseWipefs(text string) map[string][]string {
	var list struct {
		Signatures []struct{ Device, Type string } `json:"signatures"`
	}
	all := map[string][]string{}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return all
	}
	for _, s := range list.Signatures {
		if !slices.Contains(all[s.Device], s.Type) {
			all[s.Device] = append(all[s.Device], s.Type)
		}
	}
	return all
}
