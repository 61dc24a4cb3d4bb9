package fleet

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MinDisk is the smallest disk Talos installs on. Source: Talos' system requirements.
const MinDisk = 10 << 30

// RulePrefix begins an install disk that is chosen by rule.
const RulePrefix = "rule:"

// DiskRule chooses a disk by what it is. All conditions must hold; of several disks, smallest or largest picks one,
// and only if a single disk is.
//
//	rule:smallest,transport=nvme,size>=400GB,size<=2TB,model=SAMSUNG*
type DiskRule struct {
	pick       string // "smallest", "largest" or ""
	conditions []diskCondition
	text       string // as it was written
}

type diskCondition struct {
	field string // transport, type, size, model, serial, wwid
	op    string // =, >=, <=, >, <
	value string
	bytes int64 // of size
}

var conditionForm = regexp.MustCompile(`^([a-z]+)\s*(>=|<=|=|>|<)\s*(.+)$`)

const ruleHint = "write it as rule:smallest,transport=nvme,size>=400GB,model=SAMSUNG*: conditions are transport=, type=ssd|hdd, size=, size>=, size<=, size>, size<, model=, serial=, wwid=; smallest or largest picks one of several"

// ParseDiskRule reads a rule; fleet.Invalid, with what is wrong, if it is none.
func ParseDiskRule(text string) (DiskRule, error) {
	body, ok := strings.CutPrefix(text, RulePrefix)
	if !ok {
		return DiskRule{}, Errorf(Invalid, "%q is no rule for a disk", text).WithHint(ruleHint)
	}
	r := DiskRule{text: text}
	for _, word := range strings.Split(body, ",") {
		if err := r.add(strings.TrimSpace(word)); err != nil {
			return DiskRule{}, Errorf(Invalid, "disk rule %q: %w", text, err).WithHint(ruleHint)
		}
	}
	return r, nil
}

func (r *DiskRule) add(word string) error {
	switch {
	case word == "":
		return fmt.Errorf("a condition is empty")
	case word == "smallest" || word == "largest":
		if r.pick != "" {
			return fmt.Errorf("%s and %s: one of smallest and largest is enough", r.pick, word)
		}
		r.pick = word
		return nil
	}
	m := conditionForm.FindStringSubmatch(word)
	if m == nil {
		return fmt.Errorf("%q is no condition", word)
	}
	c := diskCondition{field: m[1], op: m[2], value: strings.TrimSpace(m[3])}
	if c.field != "size" && c.op != "=" {
		return fmt.Errorf("%s is compared with = only", c.field)
	}
	switch c.field {
	case "size":
		n, err := parseSize(c.value)
		if err != nil {
			return err
		}
		c.bytes = n
	case "type":
		if c.value != "ssd" && c.value != "hdd" {
			return fmt.Errorf("type is ssd or hdd, not %q", c.value)
		}
	case "transport", "model", "serial", "wwid":
		if _, err := path.Match(c.value, ""); err != nil {
			return fmt.Errorf("%s: %q is no pattern", c.field, c.value)
		}
	case "name", "path", "dev":
		return fmt.Errorf("a disk's name changes between boots")
	default:
		return fmt.Errorf("unknown condition %q", c.field)
	}
	r.conditions = append(r.conditions, c)
	return nil
}

var sizeForm = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?$`)

// parseSize reads 400GB (of 1000), 400GiB (of 1024) and bytes.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil || m[3] == "i" && m[2] == "" {
		return 0, fmt.Errorf("%q is no size: write 400GB, 1.92TB or 512GiB", text)
	}
	base := 1000.0
	if m[3] == "i" {
		base = 1024
	}
	n, err := strconv.ParseFloat(m[1], 64)
	for range strings.Index("KMGTP", m[2]) + 1 {
		if m[2] != "" {
			n *= base
		}
	}
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return int64(n), nil
}

// Matches says whether a disk fulfils every condition and is large enough for Talos.
func (r DiskRule) Matches(d Disk) bool {
	return d.SizeBytes >= MinDisk && !slices.ContainsFunc(r.conditions, func(c diskCondition) bool { return !c.holds(d) })
}

func (c diskCondition) holds(d Disk) bool {
	switch c.field {
	case "size":
		return c.compare(d.SizeBytes)
	case "type":
		return d.Rotational == (c.value == "hdd")
	}
	value := map[string]string{"transport": d.Transport, "model": d.Model, "serial": d.Serial, "wwid": d.WWID}[c.field]
	ok, _ := path.Match(strings.ToLower(c.value), strings.ToLower(value)) // the pattern was tried when it was read
	return ok
}

func (c diskCondition) compare(size int64) bool {
	switch c.op {
	case ">=":
		return size >= c.bytes
	case "<=":
		return size <= c.bytes
	case ">":
		return size > c.bytes
	case "<":
		return size < c.bytes
	}
	// A disk of "512 GB" has 512110190592 bytes: what is on its box is meant.
	return size >= c.bytes-c.bytes/100 && size <= c.bytes+c.bytes/100
}

// Choose finds the one disk that is meant; fleet.Refused if there is none, or more than one.
func (r DiskRule) Choose(server string, disks []Disk) (Disk, error) {
	var fit []Disk
	for _, d := range disks {
		if r.Matches(d) {
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 {
		return Disk{}, Errorf(Refused, "no disk of server %s is as %q wants", server, r.text).WithHint("its disks are %s", DescribeDisks(disks))
	}
	best := fit
	if r.pick != "" {
		size := slices.MinFunc(fit, r.order).SizeBytes
		best = slices.DeleteFunc(slices.Clone(fit), func(d Disk) bool { return d.SizeBytes != size })
	}
	if len(best) > 1 {
		return Disk{}, Errorf(Refused, "%d disks of server %s are as %q wants: which is meant cannot be told", len(best), server, r.text).
			WithHint("they are %s; narrow the rule, or name one by its WWID", DescribeDisks(best))
	}
	if best[0].ID() == "" && len(disks) > 1 {
		return Disk{}, Errorf(Refused, "the disk of server %s that %q chooses has neither WWID nor serial number: its config could not name it", server, r.text).
			WithHint("its disks are %s", DescribeDisks(disks))
	}
	return best[0], nil
}

func (r DiskRule) order(a, b Disk) int {
	if r.pick == "largest" {
		a, b = b, a
	}
	return cmp.Compare(a.SizeBytes, b.SizeBytes)
}

// DescribeDisks lists disks for people, smallest first.
func DescribeDisks(disks []Disk) string {
	if len(disks) == 0 {
		return "none"
	}
	sorted := slices.SortedFunc(slices.Values(disks), func(a, b Disk) int {
		return cmp.Or(cmp.Compare(a.SizeBytes, b.SizeBytes), cmp.Compare(a.Name, b.Name))
	})
	var out []string
	for _, d := range sorted {
		id := cmp.Or(d.ID(), "without WWID or serial")
		out = append(out, fmt.Sprintf("%s (%s, %d GB, %s)", id, d.Name, d.SizeBytes/1e9, cmp.Or(d.Model, "unknown model")))
	}
	return strings.Join(out, "; ")
}

// InstallDisk is the disk that the server's config names: what its assignment says; for a rule, the disk that it
// chooses among those that are known, or "" while that cannot be told.
func (s *Server) InstallDisk() string {
	wanted := s.Assignment.InstallDisk
	if !strings.HasPrefix(wanted, RulePrefix) {
		return wanted
	}
	d, err := ChooseDisk(s.Name, wanted, s.Facts.Disks)
	if err != nil {
		return ""
	}
	return d.ID()
}
