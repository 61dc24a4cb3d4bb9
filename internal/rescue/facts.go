package rescue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func parseFacts(sections map[string]string) (fleet.Facts, error) {
	f := fleet.Facts{
		UUID: strings.ToLower(sections["uuid"]), Firmware: sections["firmware"], Dmidecode: sections["system"],
		Manufacturer: dmi(sections["system"], "Manufacturer"), Product: dmi(sections["system"], "Product Name"),
		Serial:      dmi(sections["system"], "Serial Number"),
		CPU:         after(sections["cpu"], ":"),
		MemoryBytes: memory(sections["memory"]),
	}
	f.Cores, _ = strconv.Atoi(sections["cores"]) // for people only
	var err error
	if f.Disks, err = parseDisks([]byte(sections["lsblk"])); err != nil {
		return f, err
	}
	if f.NICs, err = parseNICs([]byte(sections["addresses"])); err != nil {
		return f, err
	}
	f.Gateway, err = parseGateway([]byte(sections["routes"]))
	return f, err
}

// dmi finds a field in the output of dmidecode -t system.
func dmi(text, field string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func after(text, sep string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, value, _ := strings.Cut(line, sep)
	return strings.TrimSpace(value)
}

// memory reads "MemTotal:  65764904 kB" as bytes.
func memory(text string) int64 {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[1], 10, 64)
	return kb << 10
}

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
	FSType    string      `json:"fstype"`
	Label     string      `json:"label"`
	PartLabel string      `json:"partlabel"`
	Children  []block     `json:"children"`
}

func parseDisks(text []byte) ([]fleet.Disk, error) {
	var list struct {
		Blockdevices []block `json:"blockdevices"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("lsblk: %w", err)
	}
	var disks []fleet.Disk
	for _, b := range list.Blockdevices {
		if b.Type != "disk" || isTrue(b.RO) {
			continue // loop0 holds the rescue system; partitions come under their disk
		}
		size, err := b.Size.Int64()
		if err != nil {
			return nil, fmt.Errorf("lsblk: size of %s: %w", b.Name, err)
		}
		d := fleet.Disk{
			Name: b.Name, WWID: fleet.TalosWWID(b.WWN), Serial: strings.TrimSpace(b.Serial), Model: strings.TrimSpace(b.Model),
			SizeBytes: size, Rotational: isTrue(b.Rota), Transport: b.Tran, Contents: b.contents(),
		}
		disks = append(disks, d)
	}
	slices.SortFunc(disks, func(a, b fleet.Disk) int { return strings.Compare(a.Name, b.Name) })
	return disks, nil
}

// isTrue reads a boolean of any version of lsblk.
func isTrue(v any) bool { return v == true || v == "1" }

// contents names everything below a disk.
func (b block) contents() []string {
	var out []string
	if b.FSType != "" {
		out = append(out, strings.TrimSpace(b.Name+" "+b.FSType+" "+b.Label))
	}
	for _, c := range b.Children {
		inner := c.contents()
		if len(inner) == 0 {
			inner = []string{strings.TrimSpace(c.Name + " " + c.Type + " " + c.PartLabel)}
		}
		out = append(out, inner...)
	}
	return out
}

func parseNICs(text []byte) ([]fleet.NIC, error) {
	var list []struct {
		Name  string `json:"ifname"`
		MAC   string `json:"address"`
		State string `json:"operstate"`
		Addrs []struct {
			Local  string `json:"local"`
			Prefix int    `json:"prefixlen"`
			Scope  string `json:"scope"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("ip addr: %w", err)
	}
	var nics []fleet.NIC
	for _, l := range list {
		if l.Name == "lo" {
			continue
		}
		n := fleet.NIC{Name: l.Name, MAC: strings.ToLower(l.MAC), Up: l.State == "UP"}
		for _, a := range l.Addrs {
			if a.Scope == "global" {
				n.Addresses = append(n.Addresses, fmt.Sprintf("%s/%d", a.Local, a.Prefix))
			}
		}
		nics = append(nics, n)
	}
	return nics, nil
}

func parseGateway(text []byte) (string, error) {
	var routes []struct {
		Dst     string `json:"dst"`
		Gateway string `json:"gateway"`
	}
	if len(text) == 0 {
		return "", nil // IPv6 only
	}
	if err := json.Unmarshal(text, &routes); err != nil {
		return "", fmt.Errorf("ip route: %w", err)
	}
	for _, r := range routes {
		if r.Dst == "default" {
			return r.Gateway, nil
		}
	}
	return "", nil
}
