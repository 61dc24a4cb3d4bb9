package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/talos"
)

// Adopt takes over a server that runs Talos already: assigned to a cluster whose secrets were brought along, it has to
// answer with that cluster's certificates, as the node that the assignment says. Nothing of the machine is changed.
func (o *Operations) Adopt(ctx context.Context, actor, ref string) (fleet.Server, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return s, err
	}
	if err := mayAdopt(s); err != nil {
		return s, err
	}
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return s, err
	}
	version, err := o.isNodeOf(ctx, &cluster, s)
	if err != nil {
		return s, err
	}
	if s.Assignment.Role == fleet.ControlPlane {
		if err := o.adoptEtcd(ctx, cluster, s); err != nil {
			return s, err
		}
	}
	s.Assignment.Hostname = s.Hostname() // the node keeps its name whatever the server's becomes
	if _, err := o.Store.Assign(ctx, s.ID, s.Assignment); err != nil {
		return s, err
	}
	to := fleet.Configured
	if why, err := o.notReady(ctx, s); err == nil && why == "" {
		to = fleet.Ready
	}
	if err := o.becomes(ctx, s, to); err != nil {
		return s, err
	}
	s.State = to
	return s, o.audit(ctx, actor, "server.adopt", "server", s.ID, s.Name+" runs Talos "+version+" as "+string(s.Assignment.Role)+" of "+cluster.Name+" and was taken over")
}

func mayAdopt(s fleet.Server) error {
	switch {
	case !s.Assignment.Assigned():
		return fleet.Errorf(fleet.Invalid, "server %s belongs to no cluster", s.Name).
			WithHint("talos-manager server assign %s --cluster NAME, with a cluster that has the secrets of the one it runs in", s.Name)
	case isNode(s):
		return fleet.Errorf(fleet.Conflict, "server %s is a node of its cluster already", s.Name).WithHint("there is nothing to take over")
	case s.State == fleet.Installing:
		return fleet.Errorf(fleet.Conflict, "server %s is being installed", s.Name).WithHint("wait, or cancel its operation")
	case s.Address() == "":
		return fleet.Errorf(fleet.Refused, "server %s has no address", s.Name).WithHint("order one for it at Hetzner, then talos-manager server sync")
	}
	return nil
}

// isNodeOf checks that what answers at the server's address is the node that our records say, and gives its version.
func (o *Operations) isNodeOf(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) (version string, err error) {
	node, err := o.node(ctx, cluster, s)
	if err != nil {
		return "", err
	}
	defer node.Close()
	var id talos.Identity
	var services []talos.Service
	err = talos.Look(ctx, func(ctx context.Context) error {
		v, err := node.Version(ctx)
		if err != nil {
			return err
		}
		version = v.Tag
		if id, err = node.Identity(ctx); err != nil {
			return err
		}
		services, err = node.Services(ctx)
		return err
	})
	if err != nil {
		return "", fleet.Errorf(fleet.KindOf(err), "server %s does not answer with the certificates of cluster %s: %w", s.Name, cluster.Name, err).
			WithHint("is it in that cluster, were its secrets brought along, and is port 50000 open? Else install it: talos-manager server install %s", s.Name)
	}
	if err := isAs(s, id, services); err != nil {
		return version, err
	}
	return version, o.ranAs(ctx, s, id.UUID)
}

// isAs compares a node with what its server is assigned to be.
func isAs(s fleet.Server, id talos.Identity, services []talos.Service) error {
	role := fleet.Worker
	for _, service := range services {
		if service.ID == "etcd" {
			role = fleet.ControlPlane
		}
	}
	switch {
	case s.NodeUUID() != "" && id.UUID != s.NodeUUID():
		return fleet.Errorf(fleet.Refused, "the node at %s has UUID %s, server %s has %s: another machine answers", s.Address(), id.UUID, s.Name, s.NodeUUID()).
			WithHint("look at Hetzner whose address it is")
	case role != s.Assignment.Role:
		return fleet.Errorf(fleet.Refused, "server %s runs as %s and is assigned to be %s", s.Name, role, s.Assignment.Role).
			WithHint("talos-manager server assign %s --role %s", s.Name, role)
	case id.Hostname != s.Hostname():
		return fleet.Errorf(fleet.Refused, "server %s runs as node %s and is assigned to be %s", s.Name, id.Hostname, s.Hostname()).
			WithHint("talos-manager server assign %s --hostname %s", s.Name, id.Hostname)
	}
	return nil
}

// adoptEtcd notes that a cluster runs when its control plane has an etcd with data: it is never bootstrapped then.
func (o *Operations) adoptEtcd(ctx context.Context, cluster fleet.Cluster, s fleet.Server) error {
	state, err := o.etcd(ctx, &cluster, s)
	if err != nil || !hasData(state) || !cluster.BootstrappedAt.IsZero() {
		return err
	}
	if _, err := o.Store.ClaimBootstrap(ctx, cluster.ID, s.ID); err != nil {
		return err
	}
	return o.Store.MarkBootstrapped(ctx, cluster.ID, o.Now())
}
