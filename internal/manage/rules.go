package manage

import (
	"context"
	"maps"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// AddRule keeps a label and taint rule.
func (m *Manager) AddRule(ctx context.Context, actor string, r fleet.Rule) (fleet.Rule, error) {
	if err := r.Validate(); err != nil {
		return r, err
	}
	if r.ClusterID != "" {
		c, err := m.Store.Cluster(ctx, r.ClusterID)
		if err != nil {
			return r, err
		}
		r.ClusterID = c.ID
	}
	r.ID, r.CreatedAt = fleet.NewID(), m.Now()
	r, err := m.Store.CreateRule(ctx, r)
	if err != nil {
		return r, err
	}
	return r, m.audit(ctx, actor, "rule.create", "rule", r.ID, "servers with "+r.Match+" in their name")
}

// DeleteRule forgets a rule. What it put on nodes stays.
func (m *Manager) DeleteRule(ctx context.Context, actor, id string) error {
	if err := m.Store.RemoveRule(ctx, id); err != nil {
		return err
	}
	return m.audit(ctx, actor, "rule.delete", "rule", id, "deleted")
}

// LabelsFor collects what the rules put on a server's node; later rules win over earlier ones.
func LabelsFor(ctx context.Context, st *store.Store, s fleet.Server) (map[string]string, []fleet.Taint, error) {
	rules, err := st.Rules(ctx, s.Assignment.ClusterID)
	if err != nil {
		return nil, nil, err
	}
	labels, taints := matching(rules, s)
	return labels, taints, nil
}

func matching(rules []fleet.Rule, s fleet.Server) (map[string]string, []fleet.Taint) {
	labels, taints := map[string]string{}, []fleet.Taint(nil)
	for _, r := range rules {
		if !r.For(&s) {
			continue
		}
		maps.Copy(labels, r.Labels)
		taints = append(taints, r.Taints...)
	}
	return labels, taints
}
