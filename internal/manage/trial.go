package manage

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/store"
)

// trial is a change of the records that is written nowhere yet, and the servers whose configs it may change.
type trial struct {
	what    string // is changed, for errors: "config base"
	before  *snapshot
	after   *snapshot
	servers []tried
	layers  []target // layers among what is changed
	alone   bool     // errors name the one server by themselves
	final   bool     // it cannot be kept as a draft

	mu     sync.Mutex
	hiders map[string]*diff.Redactor // by cluster
}

// tried is a server as it is and as it would be.
type tried struct{ was, is fleet.Server }

// try begins a trial on the records as they are.
func (n *snapshot) try(what string) *trial {
	after := *n
	after.changes, after.clusters = map[layerKey]fleet.Contents{}, map[string]fleet.Cluster{}
	after.secrets = findSecretNames(after.allContents)
	return &trial{what: what, before: n, after: &after}
}

// setLayer is a change of a layer.
func (t *trial) setLayer(of target, c fleet.Contents) {
	t.after.changes[of.key()] = c
	t.layers = append(t.layers, of)
}

// setCluster is a change of a cluster's record.
func (t *trial) setCluster(c fleet.Cluster) { t.after.clusters[c.ID] = c }

// setServer is a change of what a server is to be.
func (t *trial) setServer(was, is fleet.Server) {
	i := slices.IndexFunc(t.servers, func(s tried) bool { return s.was.ID == was.ID })
	if i < 0 {
		i = len(t.servers)
		t.servers = append(t.servers, tried{was: was})
	}
	t.servers[i].is = is
}

// touch adds the assigned servers whose configs the changed layers and clusters are part of.
func (m *Manager) touch(ctx context.Context, t *trial) error {
	servers, err := m.candidates(ctx, t)
	if err != nil {
		return err
	}
	for _, s := range servers {
		known := slices.ContainsFunc(t.servers, func(o tried) bool { return o.was.ID == s.ID })
		if !known && s.Assignment.Assigned() && !s.Assignment.Draft && t.touches(s) {
			t.servers = append(t.servers, tried{s, s})
		}
	}
	return nil
}

// candidates reads the servers that a trial may touch, and few others.
func (m *Manager) candidates(ctx context.Context, t *trial) ([]fleet.Server, error) {
	filter, clusters := store.ServerFilter{IncludeMissing: true}, map[string]bool{}
	for id := range t.after.clusters {
		clusters[id] = true
	}
	var alone []fleet.Server
	for _, of := range t.layers {
		switch of.scope {
		case fleet.ScopeConfig:
			return m.Store.Servers(ctx, filter)
		case fleet.ScopeServer:
			alone = append(alone, of.server)
		default:
			clusters[of.cluster.ID] = true
		}
	}
	for id := range clusters {
		filter.ClusterID = id
		all, err := m.Store.Servers(ctx, filter)
		if err != nil {
			return nil, err
		}
		alone = append(alone, all...)
	}
	return alone, nil
}

func (t *trial) touches(s fleet.Server) bool {
	c, _ := t.after.cluster(s.Assignment.ClusterID)
	if _, changed := t.after.clusters[c.ID]; changed {
		return true
	}
	return slices.ContainsFunc(t.layers, func(of target) bool { return of.holds(&s, &c) })
}

// outcome is a server's config, or why there is none.
type outcome struct {
	Made
	err error
}

// renderAll makes the configs of many servers, on all cores.
func (r *Renderer) renderAll(ctx context.Context, n *snapshot, servers []fleet.Server) []outcome {
	out := make([]outcome, len(servers))
	each(len(servers), func(i int) {
		if out[i].err = ctx.Err(); out[i].err != nil {
			return
		}
		if out[i].Made, out[i].err = n.compose(servers[i]); out[i].err == nil {
			out[i].YAML, out[i].err = r.render(out[i].Input)
		}
	})
	return out
}

// each runs f for 0 to n-1 on all cores.
func each(n int, f func(i int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wait.Wait()
}

// check renders every server that a trial touches, and says which it would break: nil if none. A server that is
// broken already, and not more so by this change, does not count.
func (m *Manager) check(ctx context.Context, t *trial) error {
	after := make([]fleet.Server, len(t.servers))
	for i, s := range t.servers {
		after[i] = s.is
	}
	var broken []tried
	var errs []error
	for i, o := range m.Renderer.renderAll(ctx, t.after, after) {
		if o.err == nil {
			continue
		}
		if fleet.KindOf(o.err) != fleet.Invalid {
			return o.err
		}
		if !m.brokenBefore(t, t.servers[i], o.err) {
			broken, errs = append(broken, t.servers[i]), append(errs, o.err)
		}
	}
	if len(broken) > 0 {
		return breaks(t, broken, errs)
	}
	return m.checkUnused(t)
}

// brokenBefore says that a server was broken already, and that nothing which changes is to blame now.
func (m *Manager) brokenBefore(t *trial, s tried, now error) bool {
	if !s.was.Assignment.Assigned() || s.was.Assignment.Draft {
		return false
	}
	made, err := t.before.compose(s.was)
	if err == nil {
		_, err = m.Renderer.render(made.Input)
	}
	if err == nil {
		return false
	}
	if err.Error() == now.Error() {
		return true
	}
	if len(t.layers) == 0 {
		return false
	}
	return !slices.ContainsFunc(t.layers, func(of target) bool { return strings.Contains(now.Error(), of.what+", patch ") })
}

// checkUnused tries the patches that no server uses on servers that are made up for them, so that a mistake shows
// when it is made.
func (m *Manager) checkUnused(t *trial) error {
	for _, of := range t.layers {
		contents := t.after.contents(of.scope, of.owner)
		for _, s := range t.examples(of, contents) {
			c, err := m.renderExample(*t.after, of, s)
			if err == nil {
				continue
			}
			if _, was := m.renderExample(*t.before, of, s); was != nil && was.Error() == err.Error() {
				continue // not by this change
			}
			return orDraft(t.hide(c, fleet.Errorf(fleet.KindOf(err), "%s: %w", of.what, err)))
		}
	}
	return nil
}

func (m *Manager) renderExample(n snapshot, of target, s fleet.Server) (fleet.Cluster, error) {
	made, err := m.example(n, of, s)
	if err == nil {
		_, err = m.Renderer.render(made.Input)
	}
	return made.Cluster, err
}

// examples makes up servers for what no server uses: for a layer without any, one of each role, and one for each
// patch with limits that no server meets.
func (t *trial) examples(of target, c fleet.Contents) []fleet.Server {
	var used []*fleet.Server
	for i := range t.servers {
		s := &t.servers[i].is
		if cluster, ok := t.after.cluster(s.Assignment.ClusterID); ok && of.holds(s, &cluster) {
			used = append(used, s)
		}
	}
	var out []fleet.Server
	if len(used) == 0 {
		roles := []fleet.Role{fleet.ControlPlane, fleet.Worker}
		if of.role != "" {
			roles = []fleet.Role{of.role}
		}
		for _, role := range roles {
			s := of.example(fleet.Patch{Role: role})
			out, used = append(out, s), append(used, &s)
		}
	}
	for _, p := range c.Patches {
		if !p.Off && !slices.ContainsFunc(used, func(s *fleet.Server) bool { return p.For(s) }) {
			s := of.example(p)
			out, used = append(out, s), append(used, &s)
		}
	}
	return out
}

// example makes up a server that a patch is for.
func (of *target) example(p fleet.Patch) fleet.Server {
	s := fleet.Server{
		ID: "example", Name: "example", Provider: cmp.Or(p.Provider, fleet.HetznerRobot), ProviderID: "1", Product: "AX41-NVMe", Location: "FSN1-DC8",
		Architecture: cmp.Or(p.Architecture, fleet.AMD64), IPv4: "203.0.113.1", IPv6: "2001:db8::1", IPv6Net: "2001:db8::/64",
		Facts: fleet.Facts{
			UUID: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", Gateway: "203.0.113.254",
			NICs: []fleet.NIC{{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Addresses: []string{"203.0.113.1/26"}}},
		},
		Assignment: fleet.Assignment{
			ClusterID: of.cluster.ID, Role: cmp.Or(p.Role, of.role, fleet.ControlPlane), PrivateIP: "10.0.0.1", InstallDisk: "eui.0000000000000000",
		},
	}
	if of.scope == fleet.ScopeServer {
		a := s.Assignment
		s = of.server
		s.Assignment = a
	}
	return s
}

// example composes the config of a made up server: in the layer's cluster, or in one that is made up too.
func (m *Manager) example(n snapshot, of target, s fleet.Server) (made Made, err error) {
	if made.Cluster = of.cluster; made.Cluster.ID == "" {
		version := machineconfig.NewestTalos()
		made.Cluster = fleet.Cluster{
			ID: "example", Name: "example", Endpoint: "https://203.0.113.1:6443", TalosVersion: version, KubernetesVersion: machineconfig.DefaultKubernetes(),
			PrivateNetwork: "10.0.0.0/16",
		}
		if made.Cluster.Secrets, err = m.exampleSecrets(&n, version); err != nil {
			return made, err
		}
	}
	n.vlan = 4000
	n.defaults = n.anyVariables()
	if of.scope == fleet.ScopeConfig {
		made.Config = fleet.Config{ID: of.owner, Name: of.name, Contents: n.contents(of.scope, of.owner)}
	}
	if made.Config.ID == "" && made.Cluster.ConfigID != "" {
		made.Config = n.Configs[made.Cluster.ConfigID]
	}
	err = n.fill(&made, s)
	if made.Input.InstallImage == "" {
		made.Input.InstallImage = n.factory.InstallerImage(n.images[""].schematic, made.Cluster.TalosVersion, "metal")
	}
	return made, err
}

// exampleSecrets are those of a cluster that there is, for the second it takes to make some. What is rendered with them
// is thrown away.
func (m *Manager) exampleSecrets(n *snapshot, version string) ([]byte, error) {
	for _, id := range slices.Sorted(maps.Keys(n.Clusters)) {
		return n.Clusters[id].Secrets, nil
	}
	return m.pretend.get(version, m.Now())
}

// anyVariables collects own variables of all layers: whichever server will use a config may have them.
func (n *snapshot) anyVariables() map[string]string {
	all := map[string]string{}
	for _, l := range n.Layers("") {
		for name, value := range l.Variables {
			all[name] = cmp.Or(all[name], value)
		}
	}
	return all
}
