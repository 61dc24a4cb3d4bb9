package manage

import (
	"context"
	"fmt"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// SaveConfig keeps a new config (no ID) or changes one that still is of c.Revision. It is refused if it would break a
// server that uses it, or could work for none.
func (m *Manager) SaveConfig(ctx context.Context, actor string, c fleet.Config) (fleet.Config, error) {
	return m.SaveConfigAs(ctx, actor, c, Save{Base: c.Revision})
}

// SaveConfigAs is SaveConfig with a reason, or as a draft: a new config is empty then until the draft is published.
func (m *Manager) SaveConfigAs(ctx context.Context, actor string, c fleet.Config, how Save) (saved fleet.Config, err error) {
	verb := "config.update"
	if c.ID == "" {
		verb, c.ID = "config.create", fleet.NewID()
	}
	err = m.save(ctx, func(now *snapshot) (*edited, error) {
		old, known := now.Configs[c.ID]
		if !known && verb == "config.update" {
			return nil, fleet.Errorf(fleet.NotFound, "no config %q", c.ID).WithHint("`talos-manager config list` shows all")
		}
		how := how
		how.Base = wholeBase(how.Base, old.Layer())
		c := c
		c.Revision = how.Base
		now.unhide(&c.Contents, old.Contents)
		t, err := m.tryConfig(ctx, now, c, old, how)
		if err != nil {
			return nil, err
		}
		edit := store.LayerEdit{Verb: store.VerbSave, Actor: actor, Why: t.hideText(how.Why)}
		if how.Draft {
			edit.Verb = store.VerbDraft
		}
		return &edited{doing: "save config " + c.Name, write: func(e *store.Edit) (err error) {
			write := e.UpdateConfig
			if !known {
				write = e.CreateConfig
			}
			if saved, err = write(ctx, c, edit); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, verb, "config", c.ID, describeConfig(saved, old, c, edit)))
		}}, nil
	})
	return saved, err
}

// tryConfig checks a config that is to be saved.
func (m *Manager) tryConfig(ctx context.Context, now *snapshot, c, old fleet.Config, how Save) (*trial, error) {
	if err := fleet.CheckName("config", c.Name); err != nil {
		return nil, err
	}
	t, of := now.try("config "+c.Name), configTarget(c)
	if old.ID != "" {
		of = configTarget(old)
	}
	t.setLayer(of, c.Contents)
	if err := m.touch(ctx, t); err != nil {
		return t, err
	}
	if err := checkContents(&of, &c.Contents); err != nil {
		return t, t.hideAll(err)
	}
	if how.Draft {
		return t, mayRedraft(&of, old.Layer(), how.Base)
	}
	return t, m.check(ctx, t)
}

func describeConfig(saved, old, c fleet.Config, edit store.LayerEdit) string {
	what := changesOf(old.Contents, c.Contents)
	if old.ID == "" {
		what = ""
	}
	if old.ID != "" && old.Name != saved.Name {
		what = fmt.Sprintf("renamed from %s %s", old.Name, what)
	}
	return describeSave(saved.Name, edit, saved.Layer(), what)
}

// DeleteConfig forgets a config that nobody uses. Its revisions are kept.
func (m *Manager) DeleteConfig(ctx context.Context, actor, ref string) error {
	return m.save(ctx, func(now *snapshot) (*edited, error) {
		of, err := m.find(ctx, now, LayerRef{Scope: fleet.ScopeConfig, Owner: ref})
		if err != nil {
			return nil, err
		}
		users, err := m.usersOf(ctx, now, of)
		if err != nil {
			return nil, err
		}
		if len(users) > 0 {
			return nil, fleet.Errorf(fleet.Refused, "config %s is used by %d servers, %s among them", of.name, len(users), users[0].Name).
				WithHint("give them another one first: talos-manager server assign %s --config NAME", users[0].Name)
		}
		return &edited{doing: "delete config " + of.name, write: func(e *store.Edit) error {
			if err := e.RemoveConfig(ctx, of.id); err != nil {
				return err
			}
			return e.Event(ctx, m.event(actor, "config.delete", "config", of.id, "deleted "+of.name))
		}}, nil
	})
}

// usersOf lists the servers that a layer is a part of, drafts of assignments too.
func (m *Manager) usersOf(ctx context.Context, now *snapshot, of target) ([]fleet.Server, error) {
	all, err := m.Store.Servers(ctx, store.ServerFilter{ClusterID: of.cluster.ID, IncludeMissing: true, WithoutFacts: true})
	if err != nil {
		return nil, err
	}
	var users []fleet.Server
	for _, s := range all {
		if c, ok := now.cluster(s.Assignment.ClusterID); ok && of.holds(&s, &c) {
			users = append(users, s)
		}
	}
	return users, nil
}
