package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Change is what somebody may want to change: all of it at once. Nothing is written.
type Change struct {
	Layers  []LayerChange  // new contents of layers
	Publish []LayerRef     // drafts
	Assign  []ServerAssign // what servers are to be
	Cluster *ClusterUpdate
}

// LayerChange gives a layer new contents.
type LayerChange struct {
	LayerRef
	Contents fleet.Contents
}

// ServerAssign is a change of what a server is to be.
type ServerAssign struct {
	Server string // name or id
	AssignmentChange
}

// ClusterUpdate is a change of a cluster's record.
type ClusterUpdate struct {
	Cluster string // name or id
	ClusterChange
}

// Running reads the machine config that a node runs now, from the node. An error means that it cannot be asked.
type Running func(ctx context.Context, s fleet.Server) ([]byte, error)

// PlanOptions say what a plan looks at.
type PlanOptions struct {
	// Servers are those to look at, by name or id; none: all that the change touches, and with no change, all that
	// belong to a cluster.
	Servers []string
	// Running compares with what nodes run instead of what the records gave them so far; nil: the records.
	Running Running
}

// From is what a plan compares with.
type From string

// What a plan compares with.
const (
	FromRecords From = "records" // what the records give the server now
	FromRunning From = "running" // what the node runs
	FromNothing From = "nothing" // the server has no config so far
)

// Plan is what a change does to machine configs. It holds no secrets.
type Plan struct {
	Groups    []PlanGroup   // servers whose configs change; those with the same change together, the most servers first
	Unchanged []PlanServer  // by name
	Broken    []BrokenGroup // their configs could not be made: a save would be refused
	Silent    []BrokenGroup // nodes that could not be asked what they run, and why: compared with the records instead
}

// PlanServer is a server of a plan.
type PlanServer struct {
	ID, Name string
	Node     bool // it runs as a node now
}

// PlanGroup are servers whose configs change in the same way.
type PlanGroup struct {
	Servers []PlanServer
	From    From
	Diff    *diff.Diff
	Verdict *diff.Verdict // what a node does when the change is applied; nil where there was nothing before
}

// Plan says what a change would do to the machine configs of servers.
func (m *Manager) Plan(ctx context.Context, c Change, o PlanOptions) (Plan, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return Plan{}, err
	}
	t, err := m.tryChange(ctx, now, c)
	if err != nil {
		return Plan{}, err
	}
	if err := m.choose(ctx, t, c, o); err != nil {
		return Plan{}, err
	}
	all := m.compareAll(ctx, t, o.Running)
	if err := ctx.Err(); err != nil {
		return Plan{}, err
	}
	return assemble(t, all)
}

// tryChange puts everything that is to change into a trial.
func (m *Manager) tryChange(ctx context.Context, now *snapshot, c Change) (*trial, error) {
	t := now.try("this change")
	for _, l := range c.Layers {
		of, err := m.find(ctx, now, l.LayerRef)
		if err != nil {
			return nil, err
		}
		old := now.Layer(of.scope, of.owner)
		draft, _ := now.ContentsOf(old.Draft)
		now.unhide(&l.Contents, old.Contents, draft)
		t.setLayer(of, l.Contents)
		if err := checkContents(&of, &l.Contents); err != nil {
			return nil, t.hideAll(err)
		}
	}
	for _, ref := range c.Publish {
		of, _, contents, err := m.draft(ctx, now, ref, "")
		if err != nil {
			return nil, err
		}
		t.setLayer(of, contents)
	}
	if c.Cluster != nil {
		was, err := now.clusterOf(c.Cluster.Cluster)
		if err != nil {
			return nil, err
		}
		cluster, err := changedCluster(now, was, c.Cluster.ClusterChange)
		if err != nil {
			return nil, err
		}
		t.setCluster(cluster)
	}
	for _, a := range c.Assign {
		if err := m.tryAssign(ctx, t, a); err != nil {
			return nil, err
		}
	}
	return t, m.touch(ctx, t)
}

func (m *Manager) tryAssign(ctx context.Context, t *trial, a ServerAssign) error {
	s, err := m.Store.Server(ctx, a.Server)
	if err != nil {
		return err
	}
	is := s
	if a.Cluster != nil && *a.Cluster == "" {
		return nil // it has no config any more
	}
	if is.Assignment, err = changed(t.before, s, a.AssignmentChange); err != nil {
		return err
	}
	if a.Patch != nil {
		of, err := m.find(ctx, t.before, LayerRef{Scope: fleet.ScopeServer, Owner: s.ID})
		if err != nil {
			return err
		}
		own := t.after.contents(fleet.ScopeServer, s.ID).Clone()
		was := own.Clone()
		own.SetText(fleet.PatchOwn, *a.Patch)
		t.before.unhide(&own, was)
		t.setLayer(of, own)
	}
	t.setServer(s, is)
	return nil
}

// choose limits a trial to the servers that were asked for.
func (m *Manager) choose(ctx context.Context, t *trial, c Change, o PlanOptions) error {
	nothing := len(c.Layers) == 0 && len(c.Publish) == 0 && len(c.Assign) == 0 && c.Cluster == nil
	if len(o.Servers) == 0 && !nothing {
		return nil
	}
	touched := map[string]tried{}
	for _, s := range t.servers {
		touched[s.was.ID] = s
	}
	t.servers = nil
	if len(o.Servers) == 0 {
		all, err := m.Store.Servers(ctx, store.ServerFilter{IncludeMissing: true})
		for _, s := range all {
			if s.Assignment.Assigned() && !s.Assignment.Draft {
				t.servers = append(t.servers, tried{s, s})
			}
		}
		return err
	}
	for _, ref := range o.Servers {
		s, err := m.Store.Server(ctx, ref)
		if err != nil {
			return err
		}
		if _, ok := touched[s.ID]; !ok {
			touched[s.ID] = tried{s, s}
		}
		t.setServer(touched[s.ID].was, touched[s.ID].is)
	}
	return nil
}

// compared is what a plan says of one server.
type compared struct {
	server  PlanServer
	from    From
	diff    *diff.Diff
	verdict *diff.Verdict
	silent  error // why the node could not be asked
	broken  error
}

// compareAll makes the configs as they are and as they would be, and compares them, on all cores.
func (m *Manager) compareAll(ctx context.Context, t *trial, running Running) []compared {
	out := make([]compared, len(t.servers))
	asked := m.ask(ctx, t, running)
	each(len(t.servers), func(i int) {
		if ctx.Err() != nil {
			return
		}
		s := t.servers[i]
		out[i] = m.compare(t, s, asked[s.was.ID])
		out[i].server = PlanServer{s.was.ID, s.was.Name, isNode(s.was)}
	})
	return out
}

// answer is what a node said that it runs.
type answer struct {
	config []byte
	err    error
}

// ask asks the nodes what they run, some at once: they answer when they like.
func (m *Manager) ask(ctx context.Context, t *trial, running Running) map[string]answer {
	const atOnce = 32
	all := map[string]answer{}
	if running == nil {
		return all
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, s := range t.servers {
		if !isNode(s.was) {
			continue
		}
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			var a answer
			a.config, a.err = running(ctx, s.was)
			mu.Lock()
			defer mu.Unlock()
			all[s.was.ID] = a
		})
	}
	wait.Wait()
	return all
}

func (m *Manager) compare(t *trial, s tried, node answer) (c compared) {
	after, err := t.after.compose(s.is)
	if err == nil {
		after.YAML, err = m.Renderer.render(after.Input)
	}
	if err != nil {
		return compared{broken: err}
	}
	before, from := m.before(t, s, node)
	c.from, c.silent = from, node.err
	if c.diff, c.broken = diff.Compare(before, after.YAML, m.Renderer.fingerprints); c.broken != nil {
		return c
	}
	hideDiff(t.redactor(after.Cluster), c.diff)
	if from == FromNothing {
		return c
	}
	c.verdict, c.broken = diff.Apply(c.diff, after.Input.TalosVersion)
	return c
}

// before is what a plan compares with: nothing where the records give nothing that works.
func (m *Manager) before(t *trial, s tried, node answer) ([]byte, From) {
	if node.err == nil && node.config != nil {
		return node.config, FromRunning
	}
	if !s.was.Assignment.Assigned() || s.was.Assignment.Draft {
		return nil, FromNothing
	}
	made, err := t.before.compose(s.was)
	if err == nil {
		made.YAML, err = m.Renderer.render(made.Input)
	}
	if err != nil {
		return nil, FromNothing
	}
	return made.YAML, FromRecords
}

// assemble puts servers with the same change together.
func assemble(t *trial, all []compared) (p Plan, err error) {
	groups := map[string]int{}
	var broken, silent []tried
	var brokenWhy, silentWhy []error
	for i, c := range all {
		if c.silent != nil {
			silent, silentWhy = append(silent, t.servers[i]), append(silentWhy, c.silent)
		}
		switch {
		case c.broken != nil:
			broken, brokenWhy = append(broken, t.servers[i]), append(brokenWhy, c.broken)
			continue
		case c.diff.Empty() && (c.verdict == nil || len(c.verdict.Outcomes) == 0):
			p.Unchanged = append(p.Unchanged, c.server)
			continue
		}
		g := PlanGroup{From: c.from, Diff: c.diff, Verdict: c.verdict}
		key, err := json.Marshal(g)
		if err != nil {
			return p, err
		}
		k, known := groups[string(key)]
		if !known {
			k = len(p.Groups)
			groups[string(key)], p.Groups = k, append(p.Groups, g)
		}
		p.Groups[k].Servers = append(p.Groups[k].Servers, c.server)
	}
	p.Broken, p.Silent = group(t, broken, brokenWhy), group(t, silent, silentWhy)
	byName := func(a, b PlanServer) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	}
	slices.SortFunc(p.Unchanged, byName)
	for _, g := range p.Groups {
		slices.SortFunc(g.Servers, byName)
	}
	slices.SortFunc(p.Groups, func(a, b PlanGroup) int {
		return cmp.Or(cmp.Compare(len(b.Servers), len(a.Servers)), byName(a.Servers[0], b.Servers[0]))
	})
	return p, nil
}

// DiffServers says what the machine configs of two servers differ in.
func (m *Manager) DiffServers(ctx context.Context, a, b string) (*diff.Diff, error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return nil, err
	}
	t := now.try("")
	var texts [2][]byte
	var clusters [2]fleet.Cluster
	for i, ref := range []string{a, b} {
		s, err := m.Store.Server(ctx, ref)
		if err != nil {
			return nil, err
		}
		t.setServer(s, s)
		made, err := now.compose(s)
		if err == nil {
			made.YAML, err = m.Renderer.render(made.Input)
		}
		if err != nil {
			return nil, t.hideAll(err)
		}
		texts[i], clusters[i] = made.YAML, made.Cluster
	}
	d, err := diff.Compare(texts[0], texts[1], m.Renderer.fingerprints)
	if err == nil {
		hideDiff(t.redactor(clusters[0]), d)
		hideDiff(t.redactor(clusters[1]), d)
	}
	return d, err
}
