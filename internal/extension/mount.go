package extension

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// mount checks a mount of the OCI runtime specification as Talos reads it. Its YAML reader knows no JSON names, so
// that the two of several words are written in small letters.
func (d *document) mount(n *yaml.Node, at string) {
	mapping := d.items(d.mappedID)
	given := d.mapping(
		n, at,
		field{"source", d.texts(anyText)},
		field{"destination", d.path},
		field{"type", d.texts(d.mountType)},
		field{"options", d.items(d.texts(d.mountOption))},
		field{"uidmappings", mapping},
		field{"gidmappings", mapping},
	)
	if given == nil {
		return
	}
	d.need(n, given, at, "destination", "write where it is to be in the container: destination: /PATH")
	d.need(n, given, at, "source", "write a path on the host: source: /var/lib/NAME; for a tmpfs, /run")
	d.source(given["source"], at)
	d.bind(n, given, at)
	if to := given["destination"]; to != nil && strings.Trim(resolve(to).Value, "/") == "" && resolve(to).Value != "" {
		d.fail(to, join(at, "destination"), "mount it below a folder", "it would hide the container's whole root file system")
	}
}

func (d *document) mappedID(n *yaml.Node, at string) {
	number := func(n *yaml.Node, at string) {
		var v uint32
		if n = resolve(n); n.Decode(&v) != nil {
			d.fail(n, at, "write a number from 0", "%s is not a number of a user or group", describe(n))
		}
	}
	d.mapping(n, at, field{"containerid", number}, field{"hostid", number}, field{"size", number})
}

func (d *document) mountType(n *yaml.Node, at, text string) {
	known := []string{"bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay", "none"}
	if text == "" || slices.Contains(known, text) {
		return
	}
	hint := "types are " + strings.Join(known, ", ")
	if near := fleet.Nearest(text, known); len(near) > 0 {
		hint = "write " + near[0]
	}
	d.warn(n, at, hint, "%q is a type of mount that containers rarely have", text)
}

// mountOptions are those that runc knows (libcontainer/specconv); it hands others to the file system, which mostly
// refuses them.
func mountOptions() []string {
	all := []string{
		"async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "iversion", "lazytime", "loud", "mand",
		"noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
		"nosuid", "nosymfollow", "private", "rbind", "relatime", "remount", "ro", "rw", "shared", "silent", "slave",
		"strictatime", "suid", "symfollow", "sync", "unbindable", "tmpcopyup", "idmap", "ridmap",
	}
	for _, recursive := range []string{
		"private", "shared", "slave", "unbindable", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime",
		"noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "symfollow", "nosymfollow",
	} {
		all = append(all, "r"+recursive)
	}
	return all
}

func (d *document) mountOption(n *yaml.Node, at, text string) {
	if strings.Contains(text, ",") {
		d.fail(n, at, "write each option as an item of its own: ["+strings.Join(strings.Split(text, ","), ", ")+"]", "%q are several options in one", text)
		return
	}
	if slices.Contains(mountOptions(), text) || strings.Contains(text, "=") {
		return
	}
	hint := "usual ones are bind, rbind, ro, rw, rshared, rslave"
	if near := fleet.Nearest(text, mountOptions()); len(near) > 0 {
		hint = "write " + strings.Join(near, " or ")
	}
	d.warn(n, at, hint, "no mount option is called %q", text)
}

// source checks what is mounted. Talos makes a folder of every source that is not there yet, whatever the type of the
// mount, and does not start the service if it cannot.
func (d *document) source(n *yaml.Node, at string) {
	if n == nil || resolve(n).Kind != yaml.ScalarNode || resolve(n).Value == "" {
		return
	}
	n, at = resolve(n), join(at, "source")
	if !strings.HasPrefix(n.Value, "/") {
		d.fail(n, at, "write a path on the host that begins with a slash; for a tmpfs, /run",
			"%q is not an absolute path, and Talos makes a folder of it on the host, whatever the type of the mount", n.Value)
		return
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(n.Value, "/"), "/")
	if !slices.Contains([]string{"bin", "boot", "dev", "etc", "lib", "lib64", "opt", "proc", "root", "run", "sbin", "sys", "system", "tmp", "usr", "var", ""}, top) {
		d.warn(n, at, "use a path below /var, which is kept, or /run, which is not: "+strconv.Quote("/var"+n.Value),
			"Talos has no /%s and cannot make one, because its root file system is read-only", top)
	}
}

// bind checks that a mount of a path of the host is one: the type alone does not make it so (runc looks at the
// options).
func (d *document) bind(n *yaml.Node, given map[string]*yaml.Node, at string) {
	var kind string
	if t := given["type"]; t != nil {
		kind = resolve(t).Value
	}
	bound := false
	if o := given["options"]; o != nil {
		for _, option := range resolve(o).Content {
			bound = bound || slices.Contains([]string{"bind", "rbind"}, resolve(option).Value)
		}
	}
	if kind == "bind" && !bound {
		d.fail(n, join(at, "options"), "add bind, or rbind to have what is mounted below it too", "neither bind nor rbind is in it, without which the mount is refused")
	}
	if kind == "" && !bound {
		d.fail(n, join(at, "type"), "write type: bind and options: [bind], or [rbind] to have what is mounted below it too", "it is missing")
	}
}

// duration checks a length of time; Talos refuses a mere number.
func (d *document) duration(n *yaml.Node, at string) {
	d.texts(func(n *yaml.Node, at, text string) {
		t, err := time.ParseDuration(text)
		switch {
		case err != nil:
			hint := "write it like 30s or 2m"
			if _, err := strconv.Atoi(text); err == nil {
				hint = "write " + text + "s"
			}
			d.fail(n, at, hint, "%q is not a length of time with its unit", text)
		case t <= 0:
			d.fail(n, at, "write it like 30s or 2m", "%s is no time at all", text)
		}
	})(n, at)
}
