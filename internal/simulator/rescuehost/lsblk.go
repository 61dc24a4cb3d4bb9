package rescuehost

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// cell is a column's value: nil, string, bool or int64.
type cell = any

// blkRow is a device in lsblk's output, with what stands on it below.
type blkRow struct {
	b     block // nil: loop0, the read-only image of the rescue system
	below []*blkRow
}

const loopSize = 3068773888

// toolLsblk prints block devices as util-linux 2.38 does.
func toolLsblk(c *call) int {
	opts, rest, err := getopt(c.args, "JbPndo:pre:lafiOStTI:x:D", "json", "bytes", "pairs", "noheadings", "nodeps", "output=", "paths", "raw", "exclude=", "list", "all", "fs", "include=", "scsi", "tree", "sort=", "inverse", "ascii", "output-all")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	l := &lsblk{c: c, columns: []string{"NAME", "MAJ:MIN", "RM", "SIZE", "RO", "TYPE", "MOUNTPOINTS"}}
	for _, o := range opts {
		switch o.name {
		case "J", "json":
			l.json = true
		case "b", "bytes":
			l.bytes = true
		case "P", "pairs":
			l.pairs = true
		case "r", "raw":
			l.raw, l.flat = true, true
		case "n", "noheadings":
			l.bare = true
		case "d", "nodeps":
			l.alone = true
		case "l", "list":
			l.flat = true
		case "p", "paths":
			l.paths = true
		case "f", "fs":
			l.columns = []string{"NAME", "FSTYPE", "FSVER", "LABEL", "UUID", "FSAVAIL", "FSUSE%", "MOUNTPOINTS"}
		case "o", "output":
			columns := strings.Split(strings.ToUpper(strings.ReplaceAll(o.value, " ", "")), ",")
			if strings.HasPrefix(o.value, "+") {
				columns = append(l.columns, strings.Split(strings.ToUpper(o.value[1:]), ",")...)
			}
			l.columns = columns
		case "e", "exclude":
			l.noLoop = slices.Contains(strings.Split(o.value, ","), "7")
		case "I", "include":
			l.noLoop = !slices.Contains(strings.Split(o.value, ","), "7")
		}
	}
	for _, name := range l.columns {
		if _, ok := l.value(&blkRow{}, name); !ok {
			return c.fail(1, "unknown column: %s", name)
		}
	}
	rows, status := l.rows(rest)
	l.print(rows)
	return status
}

type lsblk struct {
	c                                                         *call
	columns                                                   []string
	json, bytes, pairs, raw, bare, alone, flat, paths, noLoop bool
}

// rows are the devices asked for, or all of them.
func (l *lsblk) rows(names []string) ([]*blkRow, int) {
	var all []*blkRow
	status := 0
	for _, name := range names {
		b, err := l.c.h.device(l.c.dir, name)
		if err != nil {
			status = l.c.fail(32, "%s: not a block device", name)
			continue
		}
		all = append(all, l.row(b))
	}
	if len(names) > 0 {
		return all, status
	}
	if !l.c.h.old && !l.noLoop {
		all = append(all, &blkRow{})
	}
	for _, d := range l.c.h.disks {
		all = append(all, l.row(d))
	}
	return all, 0
}

func (l *lsblk) row(b block) *blkRow {
	r := &blkRow{b: b}
	if l.alone {
		return r
	}
	h := l.c.h
	h.mu.Lock()
	var parts []*part
	if d, ok := b.(*disk); ok {
		parts = slices.Clone(d.parts)
	}
	arrays := slices.Clone(h.arrays)
	h.mu.Unlock()
	for _, p := range parts {
		r.below = append(r.below, l.row(p))
	}
	for _, a := range arrays {
		if slices.ContainsFunc(a.members, func(m block) bool { return m.base() == b.base() }) {
			r.below = append(r.below, &blkRow{b: a})
		}
	}
	return r
}

func (l *lsblk) print(rows []*blkRow) {
	if l.json {
		l.c.printf("{\n   \"blockdevices\": [")
		l.printJSON(rows, 2)
		l.c.printf("\n   ]\n}\n")
		return
	}
	var table [][]string
	if !l.bare && !l.pairs {
		table = append(table, l.columns)
	}
	var add func(rows []*blkRow, indent string)
	seen := map[string]bool{}
	add = func(rows []*blkRow, indent string) {
		for i, r := range rows {
			branch, deeper := "├─", "│ "
			if i == len(rows)-1 {
				branch, deeper = "└─", "  "
			}
			if indent == "" || l.flat || l.pairs {
				branch, deeper = "", ""
			}
			line := l.line(r, strings.TrimSuffix(indent, "+")+branch)
			if key := line[0]; !(l.flat || l.pairs) || !seen[key] {
				seen[key] = true
				table = append(table, line)
			}
			add(r.below, strings.TrimSuffix(indent, "+")+deeper+"+")
		}
	}
	add(rows, "")
	l.printTable(table)
}

func (l *lsblk) line(r *blkRow, tree string) []string {
	var out []string
	for _, name := range l.columns {
		v, _ := l.value(r, name)
		s := l.text(v, name)
		if name == "NAME" && !l.flat && !l.pairs {
			s = tree + s
		}
		if l.pairs {
			s = fmt.Sprintf("%s=%q", name, s)
		}
		out = append(out, s)
	}
	return out
}

func (l *lsblk) printTable(table [][]string) {
	if l.pairs || l.raw {
		for _, line := range table {
			l.c.printf("%s\n", strings.Join(line, " "))
		}
		return
	}
	width := make([]int, len(l.columns))
	for _, line := range table {
		for i, s := range line {
			width[i] = max(width[i], len([]rune(s)))
		}
	}
	for _, line := range table {
		var b strings.Builder
		for i, s := range line {
			pad := strings.Repeat(" ", width[i]-len([]rune(s)))
			if slices.Contains([]string{"SIZE", "RM", "RO", "ROTA"}, l.columns[i]) {
				b.WriteString(pad + s + " ")
			} else {
				b.WriteString(s + pad + " ")
			}
		}
		l.c.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

func (l *lsblk) text(v cell, name string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return map[bool]string{true: "1", false: "0"}[v]
	case int64:
		return fmt.Sprint(v)
	case []string:
		return strings.Join(v, "\n")
	}
	return fmt.Sprint(v)
}

func (l *lsblk) printJSON(rows []*blkRow, depth int) {
	pad := strings.Repeat("   ", depth)
	for i, r := range rows {
		if i > 0 {
			l.c.printf(",")
		} else {
			l.c.printf("\n%s", pad)
		}
		l.c.printf("{\n")
		for k, name := range l.columns {
			v, _ := l.value(r, name)
			data, _ := json.Marshal(v)
			if list, ok := v.([]string); ok {
				data = mountpointsJSON(list, pad)
			}
			l.c.printf("%s   %q: %s", pad, strings.ToLower(name), data)
			if k < len(l.columns)-1 || len(r.below) > 0 && !l.flat {
				l.c.printf(",")
			}
			l.c.printf("\n")
		}
		if len(r.below) > 0 && !l.flat {
			l.c.printf("%s   \"children\": [", pad)
			l.printJSON(r.below, depth+2)
			l.c.printf("\n%s   ]\n", pad)
		}
		l.c.printf("%s}", pad)
	}
}

func mountpointsJSON(list []string, pad string) []byte {
	if len(list) == 0 {
		return fmt.Appendf(nil, "[\n%s       null\n%s   ]", pad, pad)
	}
	data, _ := json.Marshal(list)
	return data
}

// value gives a column of a device; false if there is no such column.
func (l *lsblk) value(r *blkRow, name string) (cell, bool) {
	if r.b == nil {
		return l.loop(name)
	}
	b := r.b
	d, start := place(b)
	p, _ := b.(*part)
	switch name {
	case "NAME", "KNAME":
		if l.paths {
			return "/dev/" + b.base(), true
		}
		return b.base(), true
	case "PATH":
		return "/dev/" + b.base(), true
	case "SIZE":
		return l.size(b.Size()), true
	case "TYPE":
		return kindOf(b), true
	case "PKNAME":
		if p != nil {
			return p.disk.name, true
		}
		return nil, true
	case "MOUNTPOINT", "MOUNTPOINTS":
		return l.mountpoint(b, name), true
	case "START":
		if p != nil {
			return start / world.Sector, true
		}
		return nil, true
	case "PTTYPE", "PTUUID", "FSTYPE", "FSVER", "LABEL", "UUID", "PARTTYPE", "PARTTYPENAME", "PARTLABEL", "PARTUUID", "PARTN":
		return signatureColumn(b, p, name), true
	case "MODEL", "SERIAL", "WWN", "TRAN", "VENDOR", "HCTL", "ROTA", "REV", "STATE":
		return l.hardware(d, p != nil, name), true
	}
	return constant(name)
}

// constant are columns that are the same for every device.
func constant(name string) (cell, bool) {
	v, ok := map[string]cell{
		"RO": false, "RM": false, "HOTPLUG": false, "MAJ:MIN": "8:0", "LOG-SEC": int64(512), "PHY-SEC": int64(512), "OWNER": "root", "GROUP": "disk",
		"MODE": "brw-rw----", "FSAVAIL": nil, "FSUSE%": nil, "FSSIZE": nil, "FSUSED": nil, "SUBSYSTEMS": nil, "ALIGNMENT": int64(0), "DISC-GRAN": "512B", "DISC-MAX": "2T", "DISC-ZERO": false, "ZONED": "none", "RAND": false, "SCHED": "none",
	}[name]
	return v, ok
}

func (l *lsblk) loop(name string) (cell, bool) {
	switch name {
	case "NAME", "KNAME":
		return "loop0", true
	case "PATH":
		return "/dev/loop0", true
	case "SIZE":
		return l.size(loopSize), true
	case "TYPE":
		return "loop", true
	case "RO":
		return true, true
	case "ROTA":
		return false, true
	case "FSTYPE":
		return "ext2", true
	case "MOUNTPOINTS":
		return []string(nil), true
	case "PKNAME", "MOUNTPOINT", "START", "PTTYPE", "PTUUID", "FSVER", "LABEL", "UUID", "PARTTYPE", "PARTTYPENAME", "PARTLABEL", "PARTUUID", "PARTN",
		"MODEL", "SERIAL", "WWN", "TRAN", "VENDOR", "HCTL", "REV", "STATE":
		return nil, true
	}
	return constant(name)
}

func (l *lsblk) size(n int64) cell {
	if l.bytes {
		return n
	}
	return human(n)
}

// human is a size as util-linux words it: 476.9G.
func human(n int64) string {
	units, f, i := "BKMGTP", float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + units[i:i+1]
}

func kindOf(b block) string {
	switch b := b.(type) {
	case *part:
		return "part"
	case *array:
		return fmt.Sprintf("raid%d", b.level)
	}
	return "disk"
}

func (l *lsblk) mountpoint(b block, name string) cell {
	m := l.c.h.mountedAt(b)
	switch {
	case name == "MOUNTPOINTS" && m == nil:
		return []string(nil)
	case name == "MOUNTPOINTS":
		return []string{m.target}
	case m == nil:
		return nil
	}
	return m.target
}

func textOrNil(s string) cell {
	if s == "" {
		return nil
	}
	return s
}

func signatureColumn(b block, p *part, name string) cell {
	switch name {
	case "PTTYPE":
		if p != nil {
			return textOrNil(partitionTable(p.disk))
		}
		return textOrNil(partitionTable(b))
	case "FSTYPE", "LABEL", "UUID", "FSVER":
		s := fileSystem(b)
		if s == nil {
			return nil
		}
		return textOrNil(map[string]string{"FSTYPE": s.kind, "LABEL": s.label, "UUID": s.uuid}[name])
	case "PTUUID":
		d, _ := place(b)
		if d == nil {
			return nil
		}
		g, err := world.ReadGPT(d, d.SizeBytes)
		if err != nil {
			return nil
		}
		return g.DiskGUID
	}
	if p == nil {
		return nil
	}
	if name == "PARTN" {
		return int64(p.Index)
	}
	return textOrNil(map[string]string{"PARTTYPE": p.Type, "PARTLABEL": p.Label, "PARTUUID": p.GUID, "PARTTYPENAME": typeName(p.Type)}[name])
}

func typeName(guid string) string {
	return map[string]string{world.TypeEFI: "EFI System", world.TypeBIOS: "BIOS boot", world.TypeLinux: "Linux filesystem"}[guid]
}

// hardware are the columns of a disk; a partition repeats only the WWN and what the kernel inherits.
func (l *lsblk) hardware(d *disk, isPart bool, name string) cell {
	if d == nil {
		if name == "ROTA" {
			return false
		}
		return nil
	}
	switch name {
	case "ROTA":
		return d.Rotational
	case "WWN":
		return textOrNil(d.wwn())
	case "TRAN":
		if d.Transport == "scsi" || isPart && d.Transport != "nvme" {
			return nil
		}
		return textOrNil(d.Transport)
	}
	if isPart {
		return nil
	}
	switch name {
	case "MODEL":
		return textOrNil(strings.TrimSpace(d.Model))
	case "SERIAL":
		return textOrNil(strings.TrimSpace(d.Serial))
	case "VENDOR":
		return map[string]cell{"sata": "ATA", "scsi": "QEMU"}[d.Transport]
	case "HCTL":
		if d.Transport == "nvme" {
			return nil
		}
		return fmt.Sprintf("%d:0:0:0", max(0, strings.IndexByte("abcdefghij", d.name[len(d.name)-1])))
	case "STATE":
		return "running"
	}
	return nil
}
