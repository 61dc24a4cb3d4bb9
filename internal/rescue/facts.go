package rescue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// parseFacts reads what facts.sh printed between two moments of our clock. What a machine does not have stays empty;
// what cannot be read at all of its disks and addresses is an error, since we act on it.
func parseFacts(sections map[string]string, before, after time.Time) (fleet.Facts, error) {
	dmi := values(sections["dmi"])
	f := fleet.Facts{
		UUID: strings.ToLower(sections["uuid"]), Firmware: sections["firmware"], Dmidecode: sections["system"],
		Manufacturer: cmp.Or(dmidecode(sections["system"], "Manufacturer"), dmi["sys_vendor"]),
		Product:      cmp.Or(dmidecode(sections["system"], "Product Name"), dmi["product_name"]),
		Serial:       cmp.Or(dmidecode(sections["system"], "Serial Number"), dmi["product_serial"]),
		Board:        fleet.Board{Vendor: dmi["board_vendor"], Product: dmi["board_name"], Serial: dmi["board_serial"]},
		SecureBoot:   sections["secureboot"] == "1",
		CPU:          afterColon(sections["cpu"]),
		MemoryBytes:  memory(sections["memory"]),
		DHCP:         sections["dhcp"] == "yes",
		UEFI:         parseUEFI(sections["uefi"]),
		ClockOffset:  clockOffset(sections["clock"], before, after),
	}
	if missing := strings.Fields(sections["missing"]); len(missing) > 0 {
		f.MissingTools = missing
	}
	f.Cores, _ = strconv.Atoi(sections["cores"]) // for people only
	if err := parseStorage(&f, sections); err != nil {
		return f, err
	}
	return f, parseNetwork(&f, sections)
}

// values reads lines of NAME=VALUE.
func values(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, "="); ok {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}

// dmidecode finds a field in the output of dmidecode -t system.
func dmidecode(text, field string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func afterColon(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, value, _ := strings.Cut(line, ":")
	return strings.TrimSpace(value)
}

// memory reads a line as "MemTotal:  65764904 kB" as bytes.
func memory(text string) int64 {
	fields := strings.Fields(afterColon(text))
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10
}

// clockOffset is how far the machine's clock is ahead. It read it some time between two moments of ours: within them
// it may be right.
func clockOffset(text string, before, after time.Time) time.Duration {
	seconds, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	switch at := time.Unix(s, n); {
	case at.Before(before):
		return at.Sub(before).Round(time.Millisecond)
	case at.After(after):
		return at.Sub(after).Round(time.Millisecond)
	}
	return 0
}

func parseNetwork(f *fleet.Facts, sections map[string]string) error {
	err := parseNICs(f, sections["addresses"])
	if err != nil {
		return err
	}
	for line := range strings.Lines(sections["links"]) {
		var name string
		var carrier, speed int
		if n, _ := fmt.Sscan(line, &name, &carrier, &speed); n < 2 {
			continue
		}
		for i := range f.NICs {
			if f.NICs[i].Name == name {
				f.NICs[i].Link, f.NICs[i].SpeedMbit = carrier == 1, max(0, speed)
			}
		}
	}
	if f.Gateway, err = parseGateway(sections["routes"]); err != nil {
		return err
	}
	f.Gateway6, err = parseGateway(sections["routes6"])
	return err
}

func parseNICs(f *fleet.Facts, text string) error {
	var list []struct {
		Name  string `json:"ifname"`
		MAC   string `json:"address"`
		State string `json:"operstate"`
		Addrs []struct {
			Local   string `json:"local"`
			Prefix  int    `json:"prefixlen"`
			Scope   string `json:"scope"`
			Family  string `json:"family"`
			Dynamic bool   `json:"dynamic"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("ip addr: %w", err)
	}
	for _, l := range list {
		if l.Name == "lo" {
			continue
		}
		n := fleet.NIC{Name: l.Name, MAC: strings.ToLower(l.MAC), Up: l.State == "UP"}
		for _, a := range l.Addrs {
			if a.Scope == "global" {
				n.Addresses = append(n.Addresses, fmt.Sprintf("%s/%d", a.Local, a.Prefix))
				f.DHCP = f.DHCP || a.Dynamic && a.Family == "inet"
			}
		}
		f.NICs = append(f.NICs, n)
	}
	return nil
}

// parseGateway finds the default gateway; none in a machine without addresses of the family.
func parseGateway(text string) (string, error) {
	var routes []struct {
		Dst     string `json:"dst"`
		Gateway string `json:"gateway"`
	}
	if text == "" {
		return "", nil
	}
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return "", fmt.Errorf("ip route: %w", err)
	}
	for _, r := range routes {
		if r.Dst == "default" {
			return r.Gateway, nil
		}
	}
	return "", nil
}
