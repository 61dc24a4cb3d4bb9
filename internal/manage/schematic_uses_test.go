package manage_test

import (
	"slices"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestASchematicKnowsWhoUsesIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "control-plane-1", "worker-1", "spare")
	c := l.cluster(t, "prod", "control-plane-1", "worker-1")
	all := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "all", Parts: extensions("gvisor")}))(t)
	own := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "own", Parts: extensions("zfs")}))(t)
	idle := ok(l.CreateSchematic(t.Context(), "test", manage.SchematicEdit{Name: "idle", Parts: extensions("drbd")}))(t)
	ok(l.UpdateCluster(t.Context(), "test", c.ID, manage.ClusterChange{Schematic: &all.ID}))(t)
	ok(l.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Schematic: &own.ID}))(t)

	uses := ok(l.SchematicUses(t.Context()))(t)
	names := func(all []fleet.Server) (names []string) {
		for _, s := range all {
			names = append(names, s.Name)
		}
		return names
	}
	if u := uses[all.ID]; len(u.Clusters) != 1 || u.Clusters[0].Name != "prod" || !slices.Equal(names(u.Servers), []string{"control-plane-1"}) {
		t.Errorf("the cluster's: %v and %v", u.Clusters, names(u.Servers))
	}
	if u := uses[own.ID]; len(u.Clusters) != 0 || !slices.Equal(names(u.Servers), []string{"worker-1"}) {
		t.Errorf("the server's: %v and %v", u.Clusters, names(u.Servers))
	}
	if u, there := uses[idle.ID]; there || len(uses) != 2 {
		t.Errorf("one that nobody uses: %v of %d", u, len(uses))
	}
}
