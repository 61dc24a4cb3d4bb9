package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/talos-manager/talos-manager/client"
)

// wide is how long lines of descriptions may become: terminals have 80 columns, and people read no longer ones.
const wide = 80

// describeFacts prints what a machine said of itself.
func describeFacts(t *table, s client.Server) {
	if i := s.Installed; i != nil {
		t.field("installed", fmt.Sprintf("%s, for cluster %s, %s", first(i.Serial, i.Disk), first(i.Cluster, "unknown"), t.ago(i.At)))
	}
	t.field("UUID for Talos", s.UUIDOverride)
	if f := s.Facts; s.RanAs != "" && (f == nil || s.RanAs != first(s.UUIDOverride, f.UUID)) {
		t.field("Talos ran as", s.RanAs)
	}
	t.field("host keys", strings.Join(s.HostKeys, " "))
	f := s.Facts
	if f == nil {
		t.field("facts", "none yet: talos-manager server "+asking(s)+" "+s.Name)
		return
	}
	t.field("facts of", t.ago(f.At))
	t.field("UUID", f.UUID)
	describeMachine(t, *f)
	t.block("interfaces", columns(each(f.NICs, nicRow)))
	for _, d := range f.Disks {
		t.block("disk "+d.Name, diskText(d))
	}
	t.block("arrays", columns(each(f.Arrays, arrayRow)))
	t.block("boot menu", columns(each(f.BootEntries, bootRow)))
	t.block("found changed", strings.Join(each(s.Changes, func(c client.Change) string {
		return fold(c.At.Local().Format(time.DateTime)+"  "+c.Text, wide-2)
	}), "\n"))
	t.block("UUID problem", fold(s.UUIDProblem, wide-2))
	t.block("mail to the provider", s.UUIDMail)
}

// asking is the command by which a server's facts are had.
func asking(s client.Server) string {
	if s.Provider == client.Manual {
		return "probe"
	}
	return "rescue"
}

func describeMachine(t *table, f client.Facts) {
	t.field("machine", strings.Join(strings.Fields(f.Manufacturer+" "+f.Product+" "+f.Serial), " "))
	if b := f.Board; b != nil {
		t.field("board", strings.Join(strings.Fields(b.Vendor+" "+b.Product+" "+b.Serial), " "))
	}
	firmware := f.Firmware
	if f.SecureBoot {
		firmware += ", secure boot"
	}
	t.field("firmware", firmware)
	t.field("CPU", fmt.Sprintf("%s, %d cores", first(f.CPU, "unknown"), f.Cores))
	t.field("memory", size(f.MemoryBytes))
	gateway := strings.Join(strings.Fields(f.Gateway+" "+f.Gateway6), ", ")
	if gateway != "" && f.DHCP {
		gateway += " (DHCP)"
	}
	t.field("gateway", gateway)
	if off := seconds(f.ClockOffset); off.Abs() > 10*time.Second {
		way := "ahead"
		if off < 0 {
			way = "behind"
		}
		t.field("clock", short(off.Abs())+" "+way)
	}
	t.field("lacks programs", strings.Join(f.MissingTools, " "))
}

func nicRow(n client.NIC) []string {
	link := "no link"
	switch {
	case !n.Up:
		link = "down"
	case n.SpeedMbit > 0:
		link = fmt.Sprintf("%d Mbit/s", n.SpeedMbit)
	case n.Link:
		link = "link"
	}
	return append([]string{n.Name, n.MAC, link}, strings.Join(n.Addresses, " "))
}

// diskText is a disk: what names it, then what is on it.
func diskText(d client.Disk) string {
	kind := strings.TrimSpace(d.Transport)
	if d.Rotational {
		kind += " hard disk"
	}
	lines := []string{strings.Join(strings.Fields(strings.Join([]string{size(d.SizeBytes), kind, d.Model}, " ")), " ")}
	id := first(d.ID, "(no identity: it cannot be named in an assignment)")
	if d.Serial != "" && d.ID != "serial:"+d.Serial {
		id += "  serial number " + d.Serial
	}
	lines = append(lines, id)
	if d.Talos != "" {
		lines = append(lines, fold(d.Talos, wide-2))
	}
	switch {
	case len(d.Partitions) > 0:
		lines = append(lines, columns(each(d.Partitions, partitionRow)))
	case len(d.Contents) > 0:
		lines = append(lines, fold(strings.Join(d.Contents, ", "), wide-2))
	default:
		lines = append(lines, "blank")
	}
	return strings.Join(lines, "\n")
}

func partitionRow(p client.Partition) []string {
	what := strings.TrimSpace(p.FSType + " " + p.FSLabel)
	if p.MountedAt != "" {
		what += " at " + p.MountedAt
	}
	if len(p.Loaders) > 0 {
		what += " with " + strings.Join(p.Loaders, ", ")
	}
	return []string{fmt.Sprint(p.Number), first(p.Label, "-"), size(p.SizeBytes), strings.TrimSpace(what)}
}

func arrayRow(a client.Array) []string {
	state := "not running"
	if a.Active {
		state = "running"
	}
	if a.Missing > 0 {
		state += fmt.Sprintf(", %d members missing", a.Missing)
	}
	return []string{strings.TrimSpace(a.Kind + " " + a.Level), a.Name, "on " + strings.Join(a.Members, " "), state}
}

func bootRow(e client.BootEntry) []string {
	var notes []string
	if e.Current {
		notes = append(notes, "booted now")
	}
	if e.Next {
		notes = append(notes, "next boot")
	}
	if !e.Active {
		notes = append(notes, "off")
	}
	return []string{e.Number, e.Label, strings.Join(notes, ", "), e.Loader}
}

// columns aligns cells by spaces.
func columns(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var lines []string
	for _, r := range rows {
		line := ""
		for i, c := range r {
			if widths[i] > 0 {
				line += fmt.Sprintf("%-*s  ", widths[i], c)
			}
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.Join(lines, "\n")
}

// fold breaks a text into lines at its spaces.
func fold(text string, width int) string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimLeft(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
