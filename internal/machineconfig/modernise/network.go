package modernise

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

func networkRules() []rule {
	const network = "the network's settings are documents of their own"
	const resolver = "the resolver is a document that the generated config has already"
	return []rule{
		{"machine.network.hostname", multiDocument, multiDocument, "HostnameConfig", "the hostname is a document, and the generated config has one", moveHostname},
		{"machine.features.stableHostname", multiDocument, multiDocument, "HostnameConfig", "the hostname is a document, and the generated config has one", moveStableHostname},
		{"machine.network.nameservers", multiDocument, kubernetesDocs, "ResolverConfig", resolver, moveNameservers},
		{"machine.network.searchDomains", multiDocument, kubernetesDocs, "ResolverConfig", resolver, to("ResolverConfig", "searchDomains", "domains")},
		{"machine.network.disableSearchDomain", multiDocument, kubernetesDocs, "ResolverConfig", resolver, to("ResolverConfig", "searchDomains", "disableDefault")},
		{"machine.features.hostDNS", kubernetesDocs, kubernetesDocs, "ResolverConfig", resolver, to("ResolverConfig", "hostDNS")},
		{"machine.network.extraHostEntries", multiDocument, 0, "", network, moveHosts},
		{"machine.network.kubespan", kubeSpanDoc, 0, "", "KubeSpan is a document of its own", toRoot("KubeSpanConfig")},
		{"machine.time", multiDocument, 0, "", "time servers are a document of their own", moveTime},
		{"machine.network.interfaces", multiDocument, 0, "", network, moveInterfaces},
	}
}

// to moves a field as it is to a path of an unnamed document for every node.
func to(kind string, path ...string) func(*rewriter, field) {
	return func(w *rewriter, f field) { w.doc(kind, "", everyone).set(f.key, f.val, path...) }
}

// toRoot moves what is in a field to the top of an unnamed document for every node.
func toRoot(kind string) func(*rewriter, field) {
	return func(w *rewriter, f field) { w.spread(w.doc(kind, "", everyone), f) }
}

// spread writes the keys of a field to the top of a document. A field that is to be deleted deletes the document.
func (w *rewriter) spread(d *document, f field) {
	if isDelete(f.val) {
		put(d.root, renamed(f.key, "$patch"), scalar("delete"))
		return
	}
	first := true
	for _, p := range pairs(f.val) {
		key := renamed(p[0], p[0].Value)
		if first {
			key.HeadComment = joinComments(f.key.HeadComment, key.HeadComment)
		}
		first = false
		d.set(key, p[1], p[0].Value)
	}
}

func moveHostname(w *rewriter, f field) {
	d := w.doc("HostnameConfig", "", everyone)
	if isDelete(f.val) {
		w.note(ByHand, f, "a deleted hostname has no counterpart: the generated HostnameConfig names the node by itself")
		return
	}
	d.set(nil, scalar("off"), "auto")
	d.set(f.key, f.val, "hostname")
}

// moveStableHostname drops the switch: what is generated is stable. The older form, by address, has no document.
func moveStableHostname(w *rewriter, f field) {
	if yes, known := isTrue(f.val); !known || !yes {
		w.note(ByHand, f, "a hostname made of the address is no longer offered: name the node in a HostnameConfig")
	}
}

func moveNameservers(w *rewriter, f field) {
	list := sequence()
	for _, n := range items(f.val) {
		address := *n
		entry := mapping(scalar("address"), &address)
		entry.HeadComment, address.HeadComment = n.HeadComment, ""
		list.Content = append(list.Content, entry)
	}
	if isDelete(f.val) {
		list = f.val
	}
	w.doc("ResolverConfig", "", everyone).set(f.key, list, "nameservers")
}

func moveHosts(w *rewriter, f field) {
	for _, n := range items(f.val) {
		ip := value(n, "ip")
		if isDelete(n) {
			w.delete("StaticHostConfig", ip, everyone, nil)
			continue
		}
		d := w.doc("StaticHostConfig", ip, everyone)
		d.comment(n, f)
		key, aliases := remove(n, "aliases")
		if aliases != nil {
			d.set(key, aliases, "hostnames")
		}
	}
}

// comment gives the comments above a list element, and above the list for its first one, to the document made of it.
func (d *document) comment(n *yaml.Node, f field) {
	text := n.HeadComment
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		text = joinComments(text, n.Content[0].HeadComment)
		n.Content[0].HeadComment = ""
	}
	n.HeadComment = ""
	if l := items(f.val); len(l) > 0 && l[0] == n {
		text = joinComments(f.key.HeadComment, text)
	}
	if len(d.root.Content) > 0 {
		d.root.Content[0].HeadComment = joinComments(d.root.Content[0].HeadComment, text)
	}
}

func moveTime(w *rewriter, f field) {
	d := w.doc("TimeSyncConfig", "", everyone)
	if isDelete(f.val) {
		w.spread(d, f)
		return
	}
	f.key.HeadComment, d.root.Content[0].HeadComment = "", joinComments(d.root.Content[0].HeadComment, f.key.HeadComment)
	for _, p := range pairs(f.val) {
		switch p[0].Value {
		case "disabled":
			w.invert(d, f, p, "enabled")
		case "servers":
			where := []string{"ntp", "servers"}
			if l := items(p[1]); len(l) > 0 && strings.HasPrefix(l[0].Value, "/dev/") {
				where = []string{"ptp", "devices"}
			}
			d.set(p[0], p[1], where...)
		default:
			d.set(p[0], p[1], p[0].Value)
		}
	}
}

// invert writes `disabled` as `enabled`.
func (w *rewriter) invert(d *document, f field, p [2]*yaml.Node, name string) {
	yes, known := isTrue(p[1])
	if !known {
		w.note(ByHand, f, "%s is now %s, the other way round; a variable cannot be turned: set %s of %s", p[0].Value, name, name, d.id())
		return
	}
	d.set(p[0], keepLine(boolean(!yes), p[1]), name)
}

// keepLine gives a new scalar the comment behind the old one.
func keepLine(n, old *yaml.Node) *yaml.Node {
	n.LineComment = old.LineComment
	return n
}
