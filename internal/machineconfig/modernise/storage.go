package modernise

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

func storageRules() []rule {
	const volumes = "system volumes are encrypted by their VolumeConfig"
	const registries = "registries are documents of their own"
	return []rule{
		{"machine.systemDiskEncryption.state", volumeCrypto, 0, "", volumes, moveEncryption("STATE")},
		{"machine.systemDiskEncryption.ephemeral", volumeCrypto, 0, "", volumes, moveEncryption("EPHEMERAL")},
		{"machine.disks", volumeCrypto - 1, 0, "", volumes, keepDisks},
		{"machine.registries.mirrors", multiDocument, 0, "", registries, moveMirrors},
		{"machine.registries.config", multiDocument, 0, "", registries, moveRegistries},
	}
}

// keepDisks says that there is no way for disks that hold data: a document makes partitions of its own.
func keepDisks(w *rewriter, f field) {
	w.keep(f.path, f.key, f.val)
	w.note(Hint, f, "machine.disks is deprecated; a UserVolumeConfig makes new partitions, so disks with data stay as they are")
}

func moveEncryption(volume string) func(*rewriter, field) {
	return func(w *rewriter, f field) {
		d := w.doc("VolumeConfig", volume, everyone)
		if child(d.root, "encryption") != nil {
			w.note(Hint, f, "the VolumeConfig %s of the same patch has the encryption; both at once are refused", volume)
			return
		}
		if f.val.Kind == yaml.MappingNode && child(f.val, "provider") == nil && !isDelete(f.val) {
			put(f.val, scalar("provider"), scalar("luks2")) // the default of the old section; the document has none
		}
		d.set(f.key, f.val, "encryption")
	}
}

// encrypted says whether the patch has the document beside the old section, which no version takes.
func (w *rewriter) encrypted(path string) bool {
	volume := strings.ToUpper(path[strings.LastIndexByte(path, '.')+1:])
	return slices.ContainsFunc(w.docs, func(d *document) bool {
		return d.kind == "VolumeConfig" && d.name == volume && child(d.root, "encryption") != nil
	})
}

func moveMirrors(w *rewriter, f field) {
	for i, p := range pairs(f.val) {
		if isDelete(f.val) {
			return
		}
		if isDelete(p[1]) {
			w.delete("RegistryMirrorConfig", p[0].Value, everyone, p[0])
			continue
		}
		d := w.doc("RegistryMirrorConfig", p[0].Value, everyone)
		d.commentKeys(i, f.key, p[0])
		_, override := remove(p[1], "overridePath")
		key, endpoints := remove(p[1], "endpoints")
		list := sequence()
		for _, e := range items(endpoints) {
			url := *e
			entry := mapping(scalar("url"), &url)
			entry.HeadComment, url.HeadComment = e.HeadComment, ""
			if override != nil {
				entry.Content = append(entry.Content, scalar("overridePath"), clone(override))
			}
			list.Content = append(list.Content, entry)
		}
		if len(list.Content) > 0 {
			d.set(key, list, "endpoints")
		} else if override != nil {
			w.note(ByHand, f, "overridePath belongs to each endpoint now: write it beside the url of those of %s", p[0].Value)
		}
		if key, skip := remove(p[1], "skipFallback"); skip != nil {
			d.set(key, skip, "skipFallback")
		}
	}
}

// commentKeys gives the comments of the keys that a document came from to its top.
func (d *document) commentKeys(i int, outer, inner *yaml.Node) {
	text := inner.HeadComment
	if i == 0 {
		text = joinComments(outer.HeadComment, text)
	}
	d.root.Content[0].HeadComment = joinComments(d.root.Content[0].HeadComment, text)
	if inner.LineComment != "" {
		d.root.Content[0].HeadComment = joinComments(d.root.Content[0].HeadComment, inner.LineComment)
	}
}

func moveRegistries(w *rewriter, f field) {
	for i, p := range pairs(f.val) {
		comment := func(d *document) {
			if p[0] != nil { // the comments go with the first document of a registry
				d.commentKeys(i, f.key, p[0])
			}
			p[0] = nil
		}
		host := p[0].Value
		if isDelete(f.val) {
			return
		}
		if isDelete(p[1]) {
			w.delete("RegistryAuthConfig", host, everyone, p[0])
			w.delete("RegistryTLSConfig", host, everyone, nil)
			continue
		}
		if key, auth := remove(p[1], "auth"); auth != nil {
			d := w.doc("RegistryAuthConfig", host, everyone)
			comment(d)
			w.spread(d, field{path: f.path, key: key, val: auth, line: key.Line})
		}
		if key, tls := remove(p[1], "tls"); tls != nil {
			d := w.doc("RegistryTLSConfig", host, everyone)
			comment(d)
			w.moveTLS(d, field{path: f.path, key: key, val: tls, line: key.Line})
		}
	}
}

// moveTLS moves a registry's TLS settings: certificates are PEM now, not base64 of it.
func (w *rewriter) moveTLS(d *document, f field) {
	for _, p := range pairs(f.val) {
		switch p[0].Value {
		case "ca":
			d.set(p[0], w.pem(f, p[1]), "ca")
		case "clientIdentity":
			for _, c := range pairs(p[1]) {
				name := map[string]string{"crt": "cert", "key": "key"}[c[0].Value]
				d.set(renamed(c[0], name), w.pem(f, c[1]), "clientIdentity", name)
			}
		default:
			d.set(p[0], p[1], p[0].Value)
		}
	}
}

func (w *rewriter) pem(f field, n *yaml.Node) *yaml.Node {
	text, ok := decode(n.Value)
	if !ok {
		w.note(ByHand, f, "a certificate or key that is a variable must be PEM now, not base64 of it")
		return n
	}
	c := *n
	c.Value, c.Tag, c.Style = text, "!!str", yaml.LiteralStyle
	return &c
}
