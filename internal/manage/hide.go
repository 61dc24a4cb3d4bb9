package manage

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// What leaves this package as text, errors and events, holds no secret of a cluster, nor one that a patch in question
// has in a field for secrets.

// hide takes secrets out of an error about a server of a cluster.
func (t *trial) hide(c fleet.Cluster, err error) error { return t.redactor(c).Error(err) }

// hideAll takes the secrets of all clusters that a trial touches out of an error.
func (t *trial) hideAll(err error) error {
	for _, c := range t.touchedClusters() {
		err = t.hide(c, err)
	}
	return err
}

// hideText takes the secrets of all clusters that a trial touches out of a text.
func (t *trial) hideText(text string) string {
	if text == "" {
		return ""
	}
	for _, c := range t.touchedClusters() {
		text = t.redactor(c).String(text)
	}
	return strings.Join(strings.Fields(text), " ")
}

func (t *trial) touchedClusters() []fleet.Cluster {
	all, seen := []fleet.Cluster{{}}, map[string]bool{"": true}
	add := func(id string) {
		if c, ok := t.after.cluster(id); ok && !seen[id] {
			all, seen[id] = append(all, c), true
		}
	}
	for _, s := range t.servers {
		add(s.was.Assignment.ClusterID)
		add(s.is.Assignment.ClusterID)
	}
	for _, of := range t.layers {
		add(of.cluster.ID)
	}
	return all
}

// hideDiff takes secrets out of a difference that neither config is known to hold as such: a cluster's other secrets
// where somebody has put them into a patch.
func hideDiff(r *diff.Redactor, d *diff.Diff) {
	for i := range d.Documents {
		doc := &d.Documents[i]
		doc.Name = r.String(doc.Name)
		for j := range doc.Changes {
			c := &doc.Changes[j]
			c.Path, c.Old, c.New = r.String(c.Path), hideValue(r, c.Old), hideValue(r, c.New)
		}
	}
}

func hideValue(r *diff.Redactor, v any) any {
	switch v := v.(type) {
	case string:
		return r.String(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = hideValue(r, v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[r.String(key)] = hideValue(r, value)
		}
		return out
	}
	return v
}

// redactor knows the secrets of a cluster and of its layers, and those of the layers that a trial changes.
func (t *trial) redactor(c fleet.Cluster) *diff.Redactor {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.hiders[c.ID]; ok {
		return r
	}
	k := t.after.known()
	k.shared(t.after, c)
	for _, of := range t.layers {
		k.contents(t.before.contents(of.scope, of.owner))
		k.contents(t.after.contents(of.scope, of.owner))
	}
	r := k.redactor()
	if t.hiders == nil {
		t.hiders = map[string]*diff.Redactor{}
	}
	t.hiders[c.ID] = r
	return r
}
