package modernise

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Files that were written by path and have documents now.
const (
	criPart     = "/etc/cri/conf.d/20-customization.part"
	rootsPrefix = "/etc/ssl/certs/ca-certificates"
)

func fileRules() []rule {
	return []rule{
		{"machine.files", trustedRoots, kubernetesDocs, "", "", moveFiles},
		{"machine.baseRuntimeSpecOverrides", kubernetesDocs, kubernetesDocs, "", "the runtime's base spec is a document of its own", to("CRIBaseRuntimeSpecConfig", "overrides")},
	}
}

func moveFiles(w *rewriter, f field) {
	rest := sequence()
	for _, n := range items(f.val) {
		if !w.moveFile(f, n) {
			rest.Content = append(rest.Content, n)
			continue
		}
		at, since := f, kubernetesDocs
		at.line = n.Line
		if strings.HasPrefix(value(n, "path"), rootsPrefix) {
			since = trustedRoots
		}
		w.change(at, "files below /etc are documents of their own", since)
	}
	if len(rest.Content) == 0 && !isDelete(f.val) {
		return
	}
	if isDelete(f.val) {
		rest = f.val
	}
	w.keep(f.path, f.key, rest)
}

func (w *rewriter) moveFile(f field, n *yaml.Node) bool {
	file := value(n, "path")
	key, content := remove(n, "content")
	done := false
	f.line = n.Line
	switch {
	case content == nil:
	case strings.HasPrefix(file, rootsPrefix):
		d := w.doc("TrustedRootsConfig", w.freeName("TrustedRootsConfig", "custom-ca"), everyone)
		d.comment(n, f)
		d.set(key, content, "certificates")
		done = true
	case w.minor < kubernetesDocs:
	case file == criPart:
		d := w.doc("CRICustomizationConfig", w.freeName("CRICustomizationConfig", customizationName(w.vars.show(content.Value))), everyone)
		d.comment(n, f)
		if !strings.Contains(content.Value, `"""`) && !strings.Contains(content.Value, "'''") {
			content.Value = trimmed(content.Value) // blanks at the ends of lines cannot be written as a block
		}
		d.set(key, content, "content")
		done = true
		w.oldPlugin(f, content.Value)
	case etcFile(file):
		d := w.doc("EtcFileConfig", strings.TrimPrefix(path.Clean(file), "/etc/"), everyone)
		d.comment(n, f)
		if k, mode := remove(n, "permissions"); mode != nil && mode.Value != "0" {
			d.set(k, mode, "mode")
		}
		d.set(key, content, "contents")
		if op := value(n, "op"); op == "append" {
			w.note(ByHand, f, "%s was appended to; the document is the whole file", file)
		}
		done = true
	}
	if !done && content != nil {
		n.Content = append([]*yaml.Node{key, content}, n.Content...)
	}
	if !done && w.minor >= kubernetesDocs {
		w.note(Hint, f, "%s has no document: it stays in machine.files, which is deprecated", file)
	}
	return done
}

// freeName numbers a name that another new document has already.
func (w *rewriter) freeName(kind, base string) string {
	for n := 1; ; n++ {
		called := name(base, n)
		if !slices.ContainsFunc(slices.Concat(w.fresh, w.docs), func(d *document) bool { return d.kind == kind && d.name == called }) {
			return called
		}
	}
}

var (
	tomlTable = regexp.MustCompile(`^\s*\[+\s*([^\[\]]+?)\s*\]+\s*(?:#.*)?$`)
	tomlKey   = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=`)
)

// customizationName names a part of containerd's config after the first thing it sets, so that the parts of several
// patches are several documents.
func customizationName(toml string) string {
	table := ""
	for line := range strings.Lines(toml) {
		if m := tomlTable.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			table = strings.Trim(m[1], `"'`)
			table = strings.Trim(table[strings.LastIndexByte(table, '.')+1:], `"'`)
			continue
		}
		if m := tomlKey.FindStringSubmatch(line); m != nil {
			return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(table+"-"+m[1]), "-"), "-")
		}
	}
	return "custom"
}

// oldPlugin notes settings that containerd 2 (since Talos 1.8) reads elsewhere.
func (w *rewriter) oldPlugin(f field, toml string) {
	if !strings.Contains(toml, "io.containerd.grpc.v1.cri") {
		return
	}
	w.note(Hint, f, `containerd 2 has split the plugin "io.containerd.grpc.v1.cri": runtimes are in "io.containerd.cri.v1.runtime", `+
		`images (sandbox_image is pinned_images.sandbox there) in "io.containerd.cri.v1.images"`)
}

// etcFile says whether Talos lets a document write the file (types/runtime/etc_file.go of the machinery library).
func etcFile(file string) bool {
	name, ok := strings.CutPrefix(path.Clean(file), "/etc/")
	if !ok || strings.HasPrefix(name, ".") {
		return false
	}
	if slices.Contains([]string{"resolv.conf", "hosts", "machine-id", "extensions.yaml", "localtime", "os-release", "xattr.conf"}, name) {
		return false
	}
	top, _, _ := strings.Cut(name, "/")
	return !slices.Contains([]string{
		"apparmor.d", "apparmor", "ca-certificates", "cni", "cri", "iscsi", "kubernetes", "lvm", "nvme", "pki", "selinux", "ssl",
	}, top)
}
