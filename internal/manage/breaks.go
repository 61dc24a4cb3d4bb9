package manage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Breaks is why a change is refused: the servers whose configs could not be rendered with it. It is the cause of a
// fleet.Error.
type Breaks struct {
	What   string // is changed: "config base"
	Of     int    // so many servers would have been changed
	Groups []BrokenGroup
}

// BrokenGroup are servers that break for the same reason.
type BrokenGroup struct {
	Servers []string // names
	Reason  string   // names patch, line and field
	Hint    string   // what to write instead; may be empty
}

// Servers counts the servers that would break.
func (b *Breaks) Servers() (n int) {
	for _, g := range b.Groups {
		n += len(g.Servers)
	}
	return n
}

const (
	namesShown   = 5
	reasonsShown = 4
)

// Error names some servers and reasons, and how many more there are.
func (b *Breaks) Error() string {
	var out strings.Builder
	n := b.Servers()
	switch {
	case n == 1:
		fmt.Fprintf(&out, "%s would break server %s: %s", b.What, b.Groups[0].Servers[0], b.Groups[0].Reason)
		return out.String()
	case n == b.Of:
		fmt.Fprintf(&out, "%s would break all %d servers that use it", b.What, n)
	default:
		fmt.Fprintf(&out, "%s would break %d of %d servers", b.What, n, b.Of)
	}
	for i, g := range b.Groups {
		if i == reasonsShown {
			fmt.Fprintf(&out, "; %d more reasons", len(b.Groups)-i)
			break
		}
		out.WriteString([]string{": ", "; "}[min(i, 1)])
		out.WriteString(some(g.Servers) + ": " + g.Reason)
	}
	return out.String()
}

func some(names []string) string {
	if len(names) <= namesShown+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
}

// group puts servers that break for the same reason together, the largest group first.
func group(t *trial, broken []tried, errs []error) []BrokenGroup {
	var groups []BrokenGroup
	at := map[string]int{}
	for i, s := range broken {
		raw := reasonOf(s, errs[i])
		k, ok := at[raw]
		if !ok {
			k = len(groups)
			at[raw] = k
			c, _ := t.after.cluster(s.is.Assignment.ClusterID)
			err := t.hide(c, errs[i])
			groups = append(groups, BrokenGroup{Reason: reasonOf(s, err), Hint: fleet.HintOf(err)})
		}
		groups[k].Servers = append(groups[k].Servers, s.is.Name)
	}
	slices.SortStableFunc(groups, func(a, b BrokenGroup) int { return cmp.Compare(len(b.Servers), len(a.Servers)) })
	for i := range groups {
		slices.Sort(groups[i].Servers)
	}
	return groups
}

// reasonOf is an error about a server, said so that it is the same for all servers that it is the same for.
func reasonOf(s tried, err error) string {
	text := strings.TrimPrefix(err.Error(), "server "+s.is.Name+": ")
	return strings.ReplaceAll(text, "server "+s.is.Name+", patch ", "the server's patch ")
}

// breaks is the error for a person.
func breaks(t *trial, broken []tried, errs []error) error {
	if t.alone && len(broken) == 1 {
		c, _ := t.after.cluster(broken[0].is.Assignment.ClusterID)
		return orDraft(t.hide(c, errs[0]))
	}
	b := &Breaks{What: t.what, Of: len(t.servers), Groups: group(t, broken, errs)}
	err := fleet.Errorf(fleet.Invalid, "%w", b).WithHint("%s", b.Groups[0].Hint)
	if t.final {
		return err
	}
	return orDraft(err)
}

// orDraft adds to what somebody may do about an error that a draft would be kept.
func orDraft(err error) error {
	const draft = "or keep it as a draft, which is in effect nowhere until it is published"
	e := fleet.Errorf(fleet.KindOf(err), "%w", err)
	return e.WithHint("%s; %s", cmp.Or(fleet.HintOf(err), "mend it"), draft)
}
