package schema

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// unavailable says that this release does not know a kind or field: too new, gone, or not in this patch release.
func (l *linter) unavailable(n *yaml.Node, p *path, e *entry, what, instead string) {
	r, t := l.at, l.table
	if last := e.seen[len(e.seen)-1].to; last < r {
		l.add(n, p, Error, Gone, fmt.Sprintf("%s is gone since Talos %s", what, t.say(last+1)), strings.TrimSpace(e.instead))
		return
	}
	for _, s := range e.seen {
		if s.from > r {
			l.add(n, p, Error, TooNew, fmt.Sprintf("%s is known since Talos %s", what, t.say(s.from)), instead)
			return
		}
	}
}

// earlierField says what did the job of a field in releases that lack it.
func (l *linter) earlierField(c *entry, at *path) string {
	p := at.pattern()
	if l.kind == "VolumeConfig" && p == "encryption" {
		return "write machine.systemDiskEncryption." + strings.ToLower(l.name) + " instead"
	}
	if l.kind == "ResolverConfig" && p == "hostDNS" {
		return "write machine.features.hostDNS instead"
	}
	return ""
}

// unknown says that no release has a field, and what may have been meant.
func (l *linter) unknown(e *entry, k *yaml.Node, at *path) {
	var names []string
	for _, c := range e.children {
		if c.in(l.at) {
			names = append(names, c.name)
		}
	}
	instead := ""
	if near := nearest(k.Value, names); near != "" {
		instead = "did you mean " + near + "?"
	} else if elsewhere := l.elsewhere(k.Value); elsewhere != "" {
		instead = "did you mean " + elsewhere + "?"
	}
	l.add(k, at, Error, UnknownField, fmt.Sprintf("no Talos version has %s%s", at, l.inKind()), instead)
}

func (l *linter) inKind() string {
	if l.kind == V1Alpha1 {
		return ""
	}
	return " in " + l.kind
}

// enough findings are there already: nobody reads what else may have been meant.
const enough = 200

// elsewhere finds the only field of the document with a name, for one that is indented wrongly.
func (l *linter) elsewhere(name string) string {
	if len(l.findings) > enough {
		return ""
	}
	var found []string
	var search func(e *entry, p *path)
	search = func(e *entry, p *path) {
		for _, c := range e.children {
			if !c.in(l.at) {
				continue
			}
			at := p.field(c.name)
			if c.name == "[]" || c.name == "*" {
				at = p.key("")
			}
			if c.name == name {
				found = append(found, at.pattern())
			}
			search(c, at)
		}
	}
	if root := l.table.kind(l.kind); root != nil {
		search(root, nil)
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// judge says whether something else should be written than a field of V1Alpha1: because a document has taken it over
// and refuses it beside itself, or because Talos calls it deprecated. Inside are the findings of what the field holds.
func (l *linter) judge(c *entry, k, v *yaml.Node, at *path, inside []Finding) {
	if c.advice != nil && !covered(v, at, inside) && l.clash(c.advice, k, v, at) {
		return
	}
	told := slices.ContainsFunc(inside, func(f Finding) bool { return f.Problem == Deprecated || f.Problem == Conflict })
	if told || c.deprecated < 0 || c.deprecated > l.at || hollow(v) || at.name == "persist" && v.Value == "true" {
		return
	}
	for up := at.up; up != nil && c.advice == nil; up = up.up {
		if l.table.find(V1Alpha1, up.pattern()).advice != nil {
			return // what is said of the field around it is of more use
		}
	}
	l.add(k, at, Warning, Deprecated, fmt.Sprintf("%s is deprecated since Talos %s", at, l.table.say(c.deprecated)), l.table.instead(c, l.at))
}

// covered says whether each field of a map has a conflict of its own, so that nothing is left to say of the map.
func covered(v *yaml.Node, at *path, inside []Finding) bool {
	if v.Kind != yaml.MappingNode || len(v.Content) == 0 {
		return false
	}
	for i := 0; i < len(v.Content); i += 2 {
		p := at.field(v.Content[i].Value).String()
		if !slices.ContainsFunc(inside, func(f Finding) bool { return f.Problem == Conflict && f.Path == p }) {
			return false
		}
	}
	return true
}

// instead says what to write for a deprecated entry, in our words where we have some.
func (t *table) instead(e *entry, r release) string {
	a := e.advice
	switch {
	case a == nil:
		return strings.Replace(strings.TrimSuffix(e.instead, "."), "Use ", "use ", 1)
	case len(a.kinds) == 0:
		return a.write
	case !t.kind(a.kinds[0]).in(r):
		return ""
	}
	return "write " + a.write
}

// clash finds the document that refuses a field beside it: one of this text, or one that Talos generates.
func (l *linter) clash(a *advice, k, v *yaml.Node, at *path) bool {
	if len(a.kinds) == 0 || a.clash == "never" || !occupied(a, v) {
		return false
	}
	rival := a.kinds[0]
	if !l.table.kind(rival).in(l.at) {
		return false
	}
	for _, doc := range l.present[rival] {
		if !l.refuses(doc, at.pattern()) {
			continue
		}
		l.add(k, at, Error, Conflict, fmt.Sprintf("%s and the %s in line %d cannot both be", at, rival, doc.Line), "leave it out, and write "+a.write)
		return true
	}
	minor, controlPlane := generated(rival)
	if l.whole || minor == 0 || minor > l.table.minor(l.at) || l.deleted[rival] {
		return false
	}
	which := "configs"
	if controlPlane {
		which = "control-plane configs"
	}
	l.add(k, at, Warning, Conflict, fmt.Sprintf("the %s that Talos generates since v1.%d have %s, which refuses %s beside it", which, minor, aOrAn(rival), at), "write "+a.write)
	return true
}

// occupied says whether a value is what the document refuses.
func occupied(a *advice, v *yaml.Node) bool {
	switch {
	case isNull(v):
		return false
	case v.Kind == yaml.ScalarNode && variable(v):
		return a.clash == "set"
	case a.clash == "true":
		return v.Value == "true" || v.Value == "yes" || v.Value == "on"
	case v.Kind == yaml.ScalarNode:
		return v.Value != ""
	}
	return v.Kind == yaml.MappingNode || len(v.Content) > 0
}

// hollow is what generators write where there is nothing to say.
func hollow(v *yaml.Node) bool {
	return isNull(v) || v.Kind != yaml.ScalarNode && v.Kind != yaml.AliasNode && len(v.Content) == 0
}

// refuses says whether this very document stands in the way of a field: some do only with certain values.
func (l *linter) refuses(doc *yaml.Node, pattern string) bool {
	switch pattern {
	case "machine.systemDiskEncryption.state", "machine.systemDiskEncryption.ephemeral":
		name := get(doc, "name")
		return l.table.minor(l.at) >= 11 && get(doc, "encryption") != nil && name != nil && strings.HasSuffix(pattern, "."+strings.ToLower(name.Value))
	case "machine.features.hostDNS":
		return get(doc, "hostDNS") != nil
	}
	return true
}

// together judges fields of one document that do not go together.
func (l *linter) together(doc *yaml.Node) {
	switch l.kind {
	case "HostnameConfig":
		l.hostname(doc)
	case V1Alpha1:
		l.kernelArguments(lookup(doc, "machine", "install"))
	}
}

// hostname: since its first version the document refuses `hostname` beside `auto`, and the generated one has
// `auto: stable`.
func (l *linter) hostname(doc *yaml.Node) {
	name, auto := get(doc, "hostname"), get(doc, "auto")
	if name == nil || name.Value == "" || auto != nil && (auto.Value == "off" || variable(auto)) {
		return
	}
	p := (*path)(nil).field("hostname")
	switch {
	case auto != nil && !isNull(auto):
		l.add(auto, (*path)(nil).field("auto"), Error, Conflict, "hostname and auto: "+auto.Value+" cannot be set at the same time", "write `auto: off`")
	case !l.whole && !l.deleted[l.kind]:
		l.add(name, p, Warning, Conflict, "the generated HostnameConfig has `auto: stable`, which refuses hostname beside it", "write `auto: off` too")
	}
}

// kernelArguments: with grubUseUKICmdline, which is generated since v1.12, they come from the image only.
func (l *linter) kernelArguments(install *yaml.Node) {
	args, uki := get(install, "extraKernelArgs"), get(install, "grubUseUKICmdline")
	if args == nil || len(args.Content) == 0 || l.table.minor(l.at) < 12 {
		return
	}
	p := (*path)(nil).field("machine").field("install").field("extraKernelArgs")
	deprecated := slices.IndexFunc(l.findings, func(f Finding) bool { return f.Problem == Deprecated && f.Path == p.String() })
	if deprecated < 0 {
		return
	}
	f := &l.findings[deprecated] // this says more
	switch {
	case uki != nil && uki.Value == "true":
		f.Severity, f.Problem = Error, Conflict
		f.Message = "machine.install.extraKernelArgs and grubUseUKICmdline cannot be used together"
	case uki == nil && !l.whole && l.table.minor(l.at) < 14:
		f.Problem = Conflict
		f.Message = "the configs that Talos generates since v1.12 have grubUseUKICmdline, which refuses machine.install.extraKernelArgs beside it"
	}
}

func aOrAn(kind string) string {
	if strings.ContainsAny(kind[:1], "AEIOU") {
		return "an " + kind
	}
	return "a " + kind
}
