package rescue

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// kinds of what stands on several devices, by the signature of a member.
var arrayKinds = map[string]string{
	"linux_raid_member": "md", "ddf_raid_member": "md", "isw_raid_member": "md", "LVM2_member": "lvm", "crypto_LUKS": "luks", "zfs_member": "zfs", "btrfs": "btrfs",
	"ceph_bluestore": "ceph", "bcache": "bcache",
}

// arrays groups devices by what they are members of.
func (st *storage) arrays() []fleet.Array {
	var all []fleet.Array
	var visit func(b block)
	visit = func(b block) {
		for sign := range strings.SplitSeq(st.fsType(b), "+") {
			if kind := arrayKinds[sign]; kind != "" {
				all = st.join(all, b, kind)
			}
		}
		for _, c := range b.Children {
			visit(c)
		}
	}
	for _, b := range st.tree {
		visit(b)
	}
	for i := range all {
		st.count(&all[i])
	}
	return all
}

// join adds a member to its array. An array on an array, as LUKS on md, is a line of its own, and its members are
// devices below it: so each is followed down to the partitions.
func (st *storage) join(all []fleet.Array, b block, kind string) []fleet.Array {
	a := fleet.Array{Kind: kind, Name: cmp.Or(b.Label, st.probed[b.Name]["LABEL"]), ID: cmp.Or(b.UUID, st.probed[b.Name]["UUID"])}
	if pv := st.pvs[b.Name]; kind == "lvm" && len(pv) > 1 {
		a.Name, a.ID = pv[0], pv[1]
		if strings.HasPrefix(a.Name, "ceph-") {
			a.Kind = "ceph"
		}
		if len(pv) > 2 {
			a.Missing, _ = strconv.Atoi(pv[2])
		}
	}
	for _, c := range b.Children {
		if c.Type == "part" {
			continue
		}
		a.Active = true
		if kind == "md" {
			a.Name, a.Level = c.Name, c.Type
		}
		if kind == "luks" {
			a.Name = c.Name
		}
	}
	a.Active = a.Active || b.Mounted != ""
	a.Members = st.under(b.Name)
	i := slices.IndexFunc(all, func(o fleet.Array) bool { return o.Kind == a.Kind && o.ID == a.ID && a.ID != "" })
	if i < 0 {
		return append(all, a)
	}
	for _, m := range a.Members {
		if !slices.Contains(all[i].Members, m) {
			all[i].Members = append(all[i].Members, m)
		}
	}
	if a.Active {
		all[i].Active, all[i].Name, all[i].Level = true, a.Name, a.Level
	}
	return all
}

// under lists the partitions and disks that a device is, or stands on.
func (st *storage) under(name string) []string {
	var out []string
	var visit func(b block, at string)
	visit = func(b block, at string) {
		if b.Type == "disk" || b.Type == "part" || at == "" {
			at = b.Name
		}
		if b.Name == name && !slices.Contains(out, at) {
			out = append(out, at)
		}
		for _, c := range b.Children {
			visit(c, at)
		}
	}
	for _, b := range st.tree {
		visit(b, "")
	}
	return out
}

// count finds how many members of an md array are not there.
func (st *storage) count(a *fleet.Array) {
	md := st.mdadm[digits(a.ID)]
	if a.Kind != "md" || md == nil {
		return
	}
	a.Level = cmp.Or(a.Level, md["level"])
	if n, err := strconv.Atoi(md["num-devices"]); err == nil {
		a.Missing = max(0, n-len(a.Members))
	}
}

// digits are those of a UUID, however it is punctuated.
func digits(uuid string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("0123456789abcdef", r) {
			return r
		}
		return -1
	}, strings.ToLower(uuid))
}

// parseMdadm reads lines as "ARRAY /dev/md/0 level=raid1 metadata=1.2 num-devices=2 UUID=… name=…", by UUID.
func parseMdadm(text string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "ARRAY" {
			continue
		}
		of := map[string]string{}
		for _, w := range words[1:] {
			if name, value, ok := strings.Cut(w, "="); ok {
				of[name] = value
			}
		}
		all[digits(of["UUID"])] = of
	}
	return all
}

// parsePVs reads lines as "/dev/sda2|vg0|UUID|0".
func parsePVs(text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		words := strings.Split(strings.TrimSpace(line), "|")
		if len(words) > 2 && words[1] != "" {
			all[strings.TrimPrefix(words[0], "/dev/")] = words[1:]
		}
	}
	return all
}
