package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// diskView is a disk as it is drawn.
type diskView struct {
	Disk     fleet.Disk
	ID       string // of its element
	Segments []segment
	Kinds    []segmentKind // that it has, for the legend
	Chosen   bool          // Talos goes here
	Data     bool          // EPHEMERAL goes here
	Ours     bool          // the last install of ours wrote it
	Fate     []string      // what becomes of what is on it; nil if nothing does
}

// segmentKind is what a stretch of a disk is for.
type segmentKind string

const (
	talosPart  segmentKind = "talos"
	bootPart   segmentKind = "boot"
	dataPart   segmentKind = "data"
	memberPart segmentKind = "member"
	otherPart  segmentKind = "other"
	freePart   segmentKind = "free"
)

// Title is the kind in words.
func (k segmentKind) Title() string {
	return map[segmentKind]string{
		talosPart: "Talos", bootPart: "boots", dataPart: "file system", memberPart: "member of an array, volume or pool",
		otherPart: "contents not known", freePart: "free",
	}[k]
}

// segment is a stretch of a drawn disk.
type segment struct {
	Kind        segmentKind
	Label, Sub  string
	Bytes       int64
	X, Width    float64 // per cent
	Left, Right string  // the same, for SVG
}

// Room says how much can be written on a segment: "wide" everywhere, "some" not on phones, "none" nowhere.
func (s segment) Room() string {
	switch {
	case s.Width >= 28:
		return "wide"
	case s.Width >= 11:
		return "some"
	}
	return "none"
}

// narrowest is the least share of a bar that a stretch takes, in per cent: small ones have to be seen, too.
const narrowest = 2.2

// diskViews are the disks of a server, the one that Talos goes to first.
func diskViews(d serverData) []diskView {
	data := d.Server.Assignment.EphemeralWWID()
	var all []diskView
	for _, disk := range d.Server.Facts.Disks {
		v := diskView{
			Disk: disk, ID: "disk-" + disk.Name, Segments: segmentsOf(d.Server.Facts, disk),
			Chosen: d.Forecast.Disk.Name == disk.Name, Data: data != "" && disk.WWID == data, Ours: disk.Called(d.Server.Installed.Disk),
		}
		for _, s := range v.Segments {
			if !slices.Contains(v.Kinds, s.Kind) {
				v.Kinds = append(v.Kinds, s.Kind)
			}
		}
		for _, f := range d.Forecast.Fates {
			if f.Disk == disk.Name {
				v.Fate = f.Lines
			}
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b diskView) int {
		return cmp.Compare(place(a), place(b))
	})
	return all
}

func place(v diskView) int {
	if v.Chosen {
		return 0
	}
	return 1
}

// segmentsOf divides a disk by its partitions. Where each begins is not known: they stand in the order of their numbers.
func segmentsOf(f fleet.Facts, d fleet.Disk) []segment {
	var all []segment
	used := int64(0)
	for _, p := range d.Partitions {
		all = append(all, segmentOf(f, d, p))
		used += p.SizeBytes
	}
	switch rest := d.SizeBytes - used; {
	case len(d.Partitions) == 0:
		all = append(all, wholeDisk(f, d))
	case rest > d.SizeBytes/100:
		all = append(all, segment{Kind: freePart, Label: "free", Sub: diskSize(rest), Bytes: rest})
	}
	layOut(all)
	return all
}

func wholeDisk(f fleet.Facts, d fleet.Disk) segment {
	s := segment{Kind: dataPart, Label: contents(d), Sub: diskSize(d.SizeBytes), Bytes: d.SizeBytes}
	switch on := f.ArraysOn(d); {
	case len(on) > 0:
		s.Kind, s.Label = memberPart, memberOf(on)
	case d.Blank():
		s.Kind, s.Label = freePart, "blank"
	}
	return s
}

func segmentOf(f fleet.Facts, d fleet.Disk, p fleet.Partition) segment {
	s := segment{Kind: otherPart, Label: cmp.Or(p.Label, p.FSLabel, p.MountedAt, p.FSType, strconv.Itoa(p.Number)), Sub: diskSize(p.SizeBytes), Bytes: p.SizeBytes}
	on := arraysOf(f, p.Name)
	switch {
	case d.Talos != nil && slices.Contains(d.Talos.Partitions, p.Label):
		s.Kind = talosPart
	case len(on) > 0:
		s.Kind, s.Label = memberPart, memberOf(on)
	case p.EFI() || len(p.Loaders) > 0:
		s.Kind = bootPart
	case strings.HasSuffix(p.FSType, "_member") || strings.HasPrefix(p.FSType, "crypto_"):
		s.Kind = memberPart
	case p.FSType != "":
		s.Kind = dataPart
	}
	return s
}

// arraysOf lists what stands on a partition or disk of that name.
func arraysOf(f fleet.Facts, device string) []fleet.Array {
	var all []fleet.Array
	for _, a := range f.Arrays {
		if slices.Contains(a.Members, device) {
			all = append(all, a)
		}
	}
	return all
}

func memberOf(on []fleet.Array) string {
	var all []string
	for _, a := range on {
		all = append(all, arrayKind(a)+" "+cmp.Or(a.Name, a.ID))
	}
	return strings.Join(all, ", ")
}

// layOut gives each stretch its share of the bar, none less than can be seen.
func layOut(all []segment) {
	total, wide := int64(0), 100.0
	for _, s := range all {
		total += max(s.Bytes, 1)
	}
	share := func(s segment) float64 { return 100 * float64(max(s.Bytes, 1)) / float64(total) }
	seen := min(narrowest, 100/float64(max(len(all), 1)))
	left := 0.0 // of those that are wide enough by themselves
	for _, s := range all {
		if share(s) < seen {
			wide -= seen
		} else {
			left += share(s)
		}
	}
	x := 0.0
	for i := range all {
		all[i].X, all[i].Width = x, seen
		if share(all[i]) >= seen {
			all[i].Width = share(all[i]) * wide / left
		}
		x += all[i].Width
		all[i].Left, all[i].Right = percent(all[i].X), percent(all[i].Width)
	}
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "%" }

// arrayKind is what people call such a thing.
func arrayKind(a fleet.Array) string {
	switch a.Kind {
	case "md":
		return "RAID"
	case "ceph":
		return "Ceph"
	case "btrfs":
		return "btrfs"
	}
	return strings.ToUpper(a.Kind)
}

// arrayState says how an array is.
func arrayState(a fleet.Array) status {
	switch {
	case a.Missing > 0:
		return status{attention, count(a.Missing, "member") + " missing", ""}
	case a.Active:
		return status{ok, "Running in the rescue system", ""}
	}
	return status{"", "Not running", ""}
}

// partitionHolds says what is in a partition.
func partitionHolds(f fleet.Facts, p fleet.Partition) string {
	var words []string
	if p.FSType != "" {
		words = append(words, p.FSType)
	}
	if p.FSLabel != "" && p.FSLabel != p.Label {
		words = append(words, quoted(p.FSLabel))
	}
	if on := arraysOf(f, p.Name); len(on) > 0 {
		words = append(words, "member of "+memberOf(on))
	}
	if p.MountedAt != "" {
		words = append(words, "mounted at "+p.MountedAt)
	}
	if len(p.Loaders) > 0 {
		words = append(words, "boot loaders "+strings.Join(p.Loaders, " "))
	}
	if p.Unreadable {
		words = append(words, "cannot be read")
	}
	return strings.Join(words, ", ")
}

// partitionType is the type in words where it is one that matters.
func partitionType(p fleet.Partition) string {
	if p.EFI() {
		return "EFI system partition"
	}
	return p.Type
}

func contents(d fleet.Disk) string {
	if len(d.Contents) == 0 {
		return "Blank"
	}
	return strings.Join(d.Contents, ", ")
}

func diskKind(d fleet.Disk) string {
	kind := strings.ToUpper(d.Transport)
	if d.Rotational {
		kind += " hard disk"
	}
	if d.Serial != "" {
		kind += " serial " + d.Serial
	}
	return strings.TrimSpace(kind)
}

// serials names disks by their serial numbers, with their sizes.
func serials(all []fleet.Disk) string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = fmt.Sprintf("%s (%s, serial %s)", d.Name, diskSize(d.SizeBytes), cmp.Or(d.Serial, "unknown"))
	}
	return strings.Join(words, ", ")
}

// diskSheet is what is on the disks of a server, a row a partition.
func diskSheet(s fleet.Server) sheet {
	out := sheet{name: "disks-" + s.ID, columns: []string{"disk", "model", "serial", "wwid", "bytes", "partition", "label", "type", "partition bytes", "holds", "earlier talos"}}
	for _, d := range s.Facts.Disks {
		row := []string{d.Name, d.Model, d.Serial, d.WWID, strconv.FormatInt(d.SizeBytes, 10), "", "", "", "", contents(d), ""}
		if d.Talos != nil {
			row[10] = d.Talos.String()
		}
		out.rows = append(out.rows, row)
		for _, p := range d.Partitions {
			out.rows = append(out.rows, append(slices.Clone(row[:5]), strconv.Itoa(p.Number), p.Label, partitionType(p), strconv.FormatInt(p.SizeBytes, 10), partitionHolds(s.Facts, p), ""))
		}
	}
	return out
}
