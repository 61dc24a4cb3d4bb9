package modernise

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// alias names the card that a selector finds.
func (w *rewriter) alias(f field, selector *yaml.Node) (string, bool) {
	match, ok := w.linkMatch(f, selector)
	if !ok {
		return "", false
	}
	for _, d := range w.fresh { // two entries for one card
		if d.kind == "LinkAliasConfig" && value(child(d.root, "selector"), "match") == match {
			w.wrote(d)
			return d.name, true
		}
	}
	named := w.aliasName()
	w.doc("LinkAliasConfig", named, everyone).set(nil, scalar(match), "selector", "match")
	w.note(Hint, f, "the card is called %s now; a selector must find one card, and the name must not be used by another patch", named)
	return named, true
}

// aliasName is the next free name for a card.
func (w *rewriter) aliasName() string {
	for n := 0; ; n++ {
		named := fmt.Sprintf("net%d", n)
		if !slices.ContainsFunc(slices.Concat(w.fresh, w.docs), func(d *document) bool { return d.kind == "LinkAliasConfig" && d.name == named }) {
			return named
		}
	}
}

// linkMatch writes a device selector in CEL. The old one compares with globs; all of its fields must match.
func (w *rewriter) linkMatch(f field, n *yaml.Node) (string, bool) {
	cel := []struct{ key, expression string }{
		{"hardwareAddr", "mac(link.hardware_addr)"},
		{"permanentAddr", "mac(link.permanent_addr)"},
		{"pciID", "link.pciid"},
		{"driver", "link.driver"},
		{"busPath", "link.bus_path"},
	}
	var terms []string
	for _, c := range cel {
		switch v := value(n, c.key); {
		case v == "":
		case strings.Contains(v, "*"):
			terms = append(terms, fmt.Sprintf("glob(%s, %s)", w.quote(v), c.expression))
		default:
			terms = append(terms, fmt.Sprintf("%s == %s", c.expression, w.quote(v)))
		}
	}
	if physical, known := isTrue(child(n, "physical")); known && !physical {
		w.note(ByHand, f, "a selector of cards that are not physical has no counterpart; the interface stays as it is")
		return "", false
	}
	if len(terms) == 0 {
		terms = []string{"true"} // aliases are for physical links only
	}
	return strings.Join(terms, " && "), true
}
