package manage

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// AssignmentChange is what to change of an assignment; nil leaves a field as it is.
type AssignmentChange struct {
	Cluster, Config, Schematic *string // names or ids; "" clears
	Role                       *fleet.Role
	Hostname, PrivateIP        *string
	InstallDisk, EphemeralDisk *string
	Patch                      *string // the patch of the server's layer that is named "own"; "" removes it
	// Force lets a control plane go that etcd may still count as a member.
	Force bool
}

// Assign says what a server is to be. It is refused while the server is a node, or is being made one: its config
// would no longer be what it runs. Clearing the cluster of a node gives it free to be installed anew; nothing happens
// to the machine, to its node object and to etcd, so a control plane of a running cluster goes only by force.
func (m *Manager) Assign(ctx context.Context, actor, ref string, change AssignmentChange) (fleet.Server, error) {
	s, err := m.Store.Server(ctx, ref)
	if err != nil {
		return s, err
	}
	leaves := change.Cluster != nil && *change.Cluster == ""
	if err := m.mayAssign(ctx, s, leaves); err != nil {
		return s, err
	}
	own, err := m.Store.Layer(ctx, fleet.ScopeServer, s.ID)
	if err != nil {
		return s, err
	}
	a, contents := fleet.Assignment{}, fleet.Contents{}
	if !leaves {
		if a, err = m.changed(ctx, s, change); err != nil {
			return s, err
		}
		contents = own.Clone()
		if change.Patch != nil {
			contents.SetText(fleet.PatchOwn, *change.Patch)
		}
		if err := m.try(ctx, s, a, contents); err != nil {
			return s, err
		}
	}
	if err := m.mayLeave(ctx, s, a, change.Force); err != nil {
		return s, err
	}
	before := s
	err = m.Store.Edit(ctx, "assign server "+s.Name, nil, func(e *store.Edit) (err error) {
		if !contents.Empty() || !own.Empty() {
			_, err = e.Layer(ctx, store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: s.ID, Contents: contents, Verb: store.VerbSave, Actor: actor, Base: own.Revision})
			if err != nil {
				return err
			}
		}
		s, err = e.Assign(ctx, s.ID, a)
		return err
	})
	if err != nil {
		return s, err
	}
	if leaves && s.State != fleet.Known {
		if err := m.Store.SetState(ctx, s.ID, s.State, fleet.Known); err != nil {
			return s, err
		}
		s.State = fleet.Known
	}
	return s, m.audit(ctx, actor, "server.assign", "server", s.ID, describe(before, s))
}

// try renders a server's config as it would be.
func (m *Manager) try(ctx context.Context, s fleet.Server, a fleet.Assignment, own fleet.Contents) error {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return err
	}
	if err := own.Validate("server "+s.Name, fleet.ScopeServer); err != nil {
		return err
	}
	try := *now
	try.changes = map[layerKey]fleet.Contents{{fleet.ScopeServer, s.ID}: own}
	s.Assignment = a
	made, err := try.compose(s)
	if err != nil {
		return err
	}
	_, err = m.Renderer.render(made.Input)
	return err
}

func (m *Manager) mayAssign(ctx context.Context, s fleet.Server, leaves bool) error {
	busy, err := m.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID, Kind: InstallKind, Active: true, Limit: 1})
	switch {
	case err != nil:
		return err
	case len(busy) > 0:
		return fleet.Errorf(fleet.Conflict, "server %s is being installed", s.Name).
			WithHint("wait for it, or stop it first: talos-manager operation cancel %s", busy[0].ID)
	case leaves:
		return nil
	case isNode(s):
		return fleet.Errorf(fleet.Refused, "server %s runs as a node of its cluster", s.Name).
			WithHint("take it out of its cluster first: talos-manager server assign %s --cluster ''", s.Name)
	}
	return nil
}

func isNode(s fleet.Server) bool {
	return s.State == fleet.Configured || s.State == fleet.Ready || s.State == fleet.Unhealthy
}

// mayLeave refuses to forget a control plane of a running cluster: etcd counts it as a member, and would lose its
// quorum the sooner if the machine were used for something else. A broken one may have joined before it broke.
func (m *Manager) mayLeave(ctx context.Context, s fleet.Server, to fleet.Assignment, force bool) error {
	from := s.Assignment
	stays := to.ClusterID == from.ClusterID && to.Role == from.Role
	if force || stays || !from.Assigned() || from.Role != fleet.ControlPlane || !isNode(s) && s.State != fleet.Broken {
		return nil
	}
	c, err := m.Store.Cluster(ctx, from.ClusterID)
	if err != nil || c.BootstrappedAt.IsZero() {
		return err
	}
	return fleet.Errorf(fleet.Refused, "server %s is a control plane of cluster %s: etcd counts it as a member until it leaves", s.Name, c.Name).
		WithHint("have it leave first, which wipes it: talosctl -n %s reset --graceful. If it is lost: talosctl -n ANOTHER etcd remove-member ID. Then: talos-manager server assign %s --cluster '' --force", s.Address(), s.Name)
}

// describe says what an assignment is, and what it leaves undone.
func describe(before, s fleet.Server) string {
	switch {
	case s.Assignment.Assigned():
		return s.Name + " is to be a " + string(s.Assignment.Role) + " named " + s.Hostname()
	case isNode(before):
		return s.Name + " belongs to no cluster any more; the machine runs on and its node " + before.Hostname() +
			" stays in Kubernetes until somebody deletes it: drain and kubectl delete node " + before.Hostname()
	}
	return s.Name + " belongs to no cluster"
}

// changed applies a change to a server's assignment and checks the result.
func (m *Manager) changed(ctx context.Context, s fleet.Server, c AssignmentChange) (fleet.Assignment, error) {
	a := s.Assignment
	for _, f := range []struct{ to, from *string }{
		{&a.Hostname, c.Hostname},
		{&a.PrivateIP, c.PrivateIP},
		{&a.InstallDisk, c.InstallDisk},
		{&a.EphemeralDisk, c.EphemeralDisk},
	} {
		if f.from != nil {
			*f.to = strings.TrimRight(*f.from, " \n")
		}
	}
	if strings.HasPrefix(a.InstallDisk, "0x") {
		a.InstallDisk = fleet.TalosWWID(a.InstallDisk) // as lsblk prints it
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
	if err := checkInstallDisk(s, a.InstallDisk); err != nil {
		return err
	}
	return checkEphemeralDisk(s, a)
}

func checkEphemeralDisk(s fleet.Server, a fleet.Assignment) error {
	kind, id, ok := strings.Cut(a.EphemeralDisk, ":")
	switch {
	case a.EphemeralDisk == "":
		return nil
	case !ok || id == "" || kind != "wwid" && kind != "uuid":
		return fleet.Errorf(fleet.Invalid, "server %s: EPHEMERAL disk %q", s.Name, a.EphemeralDisk).WithHint("write wwid:… for a disk or uuid:… for an md array")
	case kind == "wwid" && id == a.InstallDisk:
		return fleet.Errorf(fleet.Invalid, "server %s: EPHEMERAL disk %q is the disk to install on", s.Name, a.EphemeralDisk).
			WithHint("leave it empty: EPHEMERAL is on the install disk then")
	}
	return nil
}

// bootName is how Linux names disks in the order it finds them.
var bootName = regexp.MustCompile(`^(/dev/.*|(sd|hd|vd|xvd)[a-z]+[0-9]*|(nvme|md|dm-|mmcblk)[0-9].*)$`)

// checkInstallDisk refuses names that change between boots, and disks the server is known not to have.
func checkInstallDisk(s fleet.Server, id string) error {
	if id == "" {
		return nil
	}
	if bootName.MatchString(id) {
		return fleet.Errorf(fleet.Invalid, "server %s: disk %q is a name that changes between boots", s.Name, id).
			WithHint("name it by its WWID (eui.…, naa.…) or serial:…; `talos-manager server show %s` lists them", s.Name)
	}
	if s.Facts.At.IsZero() {
		return nil
	}
	for _, d := range s.Facts.Disks {
		if d.WWID == id || d.Serial != "" && "serial:"+d.Serial == id {
			return nil
		}
	}
	return fleet.Errorf(fleet.Invalid, "server %s had no disk %s on %s", s.Name, id, s.Facts.At.UTC().Format(time.DateOnly)).
		WithHint("`talos-manager server show %s` lists its disks; if one was exchanged since: talos-manager server rescue %s", s.Name, s.Name)
}
