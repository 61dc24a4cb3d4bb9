package api

import (
	"context"
	"slices"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// changesShown is how many changes of a machine are shown with it; the events have all.
const changesShown = 10

// installed adds what was written to a server, and what was found changed in it.
func (a *api) installed(ctx context.Context, s fleet.Server, out *client.Server) error {
	out.UUIDOverride, out.RanAs, out.HostKeys = s.UUIDOverride, s.RanAs, s.HostKeys()
	if i := s.Installed; !i.At.IsZero() {
		out.Installed = &client.Installed{Disk: i.Disk, Serial: i.Serial, Cluster: i.Cluster, At: i.At}
	}
	changes, err := a.store.Events(ctx, store.EventFilter{Verb: "server.changed", Subject: "server", TargetID: s.ID, Limit: changesShown})
	for _, e := range changes {
		out.Changes = append(out.Changes, client.Change{At: e.At, Text: e.Text})
	}
	return err
}

func facts(f fleet.Facts) *client.Facts {
	out := &client.Facts{
		At: f.At, UUID: f.UUID, Serial: f.Serial, Manufacturer: f.Manufacturer, Product: f.Product, Firmware: f.Firmware, SecureBoot: f.SecureBoot,
		CPU: f.CPU, Cores: f.Cores, MemoryBytes: f.MemoryBytes, Gateway: f.Gateway, Gateway6: f.Gateway6, DHCP: f.DHCP,
		BootEntries: bootEntries(f.UEFI), ClockOffset: f.ClockOffset.Seconds(), MissingTools: f.MissingTools,
	}
	if f.Board != (fleet.Board{}) {
		out.Board = &client.Board{Vendor: f.Board.Vendor, Product: f.Board.Product, Serial: f.Board.Serial}
	}
	for _, n := range f.NICs {
		out.NICs = append(out.NICs, client.NIC{Name: n.Name, MAC: n.MAC, Up: n.Up, Link: n.Link, SpeedMbit: n.SpeedMbit, Addresses: n.Addresses})
	}
	for _, d := range f.Disks {
		out.Disks = append(out.Disks, diskOf(d))
	}
	for _, v := range f.Arrays {
		out.Arrays = append(out.Arrays, client.Array{
			Kind: v.Kind, Name: v.Name, ID: v.ID, Level: v.Level, Active: v.Active, Members: v.Members, Missing: v.Missing,
		})
	}
	return out
}

func diskOf(d fleet.Disk) client.Disk {
	out := client.Disk{
		ID: d.ID(), Name: d.Name, WWID: d.WWID, Serial: d.Serial, Model: d.Model, SizeBytes: d.SizeBytes, SectorBytes: d.SectorBytes,
		Rotational: d.Rotational, Transport: d.Transport, Contents: d.Contents,
	}
	for _, p := range d.Partitions {
		out.Partitions = append(out.Partitions, client.Partition{
			Number: p.Number, Label: p.Label, Type: p.Type, UUID: p.UUID, SizeBytes: p.SizeBytes,
			FSType: p.FSType, FSLabel: p.FSLabel, FSUUID: p.FSUUID, MountedAt: p.MountedAt, Loaders: p.Loaders,
		})
	}
	if d.Talos != nil {
		out.Talos = d.Talos.String()
	}
	return out
}

// bootEntries lists a boot menu as the firmware goes through it; what is not in its order comes last.
func bootEntries(u fleet.UEFI) []client.BootEntry {
	var out []client.BootEntry
	place := func(e client.BootEntry) int {
		if i := slices.Index(u.Order, e.Number); i >= 0 {
			return i
		}
		return len(u.Order)
	}
	for _, e := range u.Entries {
		out = append(out, client.BootEntry{
			Number: e.Number, Label: e.Label, Active: e.Active, Network: e.Network, Loader: e.Loader,
			Current: e.Number == u.Current, Next: e.Number == u.Next,
		})
	}
	slices.SortStableFunc(out, func(a, b client.BootEntry) int { return place(a) - place(b) })
	return out
}
