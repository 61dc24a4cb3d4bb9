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
	DiskPolicy                 *fleet.DiskPolicy // "" is the cluster's
	Patch                      *string           // the patch of the server's layer that is named "own"; "" removes it
	// Force lets a control plane go that etcd may still count as a member.
	Force bool
	// Draft keeps the assignment, but it is not in effect: the server cannot be installed until it is assigned without.
	Draft bool
}

// Assign says what a server is to be. It is refused while the server is a node, or is being made one: its config
// would no longer be what it runs. Clearing the cluster of a node gives it free to be installed anew; nothing happens
// to the machine, to its node object and to etcd, so a control plane of a running cluster goes only by force.
func (m *Manager) Assign(ctx context.Context, actor, ref string, change AssignmentChange) (assigned fleet.Server, err error) {
	if err := m.offeredTo(ctx, ref, change); err != nil { // asks the factory, so before anything is locked
		return assigned, err
	}
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		s, err := m.Store.Server(ctx, ref)
		if err != nil {
			return nil, err
		}
		leaves := change.Cluster != nil && *change.Cluster == ""
		if err := m.mayAssign(ctx, s, leaves); err != nil {
			return nil, err
		}
		to := fleet.Assignment{}
		own := fleet.Contents{}
		if !leaves {
			if to, own, err = m.tryAssignment(ctx, now, s, change); err != nil {
				return nil, err
			}
		}
		if err := m.mayLeave(ctx, s, to, change.Force); err != nil {
			return nil, err
		}
		was := now.Layer(fleet.ScopeServer, s.ID)
		return &edited{doing: "assign server " + s.Name, write: func(e *store.Edit) (err error) {
			if err := writeOwn(ctx, e, actor, was, own, leaves); err != nil {
				return err
			}
			assigned, err = m.writeAssignment(ctx, e, actor, s, to)
			return err
		}}, nil
	})
	return assigned, err
}

// tryAssignment checks what a server is to be, and renders its config; a draft may be broken.
func (m *Manager) tryAssignment(ctx context.Context, now *snapshot, s fleet.Server, change AssignmentChange) (a fleet.Assignment, own fleet.Contents, err error) {
	if a, err = changed(now, s, change); err != nil {
		return a, own, err
	}
	of, err := m.find(ctx, now, LayerRef{Scope: fleet.ScopeServer, Owner: s.ID})
	if err != nil {
		return a, own, err
	}
	own = now.Layer(fleet.ScopeServer, s.ID).Clone()
	t := now.try("assigning server " + s.Name)
	t.alone = true
	is := s
	is.Assignment = a
	t.setServer(s, is)
	if change.Patch != nil {
		was := own.Clone()
		own.SetText(fleet.PatchOwn, *change.Patch)
		now.unhide(&own, was)
		of.cluster, of.role = now.Clusters[a.ClusterID], a.Role
		t.setLayer(of, own)
	}
	if err := checkContents(&of, &own); err != nil {
		return a, own, t.hideAll(err)
	}
	if a.Draft {
		return a, own, nil
	}
	return a, own, m.check(ctx, t)
}

// writeOwn writes a server's own layer with its assignment. Who leaves a cluster leaves its patches behind: what is
// right in one cluster may be wrong in the next. They stay in the history.
func writeOwn(ctx context.Context, e *store.Edit, actor string, was fleet.Layer, own fleet.Contents, leaves bool) error {
	edit := store.LayerEdit{Scope: fleet.ScopeServer, OwnerID: was.OwnerID, Contents: own, Verb: store.VerbSave, Actor: actor}
	if leaves {
		edit.Why = "left its cluster"
		discard := edit
		discard.Verb = store.VerbDiscard
		if _, err := e.Layer(ctx, discard); err != nil {
			return err
		}
	}
	if own.Empty() && was.Empty() {
		return nil
	}
	_, err := e.Layer(ctx, edit)
	return err
}

func (m *Manager) writeAssignment(ctx context.Context, e *store.Edit, actor string, s fleet.Server, to fleet.Assignment) (fleet.Server, error) {
	before := s
	s, err := e.Assign(ctx, s.ID, to)
	if err != nil {
		return s, err
	}
	if !to.Assigned() && s.State != fleet.Known {
		if err := e.SetState(ctx, s.ID, s.State, fleet.Known); err != nil {
			return s, err
		}
		s.State = fleet.Known
	}
	return s, e.Event(ctx, m.event(actor, "server.assign", "server", s.ID, describe(before, s)))
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
	case s.Assignment.Draft:
		return "draft: " + s.Name + " is to be a " + string(s.Assignment.Role) + " named " + s.Hostname()
	case s.Assignment.Assigned():
		return s.Name + " is to be a " + string(s.Assignment.Role) + " named " + s.Hostname()
	case isNode(before):
		return s.Name + " belongs to no cluster any more; the machine runs on and its node " + before.Hostname() +
			" stays in Kubernetes until somebody deletes it: drain and kubectl delete node " + before.Hostname()
	}
	return s.Name + " belongs to no cluster"
}

// changed applies a change to a server's assignment and checks the result.
func changed(now *snapshot, s fleet.Server, c AssignmentChange) (fleet.Assignment, error) {
	a := s.Assignment
	a.Draft = c.Draft
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
	if err := references(now, &a, c); err != nil {
		return a, err
	}
	if c.Role != nil {
		a.Role = *c.Role
	}
	if c.DiskPolicy != nil {
		a.DiskPolicy = *c.DiskPolicy
	}
	if a.Role == "" {
		a.Role = fleet.GuessRole(s.Name)
	}
	return a, checkAssignment(s, a, now.Clusters[a.ClusterID])
}

// references looks up the records an assignment names.
func references(now *snapshot, a *fleet.Assignment, c AssignmentChange) error {
	if c.Cluster != nil {
		cluster, err := now.clusterOf(*c.Cluster)
		if err != nil {
			return err
		}
		a.ClusterID = cluster.ID
	}
	if c.Config != nil {
		config, err := now.configOf(*c.Config)
		if err != nil {
			return err
		}
		a.ConfigID = config.ID
	}
	if c.Schematic != nil {
		schematic, err := now.schematicOf(*c.Schematic)
		if err != nil {
			return err
		}
		a.SchematicID = schematic.ID
	}
	return nil
}

func checkAssignment(s fleet.Server, a fleet.Assignment, c fleet.Cluster) error {
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
	if err := checkPrivateIP(s, a.PrivateIP, c); err != nil {
		return err
	}
	if err := a.DiskPolicy.Check(); err != nil {
		return err
	}
	if err := checkInstallDisk(s, a.InstallDisk); err != nil {
		return err
	}
	return checkEphemeralDisk(s, a)
}

func checkPrivateIP(s fleet.Server, address string, c fleet.Cluster) error {
	if address == "" {
		return nil
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "server %s: private address %q: %w", s.Name, address, err).WithHint("write it without a prefix length, as 10.0.1.1")
	}
	if network, err := netip.ParsePrefix(c.PrivateNetwork); err == nil && !network.Contains(ip) {
		return fleet.Errorf(fleet.Invalid, "server %s: private address %s is not in the private network %s of cluster %s", s.Name, address, c.PrivateNetwork, c.Name).
			WithHint("choose an address of the network")
	}
	return nil
}

func checkEphemeralDisk(s fleet.Server, a fleet.Assignment) error {
	kind, id, ok := strings.Cut(a.EphemeralDisk, ":")
	switch {
	case a.EphemeralDisk == "":
		return nil
	case !ok || id == "" || kind != "wwid" && kind != "uuid":
		return fleet.Errorf(fleet.Invalid, "server %s: EPHEMERAL disk %q", s.Name, a.EphemeralDisk).WithHint("write wwid:… for a disk or uuid:… for an md array")
	case kind == "wwid" && id == s.InstallDisk():
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
	if strings.HasPrefix(id, fleet.RulePrefix) {
		return checkDiskRule(s, id)
	}
	if s.Facts.At.IsZero() {
		return nil
	}
	if _, ok := s.Facts.Disk(id); ok {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "server %s had no disk %s on %s", s.Name, id, s.Facts.At.UTC().Format(time.DateOnly)).
		WithHint("`talos-manager server show %s` lists its disks; if one was exchanged since: talos-manager server rescue %s", s.Name, s.Name)
}

// checkDiskRule refuses a rule that is none, and one that chooses no disk, or several, of those that are known.
func checkDiskRule(s fleet.Server, rule string) error {
	r, err := fleet.ParseDiskRule(rule)
	if err != nil || s.Facts.At.IsZero() {
		return err
	}
	if _, err = r.Choose(s.Name, s.Facts.Disks); err != nil {
		return fleet.Errorf(fleet.Invalid, "%w", err).WithHint("%s; if one was exchanged since: talos-manager server rescue %s", fleet.HintOf(err), s.Name)
	}
	return nil
}
