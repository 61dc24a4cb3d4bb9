package fleet

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// The effects of a taint, as Kubernetes writes them.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)

// String writes a taint as kubectl does: key=value:Effect, or key:Effect without a value.
func (t Taint) String() string {
	if t.Value == "" {
		return t.Key + ":" + t.Effect
	}
	return t.Key + "=" + t.Value + ":" + t.Effect
}

// Validate refuses what the Kubernetes API would refuse, and the taints that its node controller takes away again.
func (t Taint) Validate() error {
	if problems := validation.IsQualifiedName(t.Key); len(problems) > 0 {
		return Errorf(Invalid, "taint %s: bad key %q: %s", t, t.Key, strings.Join(problems, "; "))
	}
	if problems := validation.IsValidLabelValue(t.Value); len(problems) > 0 {
		return Errorf(Invalid, "taint %s: bad value %q: %s", t, t.Value, strings.Join(problems, "; "))
	}
	switch t.Effect {
	case NoSchedule, PreferNoSchedule, NoExecute:
	default:
		return Errorf(Invalid, "taint %s: unknown effect %q", t, t.Effect).WithHint("use %s, %s or %s", NoSchedule, PreferNoSchedule, NoExecute)
	}
	switch t.Key {
	case "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/unschedulable":
		return Errorf(Invalid, "taint %s belongs to Kubernetes, which sets and removes it by itself", t).
			WithHint("choose a key of your own, or cordon the node")
	}
	return nil
}

// ParseTaint reads "key=value:Effect", "key:Effect" or "key=value", which means NoSchedule.
func ParseTaint(s string) (Taint, error) {
	s = strings.TrimSpace(s)
	t := Taint{Key: s, Effect: NoSchedule}
	effect, value := false, false
	if i := strings.LastIndex(s, ":"); i >= 0 {
		t.Key, t.Effect, effect = s[:i], s[i+1:], true
	}
	t.Key, t.Value, value = strings.Cut(t.Key, "=")
	if !effect && !value {
		return Taint{}, Errorf(Invalid, "taint %q has neither a value nor an effect", s).WithHint("write key=value:NoSchedule or key:NoExecute")
	}
	if err := t.Validate(); err != nil {
		return Taint{}, err
	}
	return t, nil
}

// ParseTaints reads taints separated by commas or new lines. Of two with the same key and effect the later wins.
func ParseTaints(s string) ([]Taint, error) {
	var all []Taint
	for _, part := range items(s) {
		t, err := ParseTaint(part)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return UniqueTaints(all), nil
}

// UniqueTaints keeps one taint for each key and effect, the later one, in the order of their first appearance: a
// node cannot have two.
func UniqueTaints(taints []Taint) []Taint {
	var unique []Taint
	for _, t := range taints {
		i := slices.IndexFunc(unique, func(o Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
		if i >= 0 {
			unique[i] = t
			continue
		}
		unique = append(unique, t)
	}
	return unique
}

// CheckLabels refuses labels that the Kubernetes API would refuse.
func CheckLabels(labels map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if problems := validation.IsQualifiedName(k); len(problems) > 0 {
			return Errorf(Invalid, "label %s=%s: bad key %q: %s", k, labels[k], k, strings.Join(problems, "; "))
		}
		if problems := validation.IsValidLabelValue(labels[k]); len(problems) > 0 {
			return Errorf(Invalid, "label %s=%s: bad value %q: %s", k, labels[k], labels[k], strings.Join(problems, "; "))
		}
	}
	return nil
}

// ParseLabels reads "key=value" pairs separated by commas or new lines; "key=" and "key" have an empty value, as
// roles do (node-role.kubernetes.io/db).
func ParseLabels(s string) (map[string]string, error) {
	labels := map[string]string{}
	for _, part := range items(s) {
		k, v, _ := strings.Cut(part, "=")
		if old, twice := labels[k]; twice && old != v {
			return nil, Errorf(Invalid, "label %s is given twice, as %q and %q", k, old, v)
		}
		labels[k] = v
	}
	if err := CheckLabels(labels); err != nil {
		return nil, err
	}
	return labels, nil
}

// FormatLabels writes labels as ParseLabels reads them, sorted.
func FormatLabels(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// items splits at commas and new lines and drops what is empty.
func items(s string) []string {
	var all []string
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// For says whether a rule is for a server: by a part of its name and, where the rule has one, by its cluster.
func (r *Rule) For(s *Server) bool {
	return strings.Contains(s.Name, r.Match) && (r.ClusterID == "" || r.ClusterID == s.Assignment.ClusterID)
}

// Validate checks what a rule puts on nodes, and that it puts something on some.
func (r *Rule) Validate() error {
	if r.Match == "" {
		return Errorf(Invalid, "a rule needs a part of server names to match").WithHint("--match worker")
	}
	if len(r.Labels)+len(r.Taints) == 0 {
		return Errorf(Invalid, "a rule needs labels or taints").WithHint("--label key=value, --taint key=value:NoSchedule")
	}
	if err := CheckLabels(r.Labels); err != nil {
		return err
	}
	for _, t := range r.Taints {
		if err := t.Validate(); err != nil {
			return err
		}
	}
	return nil
}
