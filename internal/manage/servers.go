package manage

import (
	"context"
	"net/netip"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// RenameServer names a server at its provider.
func (m *Manager) RenameServer(ctx context.Context, actor, ref, name string) (fleet.Server, error) {
	if err := fleet.CheckName("server", name); err != nil {
		return fleet.Server{}, err
	}
	s, driver, err := m.driverOf(ctx, ref)
	if err != nil {
		return s, err
	}
	if s.Assignment.Assigned() && s.Assignment.Hostname == "" && s.State != fleet.Known && s.State != fleet.Broken {
		return s, fleet.Errorf(fleet.Refused, "server %s is a node of that name", s.Name).
			WithHint("a node keeps its name until it is installed anew")
	}
	if err := driver.Rename(ctx, s.ProviderID, name); err != nil {
		return s, err
	}
	old := s.Name
	if err := m.Store.SetObserved(ctx, s.ID, name, s.Status, s.Power, s.Locked, m.Now()); err != nil {
		return s, err
	}
	s.Name = name
	return s, m.audit(ctx, actor, "server.rename", "server", s.ID, "renamed "+old+" to "+name)
}

// SetVSwitch moves a dedicated server into a vSwitch; "" takes it out.
func (m *Manager) SetVSwitch(ctx context.Context, actor, ref, vswitchID string) error {
	s, driver, err := m.driverOf(ctx, ref)
	if err != nil {
		return err
	}
	providerID, name := "", "none"
	if vswitchID != "" {
		v, err := m.Store.VSwitch(ctx, vswitchID)
		if err != nil {
			return err
		}
		providerID, name = v.ProviderID, v.Name
	}
	if err := driver.SetVSwitch(ctx, s.ProviderID, providerID); err != nil {
		return err
	}
	return m.audit(ctx, actor, "server.vswitch", "server", s.ID, s.Name+": vSwitch "+name)
}

// AssignmentChange is what to change of an assignment; nil leaves a field as it is.
type AssignmentChange struct {
	Cluster, Config, Schematic *string // names or ids; "" clears
	Role                       *fleet.Role
	Hostname, PrivateIP        *string
	InstallDisk, EphemeralDisk *string
	Patch                      *string
}

// Assign says what a server is to be. It is refused while the server is a node, or is being made one: its config
// would no longer be what it runs. Clearing the cluster of a node gives it free to be installed anew.
func (m *Manager) Assign(ctx context.Context, actor, ref string, change AssignmentChange) (fleet.Server, error) {
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return s, err
	}
	leaves := change.Cluster != nil && *change.Cluster == ""
	if err := mayAssign(s, leaves); err != nil {
		return s, err
	}
	a := fleet.Assignment{}
	if !leaves {
		if a, err = m.changed(ctx, s, change); err != nil {
			return s, err
		}
		probe := s
		probe.Assignment = a
		if _, err := MachineConfig(ctx, m.Store, m.Factory, probe); err != nil {
			return s, err
		}
	}
	if s, err = m.Store.Assign(ctx, s.ID, a); err != nil {
		return s, err
	}
	if leaves && s.State != fleet.Known {
		if err := m.Store.SetState(ctx, s.ID, s.State, fleet.Known); err != nil {
			return s, err
		}
		s.State = fleet.Known
	}
	return s, m.audit(ctx, actor, "server.assign", "server", s.ID, describe(s))
}

func mayAssign(s fleet.Server, leaves bool) error {
	switch {
	case s.State == fleet.Installing:
		return fleet.Errorf(fleet.Conflict, "server %s is being installed", s.Name).WithHint("wait, or cancel its operation")
	case leaves:
		return nil
	case s.State == fleet.Configured || s.State == fleet.Ready || s.State == fleet.Unhealthy:
		return fleet.Errorf(fleet.Refused, "server %s runs as a node of its cluster", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	}
	return nil
}

func describe(s fleet.Server) string {
	if !s.Assignment.Assigned() {
		return s.Name + " belongs to no cluster"
	}
	return s.Name + " is to be a " + string(s.Assignment.Role) + " named " + s.Hostname()
}

// changed applies a change to a server's assignment and checks the result.
func (m *Manager) changed(ctx context.Context, s fleet.Server, c AssignmentChange) (fleet.Assignment, error) {
	a := s.Assignment
	for _, f := range []struct{ to, from *string }{
		{&a.Hostname, c.Hostname},
		{&a.PrivateIP, c.PrivateIP},
		{&a.InstallDisk, c.InstallDisk},
		{&a.EphemeralDisk, c.EphemeralDisk},
		{&a.Patch, c.Patch},
	} {
		if f.from != nil {
			*f.to = strings.TrimRight(*f.from, " \n")
		}
	}
	if err := m.references(ctx, &a, c); err != nil {
		return a, err
	}
	if c.Role != nil {
		a.Role = *c.Role
	}
	if a.Role == "" {
		a.Role = fleet.GuessRole(s.Name)
	}
	return a, checkAssignment(s, a)
}

// references looks up the records an assignment names.
func (m *Manager) references(ctx context.Context, a *fleet.Assignment, c AssignmentChange) error {
	if c.Cluster != nil {
		cluster, err := m.Store.Cluster(ctx, *c.Cluster)
		if err != nil {
			return err
		}
		a.ClusterID = cluster.ID
	}
	if c.Config != nil {
		a.ConfigID = ""
		if *c.Config != "" {
			config, err := m.Store.Config(ctx, *c.Config)
			if err != nil {
				return err
			}
			a.ConfigID = config.ID
		}
	}
	if c.Schematic != nil {
		a.SchematicID = ""
		if *c.Schematic != "" {
			schematic, err := m.Store.Schematic(ctx, *c.Schematic)
			if err != nil {
				return err
			}
			a.SchematicID = schematic.ID
		}
	}
	return nil
}

func checkAssignment(s fleet.Server, a fleet.Assignment) error {
	if !a.Assigned() {
		return fleet.Errorf(fleet.Invalid, "server %s: no cluster is given", s.Name).WithHint("name one: --cluster NAME")
	}
	if a.Role != fleet.ControlPlane && a.Role != fleet.Worker {
		return fleet.Errorf(fleet.Invalid, "server %s: unknown role %q", s.Name, a.Role).WithHint("use %s or %s", fleet.ControlPlane, fleet.Worker)
	}
	s.Assignment = a
	if err := fleet.CheckName("host", s.Hostname()); err != nil {
		return err
	}
	if a.PrivateIP != "" {
		if _, err := netip.ParseAddr(a.PrivateIP); err != nil {
			return fleet.Errorf(fleet.Invalid, "server %s: private address %q: %w", s.Name, a.PrivateIP, err).WithHint("write it without a prefix length, as 10.0.1.1")
		}
	}
	if kind, id, ok := strings.Cut(a.EphemeralDisk, ":"); a.EphemeralDisk != "" && (!ok || id == "" || kind != "wwid" && kind != "uuid") {
		return fleet.Errorf(fleet.Invalid, "server %s: EPHEMERAL disk %q", s.Name, a.EphemeralDisk).WithHint("write wwid:… for a disk or uuid:… for an md array")
	}
	return checkInstallDisk(s, a.InstallDisk)
}

// checkInstallDisk refuses names that change between boots, and disks the server is known not to have.
func checkInstallDisk(s fleet.Server, id string) error {
	if id == "" {
		return nil
	}
	if strings.HasPrefix(id, "/dev/") || strings.HasPrefix(id, "sd") || strings.HasPrefix(id, "nvme0") || strings.HasPrefix(id, "nvme1") {
		return fleet.Errorf(fleet.Invalid, "server %s: disk %q is a name that changes between boots", s.Name, id).
			WithHint("name it by its WWID (eui.…, naa.…) or serial:…; `talos-manager server show %s` lists them", s.Name)
	}
	if s.Facts.At.IsZero() {
		return nil
	}
	for _, d := range s.Facts.Disks {
		if d.WWID == id || "serial:"+d.Serial == id {
			return nil
		}
	}
	return fleet.Errorf(fleet.Invalid, "server %s has no disk %s", s.Name, id).WithHint("`talos-manager server show %s` lists its disks", s.Name)
}
