package rescue

import (
	"regexp"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Lines of efibootmgr -v. Behind the label stands, after a tab, the device path; version 17 and 18 print more of it in
// lines of their own, which are indented.
var (
	bootEntry   = regexp.MustCompile(`^Boot([0-9A-Fa-f]{4})([* ])\s(.*)$`)
	pathHD      = regexp.MustCompile(`HD\(\d+,GPT,([0-9A-Fa-f-]{36})`)
	pathFile    = regexp.MustCompile(`(?i)(?:File\(|/)(\\[^)\t]*?\.efi)`)
	pathNetwork = regexp.MustCompile(`MAC\(|IPv[46]\(|Uri\(`)
	labelNet    = regexp.MustCompile(`(?i)\bPXE\b|\bIPv?[46]\b|Network|\bHTTP`)
)

func parseUEFI(text string) fleet.UEFI {
	var u fleet.UEFI
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if m := bootEntry.FindStringSubmatch(line); m != nil {
			u.Entries = append(u.Entries, parseEntry(m))
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "BootCurrent":
			u.Current = value
		case "BootNext":
			u.Next = value
		case "BootOrder":
			if value != "" {
				u.Order = strings.Split(value, ",")
			}
		}
	}
	return u
}

func parseEntry(m []string) fleet.BootEntry {
	label, path, has := strings.Cut(m[3], "\t")
	e := fleet.BootEntry{Number: m[1], Label: strings.TrimSpace(label), Active: m[2] == "*"}
	e.Network = pathNetwork.MatchString(path) || !has && labelNet.MatchString(label)
	if hd := pathHD.FindStringSubmatch(path); hd != nil {
		e.PartUUID = strings.ToLower(hd[1])
	}
	if file := pathFile.FindStringSubmatch(path); file != nil {
		e.Loader = file[1]
	}
	return e
}
