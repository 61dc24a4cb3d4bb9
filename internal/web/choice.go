package web

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What the choice of install disks calls one that is not listed, and one that a rule chooses.
const (
	otherDisk = "other"
	byRule    = "rule"
)

// chosenDisk is the install disk that the assignment form shows as chosen.
func chosenDisk(ctx context.Context, d serverData) string {
	standing := d.Server.Assignment.InstallDisk
	switch {
	case strings.HasPrefix(standing, fleet.RulePrefix):
		standing = byRule
	case !listedDisk(d):
		standing = otherDisk
	}
	return typed(ctx, "assign", "installDisk", standing)
}

// diskRule is the rule that the assignment form shows.
func diskRule(ctx context.Context, d serverData) string {
	rule, is := strings.CutPrefix(d.Server.Assignment.InstallDisk, fleet.RulePrefix)
	if !is {
		rule = ""
	}
	return typed(ctx, "assign", "diskRule", rule)
}

// listedDisk says whether the install disk is one of those the machine was seen to have, or none is set.
func listedDisk(d serverData) bool {
	for _, disk := range d.Server.Facts.Disks {
		if disk.ID() == d.Server.Assignment.InstallDisk {
			return true
		}
	}
	return d.Server.Assignment.InstallDisk == ""
}

// ephemeralOptions are where EPHEMERAL can go, by what the machine was seen to have.
func ephemeralOptions(s fleet.Server) []option {
	all := []option{{"", "On the install disk"}}
	for _, d := range s.Facts.Disks {
		if d.WWID != "" {
			all = append(all, option{"wwid:" + d.WWID, fmt.Sprintf("%s, %s, %s (%s)", d.Name, diskSize(d.SizeBytes), d.Model, d.WWID)})
		}
	}
	for _, a := range s.Facts.Arrays {
		if a.Kind == "md" && a.ID != "" {
			all = append(all, option{"uuid:" + a.ID, strings.TrimSpace("Array "+a.Name+" "+a.Level) + " (" + a.ID + ")"})
		}
	}
	is := s.Assignment.EphemeralDisk
	if !slices.ContainsFunc(all, func(o option) bool { return o.Value == is }) {
		all = append(all, option{is, "As it was set: " + is})
	}
	return all
}

// serverPolicies are what an install may overwrite without asking.
func serverPolicies() []option {
	return append([]option{{"", "As its cluster has it"}}, diskPolicies()...)
}

func vswitchTitle(v fleet.VSwitch) string { return fmt.Sprintf("%s, VLAN %d", v.Name, v.VLAN) }
