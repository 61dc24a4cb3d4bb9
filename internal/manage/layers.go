package manage

import (
	"context"
	"errors"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
)

// LayerRef names a layer of patches.
type LayerRef struct {
	Scope fleet.Scope
	Owner string     // cluster, config or server, by name or id
	Role  fleet.Role // of ScopeRole
}

// Save is how a change is saved.
type Save struct {
	Why string // for those who read the history; may be empty
	// Base is the revision that the change was made on: fleet.Conflict when it is not the current one any more. Empty:
	// whichever is.
	Base string
	// Draft keeps the change beside what is in effect: it is not in any machine config until it is published, and may
	// be broken.
	Draft bool
}

// target is a layer that was found.
type target struct {
	scope   fleet.Scope
	owner   string // OwnerID of the layer
	what    string // "config base", for people
	name    string // of the cluster, config or server
	subject string // of events: "cluster", "config" or "server"
	id      string // of the cluster, config or server
	role    fleet.Role
	cluster fleet.Cluster // that its servers are in; zero: any, or none
	server  fleet.Server
}

func (of *target) key() layerKey { return layerKey{of.scope, of.owner} }

// holds says whether a layer is a part of the config of a server of this cluster.
func (of *target) holds(s *fleet.Server, c *fleet.Cluster) bool {
	switch of.scope {
	case fleet.ScopeCluster:
		return s.Assignment.ClusterID == of.id
	case fleet.ScopeRole:
		return s.Assignment.ClusterID == of.id && s.Assignment.Role == of.role
	case fleet.ScopeConfig:
		return s.Assignment.ConfigID == of.id || s.Assignment.ConfigID == "" && c.ConfigID == of.id
	}
	return s.ID == of.id
}

// find looks up what a reference names.
func (m *Manager) find(ctx context.Context, n *snapshot, ref LayerRef) (target, error) {
	if ref.Scope == fleet.ScopeServer {
		s, err := m.Store.Server(ctx, ref.Owner)
		of := target{scope: ref.Scope, owner: s.ID, id: s.ID, name: s.Name, what: "server " + s.Name, subject: "server", server: s, role: s.Assignment.Role}
		of.cluster = n.Clusters[s.Assignment.ClusterID]
		return of, err
	}
	if ref.Scope == fleet.ScopeConfig {
		c, err := n.configOf(ref.Owner)
		if err == nil && c.ID == "" {
			err = fleet.Errorf(fleet.Invalid, "no config is named").WithHint("`talos-manager config list` shows all")
		}
		return configTarget(c), err
	}
	c, err := n.clusterOf(ref.Owner)
	of := target{scope: ref.Scope, owner: c.ID, id: c.ID, name: c.Name, what: "cluster " + c.Name, subject: "cluster", cluster: c}
	switch {
	case err != nil || ref.Scope == fleet.ScopeCluster:
		return of, err
	case ref.Scope != fleet.ScopeRole:
		return of, fleet.Errorf(fleet.Invalid, "unknown scope %q", ref.Scope).
			WithHint("use %s, %s, %s or %s", fleet.ScopeCluster, fleet.ScopeRole, fleet.ScopeConfig, fleet.ScopeServer)
	case ref.Role != fleet.ControlPlane && ref.Role != fleet.Worker:
		return of, fleet.Errorf(fleet.Invalid, "unknown role %q", ref.Role).WithHint("use %s or %s", fleet.ControlPlane, fleet.Worker)
	}
	of.role, of.owner, of.what = ref.Role, fleet.RoleOwner(c.ID, ref.Role), roleLayer(ref.Role, c.Name)
	return of, nil
}

func configTarget(c fleet.Config) target {
	return target{scope: fleet.ScopeConfig, owner: c.ID, id: c.ID, name: c.Name, what: "config " + c.Name, subject: "config"}
}

func roleLayer(role fleet.Role, cluster string) string {
	return "role " + string(role) + " of " + cluster
}

func (n *snapshot) clusterOf(ref string) (fleet.Cluster, error) {
	return byRef(n.Clusters, ref, "cluster", func(c fleet.Cluster) (string, string) { return c.ID, c.Name })
}

// configOf finds a config; "" is none.
func (n *snapshot) configOf(ref string) (fleet.Config, error) {
	if ref == "" {
		return fleet.Config{}, nil
	}
	return byRef(n.Configs, ref, "config", func(c fleet.Config) (string, string) { return c.ID, c.Name })
}

// schematicOf finds a schematic; "" is none.
func (n *snapshot) schematicOf(ref string) (fleet.Schematic, error) {
	if ref == "" {
		return fleet.Schematic{}, nil
	}
	return byRef(n.Schematics, ref, "schematic", func(s fleet.Schematic) (string, string) { return s.ID, s.Name })
}

// byRef finds a record by id or name.
func byRef[T any](all map[string]T, ref, what string, names func(T) (id, name string)) (none T, err error) {
	if v, ok := all[ref]; ok {
		return v, nil
	}
	for _, v := range all {
		if _, name := names(v); name == ref {
			return v, nil
		}
	}
	return none, fleet.Errorf(fleet.NotFound, "no %s %q", what, ref).WithHint("`talos-manager %s list` shows all", what)
}

// Layer reads a layer: what is in effect, and its draft.
func (m *Manager) Layer(ctx context.Context, ref LayerRef) (l fleet.Layer, draft fleet.Contents, err error) {
	now, _, err := m.Renderer.now(ctx)
	if err != nil {
		return l, draft, err
	}
	of, err := m.find(ctx, now, ref)
	if err != nil {
		return l, draft, err
	}
	l = now.Layer(of.scope, of.owner)
	draft, _ = now.ContentsOf(l.Draft)
	l.Contents = l.Clone()
	return l, draft.Clone(), nil
}

// SetLayer gives a layer new contents. It is refused if that would break a server, unless it is kept as a draft.
func (m *Manager) SetLayer(ctx context.Context, actor string, ref LayerRef, c fleet.Contents, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, func(l *fleet.Contents) error {
		*l = c
		return nil
	})
}

// EditLayer changes the contents of a layer: a draft's, if one is saved as a draft again. edit may run more than once.
func (m *Manager) EditLayer(ctx context.Context, actor string, ref LayerRef, how Save, edit Edit) (saved fleet.Layer, err error) {
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		of, err := m.find(ctx, now, ref)
		if err != nil {
			return nil, err
		}
		old := now.Layer(of.scope, of.owner)
		base := old.Contents
		if how.Draft && old.Draft != "" {
			base, _ = now.ContentsOf(old.Draft)
		}
		c := base.Clone()
		if err := edit(&c); err != nil {
			return nil, err
		}
		now.unhide(&c, base, old.Contents)
		change := store.LayerEdit{Contents: c, Verb: store.VerbSave, Base: how.Base, Why: how.Why}
		if how.Draft {
			change.Verb = store.VerbDraft
		}
		return m.layerEdit(ctx, now, actor, of, old, change, changesOf(base, c), &saved)
	})
	return saved, err
}

// layerEdit checks a change of a layer, and says how to write it.
func (m *Manager) layerEdit(ctx context.Context, now *snapshot, actor string, of target, old fleet.Layer, c store.LayerEdit, what string, saved *fleet.Layer) (*edited, error) {
	c.Scope, c.OwnerID, c.Actor, c.Base = of.scope, of.owner, actor, wholeBase(c.Base, old)
	if c.Verb == store.VerbDraft {
		if err := mayRedraft(&of, old, c.Base); err != nil {
			return nil, err
		}
	}
	t := now.try(of.what)
	t.setLayer(of, c.Contents)
	if err := m.touch(ctx, t); err != nil {
		return nil, err
	}
	c.Why = t.hideText(c.Why)
	if err := checkContents(&of, &c.Contents); err != nil {
		return nil, t.hideAll(err)
	}
	if c.Verb != store.VerbDraft {
		if err := m.check(ctx, t); err != nil {
			return nil, err
		}
	}
	return &edited{doing: "save the patches of " + of.what, write: func(e *store.Edit) (err error) {
		if *saved, err = e.Layer(ctx, c); err != nil || sameLayer(*saved, old) {
			return err
		}
		return e.Event(ctx, m.event(actor, of.subject+".patches."+c.Verb, of.subject, of.id, describeSave(of.what, c, *saved, what)))
	}}, nil
}

func sameLayer(a, b fleet.Layer) bool {
	return a.Revision == b.Revision && a.Draft == b.Draft && a.DraftBase == b.DraftBase
}

// describeSave is the text of an event.
func describeSave(name string, c store.LayerEdit, l fleet.Layer, what string) string {
	revision := l.Revision
	if c.Verb == store.VerbDraft {
		revision = l.Draft
	}
	text := map[string]string{
		store.VerbSave: "", store.VerbDraft: ", draft", store.VerbPublish: ", draft published", store.VerbRevert: ", reverted", store.VerbDiscard: ", draft discarded",
	}[c.Verb]
	text = name + text
	if c.Verb != store.VerbDiscard {
		text += fmt.Sprintf(", revision %.12s", revision)
	}
	if what != "" {
		text += ": " + what
	}
	if c.Why != "" {
		text += " (" + c.Why + ")"
	}
	return text
}

// checkContents checks what needs no rendering.
func checkContents(of *target, c *fleet.Contents) error {
	if err := c.Validate(of.what, of.scope); err != nil {
		return err
	}
	if err := checkShown(of.what, c); err != nil {
		return err
	}
	if err := machineconfig.CheckVariables(c.Variables); err != nil {
		return fleet.Errorf(fleet.Invalid, "%s: %w", of.what, err)
	}
	return nil
}

// edited is a change that was checked: how to write it.
type edited struct {
	doing string
	write func(*store.Edit) error
}

// save checks and writes a change in one transaction, on the records as they were when it was checked: if they were
// changed meanwhile, it is checked again. In one program, changes come one after the other.
func (m *Manager) save(ctx context.Context, check func(now *snapshot) (*edited, error)) error {
	m.saving.Lock()
	defer m.saving.Unlock()
	const attempts = 8
	err := ctx.Err() // whoever asked may have gone meanwhile
	if err != nil {
		return err
	}
	for range attempts {
		now, version, e := m.Renderer.now(ctx)
		if e != nil {
			return e
		}
		change, e := check(now)
		if e != nil {
			return e
		}
		if err = m.Store.Edit(ctx, change.doing, &version, change.write); !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	return err
}

// AddPatch adds a patch to a layer, before the one at a place (0 is the first), or at the end (-1).
func (m *Manager) AddPatch(ctx context.Context, actor string, ref LayerRef, p fleet.Patch, place int, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Adding(p, place))
}

// UpdatePatch changes a patch of a layer; it may change its name too.
func (m *Manager) UpdatePatch(ctx context.Context, actor string, ref LayerRef, name string, change func(*fleet.Patch), how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Changing(ref, name, change))
}

// RemovePatch removes a patch of a layer.
func (m *Manager) RemovePatch(ctx context.Context, actor string, ref LayerRef, name string, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Removing(ref, name))
}

// MovePatch moves a patch of a layer to a place in its order; 0 is the first, which is applied first. A place beyond
// the end is the last.
func (m *Manager) MovePatch(ctx context.Context, actor string, ref LayerRef, name string, place int, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Moving(ref, name, place))
}

// SwitchPatch switches a patch of a layer on or off.
func (m *Manager) SwitchPatch(ctx context.Context, actor string, ref LayerRef, name string, on bool, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Changing(ref, name, func(p *fleet.Patch) { p.Off = !on }))
}

// SetVariable sets an own variable of a layer: of its scopes, later ones win.
func (m *Manager) SetVariable(ctx context.Context, actor string, ref LayerRef, name, value string, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Setting(name, value))
}

// UnsetVariable takes an own variable away from a layer.
func (m *Manager) UnsetVariable(ctx context.Context, actor string, ref LayerRef, name string, how Save) (fleet.Layer, error) {
	return m.EditLayer(ctx, actor, ref, how, Unsetting(ref, name))
}
