package extension

import (
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ServiceFiles is where Talos looks for service files, in the root file system; only for *.yaml.
const ServiceFiles = constants.ExtensionServiceConfigPath

// Containers is where the root file systems of the services' containers are, each in a folder of the service's name.
const Containers = constants.ExtensionServiceRootfsPath

// Service is one service of an extension.
type Service struct {
	services.Spec
	File string // in the extension's folder
}

// ID is what Talos calls the service: talosctl service ID, and the name for other services' depends.
func (s Service) ID() string { return "ext-" + s.Name }

// ParseService reads a service file. The file's name is for the problems only. The service is what Talos makes of the
// file, so far as it can be read.
func ParseService(file string, text []byte) (Service, Problems) {
	return parseService(file, text, versions{})
}

func parseService(file string, text []byte, talos versions) (Service, Problems) {
	d := &document{file: file, talos: talos}
	s := Service{File: file}
	root := d.parse(text)
	if root == nil {
		return s, d.problems
	}
	d.service(root)
	// Talos has the last word. What its decoder and its validation refuse was usually said before, and better.
	err := root.Decode(&s.Spec)
	if err == nil {
		err = s.Validate()
	}
	if err != nil && d.problems.Err() == nil {
		d.add(Problem{Line: lineOf(err), Text: strings.TrimSpace(err.Error())})
	}
	return s, d.problems
}

var serviceName = regexp.MustCompile(`^[-_a-z0-9]+$`)

// service checks the whole file.
func (d *document) service(root *yaml.Node) {
	given := d.mapping(
		root, "",
		field{"name", d.texts(d.name)},
		field{"container", d.container},
		field{"depends", d.items(d.dependency)},
		field{"restart", d.choice(services.RestartKindStrings()...)},
		field{"logToConsole", d.logToConsole},
		field{"runnerMode", d.choice(services.RunnerModeStrings()...)},
		field{"preShutdown", d.preShutdown},
	)
	if given == nil {
		return
	}
	d.need(root, given, "", "name", "write name: NAME; Talos will call the service ext-NAME")
	d.need(root, given, "", "container", "write container: and below it entrypoint: ./PROGRAM")
	d.need(root, given, "", "restart", "write restart: always, or never or untilSuccess for what ends by itself")
	host := given["runnerMode"] != nil && strings.EqualFold(resolve(given["runnerMode"]).Value, services.RunnerModeHost.String())
	if mode := given["runnerMode"]; mode != nil && host {
		if old := d.talos.since("1.14.0"); old != "" {
			d.report(mode, "runnerMode", "use a container, or say in the manifest that it is for >= v1.14.1", "%s does not know it and runs a container instead", old)
		}
		if container := given["container"]; container != nil {
			d.hostMode(resolve(container))
		}
	}
	if hook := given["preShutdown"]; hook != nil && !host {
		d.fail(hook, "preShutdown", "remove it, or write runnerMode: host", "Talos runs it only for services in runnerMode: host")
	}
	if name := given["name"]; name != nil {
		d.selfDependency(resolve(name).Value, given["depends"])
	}
}

// report is an error if somebody asked for the version that it is about; a warning if only the manifest says so.
func (d *document) report(n *yaml.Node, at, hint, format string, args ...any) {
	if d.talos.asked {
		d.fail(n, at, hint, format, args...)
		return
	}
	d.warn(n, at, hint, format, args...)
}

func (d *document) name(n *yaml.Node, at, text string) {
	if text == "" || serviceName.MatchString(text) {
		return
	}
	clean := strings.Trim(regexp.MustCompile(`[^-_a-z0-9]+`).ReplaceAllString(strings.ToLower(text), "-"), "-")
	hint := "use a-z, 0-9, - and _"
	if clean != "" {
		hint = "write " + clean
	}
	d.fail(n, at, hint, "%q has other characters than a-z, 0-9, - and _", text)
	if strings.HasPrefix(text, "ext-") {
		d.warn(n, at, "write "+strings.TrimPrefix(text, "ext-"), "Talos puts ext- before it by itself")
	}
}

func (d *document) container(n *yaml.Node, at string) {
	given := d.mapping(
		n, at,
		field{"entrypoint", d.texts(anyText)},
		field{"environment", d.items(d.texts(d.variable))},
		field{"environmentFile", d.environmentFile},
		field{"args", d.items(d.texts(anyText))},
		field{"mounts", d.items(d.mount)},
		field{"security", d.security},
	)
	d.need(n, given, at, "entrypoint", "write entrypoint: ./PROGRAM, as seen from "+Containers+"/NAME")
}

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*=`)

func (d *document) variable(n *yaml.Node, at, text string) {
	if variableForm.MatchString(text) {
		return
	}
	hint := "write NAME=value"
	if name, value, ok := strings.Cut(text, ":"); ok {
		hint = "write " + strings.TrimSpace(name) + "=" + strings.TrimSpace(value)
	}
	d.fail(n, at, hint, "%q is not of the form NAME=value", text)
}

func (d *document) environmentFile(n *yaml.Node, at string) {
	before := len(d.problems)
	d.path(n, at)
	if len(d.problems) == before && resolve(n).Value != "" {
		d.warn(n, at, "write depends: [{configuration: true}] and give the variables in an ExtensionServiceConfig document of the machine config",
			"it is deprecated, and the service waits for ever for a file that nobody makes")
	}
}

// logToConsole came with Talos 1.9; older ones ignore it.
func (d *document) logToConsole(n *yaml.Node, at string) {
	d.flag(n, at)
	if old := d.talos.since("1.9.0"); old != "" {
		d.warn(n, at, "", "%s does not know it and logs as ever", old)
	}
}

func (d *document) security(n *yaml.Node, at string) {
	d.mapping(
		n, at,
		field{"writeableSysfs", d.flag},
		field{"maskedPaths", d.items(d.path)},
		field{"readonlyPaths", d.items(d.path)},
		field{"writeableRootfs", d.flag},
		field{"rootfsPropagation", d.choice(propagations()...)},
	)
}

// propagations are the words that runc takes for the propagation of a root file system (libcontainer
// specconv/spec_linux.go).
func propagations() []string {
	return []string{"shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"}
}

func (d *document) preShutdown(n *yaml.Node, at string) {
	given := d.mapping(
		n, at,
		field{"entrypoint", d.path},
		field{"args", d.items(d.texts(anyText))},
		field{"timeout", d.duration},
	)
	d.need(n, given, at, "entrypoint", "write the absolute path of a program on the host: entrypoint: /usr/local/bin/PROGRAM")
	d.need(n, given, at, "timeout", "write how long the shutdown may wait for it: timeout: 30s")
}

// hostMode says what a service cannot have that runs on the host itself.
func (d *document) hostMode(container *yaml.Node) {
	if container.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(container.Content); i += 2 {
		key, value := container.Content[i], resolve(container.Content[i+1])
		at := "container." + key.Value
		switch key.Value {
		case "mounts", "security":
			if len(value.Content) > 0 {
				d.fail(key, at, "remove it, or remove runnerMode: host", "a service in runnerMode: host has no container for it")
			}
		case "entrypoint":
			if value.Kind == yaml.ScalarNode && value.Value != "" {
				d.path(value, at)
			}
		}
	}
}

// dependency checks one item of depends.
func (d *document) dependency(n *yaml.Node, at string) {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		hint := "write one of service: NAME, path: /PATH, network: [addresses], time: true, configuration: true"
		if n.Kind == yaml.ScalarNode {
			hint = "write - service: " + n.Value
		}
		d.fail(n, at, hint, "%s does not say what to wait for", describe(n))
		return
	}
	given := d.mapping(
		n, at,
		field{"service", d.texts(d.serviceDependency)},
		field{"path", d.path},
		field{"network", d.items(d.choice(nethelpers.StatusStrings()...))},
		field{"time", d.flag},
		field{"configuration", d.configuration},
	)
	var set []string
	for _, name := range []string{"service", "path", "network", "time", "configuration"} {
		if v := given[name]; v != nil && says(resolve(v)) {
			set = append(set, name)
		}
	}
	switch len(set) {
	case 1:
	case 0:
		d.fail(n, at, "write one of service: NAME, path: /PATH, network: [addresses], time: true, configuration: true, or remove the item", "it waits for nothing")
	default:
		d.fail(n, at, "begin a new item for each: put a dash before "+strings.Join(set[1:], " and "), "Talos takes only one dependency an item, and here are %s", strings.Join(set, " and "))
	}
}

// says is false for what Talos takes as not given.
func says(n *yaml.Node) bool {
	var on bool
	switch {
	case null(n), n.Kind == yaml.ScalarNode && n.Value == "", n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		return false
	case n.Tag == "!!bool" && n.Decode(&on) == nil:
		return on
	}
	return true
}

// configuration came with Talos 1.7; to an older one the item is empty, for which it refuses the file.
func (d *document) configuration(n *yaml.Node, at string) {
	d.flag(n, at)
	if old := d.talos.since("1.7.0"); old != "" {
		d.report(n, at, "say in the manifest that it is for >= v1.7.0", "%s does not know it and refuses the whole file", old)
	}
}

// talosServices are the services of Talos itself (internal/app/machined/pkg/system/services).
func talosServices() []string {
	return []string{"apid", "auditd", "containerd", "cri", "dashboard", "etcd", "kubelet", "machined", "syslogd", "trustd", "udevd"}
}

func (d *document) serviceDependency(n *yaml.Node, at, text string) {
	if text == "" || strings.HasPrefix(text, "ext-") || slices.Contains(talosServices(), text) {
		return
	}
	hint := "services of Talos are " + strings.Join(talosServices(), ", ") + "; those of extensions are called ext-NAME"
	if near := fleet.Nearest(text, talosServices()); len(near) > 0 {
		hint = "write " + strings.Join(near, " or ") + ", or ext-" + text + " if it is of an extension"
	}
	d.warn(n, at, hint, "Talos has no service %q, and this one would wait for it for ever", text)
}

// selfDependency finds a service that waits for itself.
func (d *document) selfDependency(name string, depends *yaml.Node) {
	if depends == nil || name == "" {
		return
	}
	for _, item := range resolve(depends).Content {
		item = resolve(item)
		for i := 0; i+1 < len(item.Content) && item.Kind == yaml.MappingNode; i += 2 {
			if item.Content[i].Value == "service" && resolve(item.Content[i+1]).Value == "ext-"+name {
				d.fail(item, "depends", "remove the item", "the service waits for itself")
			}
		}
	}
}
