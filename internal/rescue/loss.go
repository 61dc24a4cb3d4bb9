package rescue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Loss is what happens to a disk of a machine when one of them is installed on.
type Loss struct {
	Name  string   // by which an answer calls the disk: its serial number, else its WWID, else its name
	Lines []string // for people: what is on it, and what becomes of that
}

// Losses lists the disks whose contents change when chosen is installed on: chosen itself, then those that share an array
// with it, then those with rivals. allowed says whether a disk's contents may go without a question.
func Losses(f fleet.Facts, chosen fleet.Disk, rivals []Rival, allowed func(fleet.Disk) bool) []Loss {
	var all []Loss
	add := func(d fleet.Disk, line string) {
		name := AnswerName(d)
		i := slices.IndexFunc(all, func(l Loss) bool { return l.Name == name })
		if i < 0 {
			all = append(all, Loss{Name: name})
			i = len(all) - 1
		}
		all[i].Lines = append(all[i].Lines, line)
	}
	if !chosen.Blank() && !allowed(chosen) {
		for _, line := range onIt(f, chosen) {
			add(chosen, line)
		}
		for _, a := range f.ArraysOn(chosen) {
			for _, other := range f.DisksOf(a) {
				if other.Name != chosen.Name {
					add(other, fmt.Sprintf("%s loses a member: %s", arrayText(a), consequence(a)))
				}
			}
		}
	}
	for _, r := range rivals {
		for _, d := range f.Disks {
			if d.Name != chosen.Name && r.on(d) && !allowed(d) {
				add(d, r.Text+", are hidden; nothing of it is lost")
			}
		}
	}
	return all
}

// AnswerName is what an answer calls a disk: its serial number, or what it has instead.
func AnswerName(d fleet.Disk) string { return cmp.Or(d.Serial, d.WWID, d.Name) }

// onIt tells what is lost with a disk.
func onIt(f fleet.Facts, d fleet.Disk) []string {
	var out []string
	for _, p := range d.Partitions {
		out = append(out, "partition "+partitionText(p))
	}
	if len(d.Partitions) == 0 {
		out = append(out, strings.Join(d.Contents, ", "))
	}
	for _, a := range f.ArraysOn(d) {
		out = append(out, arrayText(a))
	}
	if d.Talos != nil {
		out = append(out, d.Talos.String())
	}
	return out
}

func partitionText(p fleet.Partition) string {
	words := []string{fmt.Sprint(p.Number)}
	if p.Label != "" {
		words = append(words, p.Label)
	}
	words = append(words, sizeText(p.SizeBytes), cmp.Or(p.FSType, "no known file system"))
	if p.FSLabel != "" && p.FSLabel != p.Label {
		words = append(words, p.FSLabel)
	}
	if p.MountedAt != "" {
		words = append(words, "mounted at "+p.MountedAt)
	}
	return strings.Join(words, " ")
}

func sizeText(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%d MB", n/1e6)
	}
	return fmt.Sprintf("%d GB", n/1e9)
}

func arrayText(a fleet.Array) string {
	kind := map[string]string{"md": "RAID array", "lvm": "LVM volume group", "luks": "LUKS volume", "zfs": "ZFS pool", "btrfs": "btrfs", "ceph": "Ceph OSD"}[a.Kind]
	text := strings.Join(strings.Fields(cmp.Or(kind, a.Kind)+" "+cmp.Or(a.Name, a.ID)+" "+a.Level), " ")
	if a.Missing > 0 {
		text += fmt.Sprintf(", %d of its members missing already", a.Missing)
	}
	return text
}

// consequence says what the loss of a member means.
func consequence(a fleet.Array) string {
	if slices.Contains([]string{"raid1", "raid4", "raid5", "raid6", "raid10"}, a.Level) && a.Missing == 0 {
		return "it is degraded"
	}
	if a.Kind == "zfs" || a.Kind == "btrfs" || a.Kind == "ceph" {
		return "what it keeps of its data depends on how it was made"
	}
	return "its data is lost"
}

// Recognise says whether what is on a disk is the Talos that we wrote there, and nothing else; if not, why not. clusterID
// is what Talos itself calls that cluster, "" if it is not known any more.
func Recognise(f fleet.Facts, d fleet.Disk, was fleet.Installed, clusterID string) (ours bool, why string) {
	if was.Disk == "" || !d.Called(was.Disk) || was.Serial != "" && d.Serial != was.Serial {
		return false, "no install of ours wrote it"
	}
	return OnlyTalos(f, d, was.Cluster, clusterID)
}

// OnlyTalos says whether what is on a disk is a Talos of that cluster, or of none yet, and nothing else; if not, why not.
func OnlyTalos(f fleet.Facts, d fleet.Disk, cluster, clusterID string) (only bool, why string) {
	switch {
	case d.Talos == nil:
		return false, "there is no Talos on it any more"
	case d.Talos.Unreadable:
		return false, "the STATE of its Talos cannot be read"
	case d.Talos.Nameless:
		return false, "its Talos has a config that names no cluster: whose it is cannot be told"
	case d.Talos.Cluster != "" && d.Talos.Cluster != cluster:
		return false, fmt.Sprintf("its Talos is of cluster %s, and we installed it for %s", d.Talos.Cluster, cluster)
	case d.Talos.Cluster == "" && d.Talos.ClusterID != clusterID && d.Talos.ClusterID != "": // older configs of workers have no name
		return false, fmt.Sprintf("its Talos has a cluster, and not certainly %s", cluster)
	case d.Talos.ClusterID != "" && clusterID != "" && d.Talos.ClusterID != clusterID:
		return false, fmt.Sprintf("its Talos is of another cluster that is called %s, too", cluster)
	}
	for _, p := range d.Partitions {
		if !slices.Contains(talosLabels, p.Label) {
			return false, fmt.Sprintf("partition %s on it is none of Talos' own", partitionText(p))
		}
	}
	for _, a := range f.ArraysOn(d) {
		if a.Kind != "luks" { // Talos encrypts its own partitions
			return false, arrayText(a) + " stands on it"
		}
	}
	return true, ""
}

// Differs says how what is on a disk differs between two looks; "" if it does not. Arrays that were stopped in between
// leave their marks where they were.
func Differs(was, is fleet.Disk) string {
	if !slices.Equal(was.Signatures, is.Signatures) {
		return fmt.Sprintf("it had %s and has %s", cmp.Or(strings.Join(was.Signatures, ", "), "nothing"), cmp.Or(strings.Join(is.Signatures, ", "), "nothing"))
	}
	if len(was.Partitions) != len(is.Partitions) {
		return fmt.Sprintf("it had %d partitions and has %d", len(was.Partitions), len(is.Partitions))
	}
	for i, p := range was.Partitions {
		q := is.Partitions[i]
		if p.Label != q.Label || p.UUID != q.UUID || p.SizeBytes != q.SizeBytes || p.FSType != q.FSType || p.FSUUID != q.FSUUID {
			return fmt.Sprintf("partition %s is now %s", partitionText(p), partitionText(q))
		}
	}
	return ""
}
