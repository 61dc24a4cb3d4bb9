package extension

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestTheServiceFilesOfTheReferenceAreRead(t *testing.T) {
	for file, want := range map[string]services.Spec{
		"hello-world.yaml": {
			Name:      "hello-world",
			Container: services.Container{Entrypoint: "./hello", Args: []string{"--config", "config.ini"}},
			Depends:   []services.Dependency{{Network: []nethelpers.Status{nethelpers.StatusAddresses}}},
			Restart:   services.RestartAlways,
		},
		"everything.yaml": {
			Name: "hello-world",
			Container: services.Container{
				Entrypoint: "./hello-world", Environment: []string{"XDG_RUNTIME_DIR=/run"}, Args: []string{"-f"},
				Mounts: []specs.Mount{{Source: "/var/log/audit", Destination: "/var/log/audit", Type: "bind", Options: []string{"rshared", "bind", "ro"}}},
				Security: services.Security{
					MaskedPaths: []string{"/should/be/masked"}, ReadonlyPaths: []string{"/path/that/should/be/readonly", "/another/readonly/path"},
					WriteableRootfs: true, WriteableSysfs: true, RootfsPropagation: "shared",
				},
			},
			Depends: []services.Dependency{
				{Configuration: true},
				{Service: "cri"},
				{Path: "/run/machined/machined.sock"},
				{Network: []nethelpers.Status{nethelpers.StatusAddresses, nethelpers.StatusConnectivity, nethelpers.StatusHostname, nethelpers.StatusEtcFiles}},
				{Time: true},
			},
			Restart: services.RestartUntilSuccess, LogToConsole: true,
		},
	} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		got, problems := ParseService(file, text)
		if len(problems) > 0 {
			t.Errorf("%s: %v", file, problems)
		}
		if diff := cmp.Diff(want, got.Spec); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// service is a file that is right but for one piece; line 4 is the piece's first line.
func service(piece string) string {
	text := "name: a\nrestart: always\n"
	if !strings.HasPrefix(piece, "container:") {
		text += "container: {entrypoint: ./a}\n"
	} else {
		text += "# container\n"
	}
	return text + piece + "\n"
}

func TestEachMalformedFieldHasItsSentence(t *testing.T) {
	for _, c := range []struct{ why, yaml, want, hint string }{
		{"nothing", "", "line 1: there is nothing in it", ""},
		{"comments", "# later\n", "line 1: there is nothing in it", ""},
		{"no YAML", "name: a\ncontainer: [\n", "line 3: this is not YAML: ", "indent with spaces"},
		{"a tab", "name: a\n\tcontainer: b\n", "line 2: this is not YAML: ", "indent with spaces"},
		{"a list", "- name: a\n", "line 1: a list is not a mapping", "name: …"},
		{"two documents", "name: a\nrestart: always\ncontainer: {entrypoint: ./a}\n---\nname: b\n", "line 4: Talos reads only the first document", "one file for each service"},

		{"no name", "restart: always\ncontainer: {entrypoint: ./a}\n", "line 1: name: it is missing", "write name: NAME"},
		{"an empty name", "name: ''\nrestart: always\ncontainer: {entrypoint: ./a}\n", "line 1: name: there is nothing in it", "write name: NAME"},
		{"capitals and spaces in the name", "name: Hello World\nrestart: always\ncontainer: {entrypoint: ./a}\n", `line 1: name: "Hello World" has other characters than a-z, 0-9, - and _`, "write hello-world"},
		{"a dot in the name", "name: a.b\nrestart: always\ncontainer: {entrypoint: ./a}\n", `line 1: name: "a.b" has other characters`, "write a-b"},
		{"a list as name", "name: [a]\nrestart: always\ncontainer: {entrypoint: ./a}\n", "line 1: name: a list is not a text", "one value"},
		{"the name twice", "name: a\nname: b\nrestart: always\ncontainer: {entrypoint: ./a}\n", "line 2: name: it is there twice", "keep one"},
		{"a misspelt field", service("logtoConsole: true"), "line 4: logtoConsole: there is no such field, so Talos ignores it", "write logToConsole"},
		{"a field of another program", service("image: ghcr.io/a"), "line 4: image: there is no such field", "the fields here are name, container"},

		{"no container", "name: a\nrestart: always\n", "line 1: container: it is missing", "write container: and below it entrypoint"},
		{"a program as container", service("container: ./a"), `line 4: container: "./a" is not a mapping of fields`, "entrypoint: …"},
		{"no entrypoint", service("container:\n  args: [a]"), "line 5: container.entrypoint: it is missing", "write entrypoint: ./PROGRAM"},
		{"an empty entrypoint", service("container:\n  entrypoint:"), "line 5: container.entrypoint: there is nothing in it", "write entrypoint: ./PROGRAM"},
		{"args as one text", service("container:\n  entrypoint: ./a\n  args: --config config.ini"), `line 6: container.args: "--config config.ini" is not a list`, "with a dash"},
		{"a mapping in args", service("container:\n  entrypoint: ./a\n  args:\n    - a: b"), "line 7: container.args[0]: a mapping is not a text", "in quotes"},
		{"an empty arg", service("container:\n  entrypoint: ./a\n  args:\n    - b\n    -"), "line 8: container.args[1]: the item is empty", "after the dash"},
		{"environment as Kubernetes has it", service("container:\n  entrypoint: ./a\n  environment:\n    - 'A: b'"), `line 7: container.environment[0]: "A: b" is not of the form NAME=value`, "write A=b"},
		{"environment as a mapping", service("container:\n  entrypoint: ./a\n  environment:\n    A: b"), "line 7: container.environment: a mapping is not a list", "with a dash"},
		{"a variable without value", service("container:\n  entrypoint: ./a\n  environment: [A]"), `line 6: container.environment[0]: "A" is not of the form NAME=value`, "write NAME=value"},
		{"a relative environment file", service("container:\n  entrypoint: ./a\n  environmentFile: a.env"), `line 6: container.environmentFile: "a.env" is not an absolute path`, `"/a.env"`},

		{"a mount without source", service("container:\n  entrypoint: ./a\n  mounts:\n    - destination: /a\n      type: bind\n      options: [bind]"), "line 7: container.mounts[0].source: it is missing", "source: /var/lib/NAME"},
		{"a mount without destination", service("container:\n  entrypoint: ./a\n  mounts:\n    - source: /var/a\n      type: bind\n      options: [bind]"), "line 7: container.mounts[0].destination: it is missing", "destination: /PATH"},
		{"a relative destination", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: a, type: bind, options: [bind]}"), `line 7: container.mounts[0].destination: "a" is not an absolute path`, `"/a"`},
		{"a mount over everything", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: /, type: bind, options: [bind]}"), "line 7: container.mounts[0].destination: it would hide the container's whole root", "below a folder"},
		{"a tmpfs as Docker has it", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: tmpfs, destination: /tmp, type: tmpfs}"), `line 7: container.mounts[0].source: "tmpfs" is not an absolute path, and Talos makes a folder of it`, "for a tmpfs, /run"},
		{"bind without bind", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: /a, type: bind, options: [ro]}"), "line 7: container.mounts[0].options: neither bind nor rbind", "add bind"},
		{"no type", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: /a}"), "line 7: container.mounts[0].type: it is missing", "type: bind"},
		{"options as fstab has them", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: /a, type: bind, options: ['bind,ro']}"), `line 7: container.mounts[0].options[0]: "bind,ro" are several options in one`, "[bind, ro]"},
		{"an OCI name that Talos' YAML does not know", service("container:\n  entrypoint: ./a\n  mounts:\n    - {source: /var/a, destination: /a, type: bind, options: [bind], uidMappings: []}"), "line 7: container.mounts[0].uidMappings: there is no such field", "write uidmappings"},
		{"a mount as Docker has it", service("container:\n  entrypoint: ./a\n  mounts: ['/var/a:/a']"), `line 6: container.mounts[0]: "/var/a:/a" is not a mapping`, "source: …"},

		{"a relative masked path", service("container:\n  entrypoint: ./a\n  security:\n    maskedPaths: [proc/kcore]"), `line 7: container.security.maskedPaths[0]: "proc/kcore" is not an absolute path`, `"/proc/kcore"`},
		{"readonlyPaths as a text", service("container:\n  entrypoint: ./a\n  security:\n    readonlyPaths: /proc"), `line 7: container.security.readonlyPaths: "/proc" is not a list`, "with a dash"},
		{"a switch that is no switch", service("container:\n  entrypoint: ./a\n  security:\n    writeableSysfs: rw"), `line 7: container.security.writeableSysfs: "rw" is neither true nor false`, "true or false"},
		{"writable as others spell it", service("container:\n  entrypoint: ./a\n  security:\n    writableRootfs: true"), "line 7: container.security.writableRootfs: there is no such field", "write writeableRootfs"},
		{"another propagation", service("container:\n  entrypoint: ./a\n  security:\n    rootfsPropagation: share"), `line 7: container.security.rootfsPropagation: "share" is none of shared, slave`, "write shared"},

		{"depends as a mapping", service("depends:\n  service: cri"), "line 5: depends: a mapping is not a list", "with a dash"},
		{"only a name", service("depends: [cri]"), `line 4: depends[0]: "cri" does not say what to wait for`, "write - service: cri"},
		{"an unknown dependency", service("depends:\n  - file: /a"), "line 5: depends[0].file: there is no such field", "the fields here are service, path"},
		{"no dependency", service("depends:\n  - time: false"), "line 5: depends[0]: it waits for nothing", "or remove the item"},
		{"two in one", service("depends:\n  - service: cri\n    path: /a"), "line 5: depends[0]: Talos takes only one dependency an item, and here are service and path", "before path"},
		{"a relative path", service("depends:\n  - path: ./a"), `line 5: depends[0].path: "./a" is not an absolute path`, `"/a"`},
		{"an unknown state of the network", service("depends:\n  - network: [adresses]"), `line 5: depends[0].network[0]: "adresses" is none of addresses, connectivity, hostname, etcfiles`, "write addresses"},
		{"one state of the network", service("depends:\n  - network: addresses"), `line 5: depends[0].network: "addresses" is not a list`, "with a dash"},
		{"time is no switch", service("depends:\n  - time: synced"), `line 5: depends[0].time: "synced" is neither true nor false`, "true or false"},
		{"configuration is no switch", service("depends:\n  - configuration: a.conf"), `line 5: depends[0].configuration: "a.conf" is neither true nor false`, "true or false"},
		{"it waits for itself", service("depends:\n  - service: ext-a"), "line 5: depends: the service waits for itself", "remove the item"},

		{"no restart", "name: a\ncontainer: {entrypoint: ./a}\n", "line 1: restart: it is missing", "write restart: always"},
		{"restart as systemd has it", "name: a\ncontainer: {entrypoint: ./a}\nrestart: on-failure\n", `line 3: restart: "on-failure" is none of always, never, untilSuccess`, "one of these"},
		{"restart misspelt", "name: a\ncontainer: {entrypoint: ./a}\nrestart: until-success\n", `line 3: restart: "until-success" is none of`, "write untilSuccess"},
		{"logToConsole is no switch", service("logToConsole: kernel"), `line 4: logToConsole: "kernel" is neither true nor false`, "true or false"},

		{"another mode", service("runnerMode: vm"), `line 4: runnerMode: "vm" is none of container, host`, "one of these"},
		{"on the host, relative", service("runnerMode: host"), `line 3: container.entrypoint: "./a" is not an absolute path`, `"/a"`},
		{"on the host, with mounts", "name: a\nrestart: always\nrunnerMode: host\ncontainer:\n  entrypoint: /a\n  mounts: [{source: /var/a, destination: /a, type: bind, options: [bind]}]\n", "line 6: container.mounts: a service in runnerMode: host has no container", "remove it"},
		{"on the host, with security", "name: a\nrestart: always\nrunnerMode: host\ncontainer:\n  entrypoint: /a\n  security: {writeableSysfs: true}\n", "line 6: container.security: a service in runnerMode: host has no container", "remove it"},
		{"a hook in a container", service("preShutdown: {entrypoint: /a, timeout: 30s}"), "line 4: preShutdown: Talos runs it only for services in runnerMode: host", "remove it"},
		{"a hook without time", "name: a\nrestart: always\nrunnerMode: host\ncontainer: {entrypoint: /a}\npreShutdown: {entrypoint: /a}\n", "line 5: preShutdown.timeout: it is missing", "timeout: 30s"},
		{"a time without unit", "name: a\nrestart: always\nrunnerMode: host\ncontainer: {entrypoint: /a}\npreShutdown: {entrypoint: /a, timeout: 30}\n", `line 5: preShutdown.timeout: "30" is not a length of time`, "write 30s"},
		{"no time at all", "name: a\nrestart: always\nrunnerMode: host\ncontainer: {entrypoint: /a}\npreShutdown: {entrypoint: /a, timeout: 0s}\n", "line 5: preShutdown.timeout: 0s is no time at all", "30s"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, problems := ParseService("a.yaml", []byte(c.yaml))
			err := problems.Err()
			if err == nil || fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("taken: %v", problems)
			}
			for _, p := range problems {
				if strings.HasPrefix(p.Error(), "a.yaml, "+c.want) {
					if !strings.Contains(p.Hint, c.hint) {
						t.Errorf("the hint is %q, want %q", p.Hint, c.hint)
					}
					return
				}
			}
			t.Errorf("got %v, want %s", err, c.want)
		})
	}
}

func TestWhatMayGoWrongIsAWarning(t *testing.T) {
	for _, c := range []struct{ why, yaml, want string }{
		{"a deprecated file", service("container: {entrypoint: ./a, environmentFile: /var/a.env}"), "line 4: container.environmentFile: it is deprecated"},
		{"a service that Talos has not", service("depends: [{service: criu}]"), `line 4: depends[0].service: Talos has no service "criu"`},
		{"a folder that cannot be made", service("container: {entrypoint: ./a, mounts: [{source: /data, destination: /data, type: bind, options: [bind]}]}"), "line 4: container.mounts[0].source: Talos has no /data"},
		{"a mount option", service("container: {entrypoint: ./a, mounts: [{source: /var/a, destination: /a, type: bind, options: [bind, readonly]}]}"), `line 4: container.mounts[0].options[1]: no mount option is called "readonly"`},
		{"a type of mount", service("container: {entrypoint: ./a, mounts: [{source: /var/a, destination: /a, type: nfs}]}"), `line 4: container.mounts[0].type: "nfs"`},
	} {
		_, problems := ParseService("a.yaml", []byte(c.yaml))
		if problems.Err() != nil || len(problems.Warnings()) != 1 || !strings.HasPrefix(problems[0].Error(), "a.yaml, "+c.want) {
			t.Errorf("%s: %v", c.why, problems)
		}
	}
}

func TestWhatTalosTakesIsTaken(t *testing.T) {
	for _, c := range []struct{ why, yaml string }{
		{"other cases", "name: a\ncontainer: {entrypoint: ./a}\nrestart: Always\n"},
		{"numbers for texts", service("container: {entrypoint: ./a, args: [1, true]}")},
		{"yes for true", service("logToConsole: yes")},
		{"empty lists", service("container: {entrypoint: ./a, security: {maskedPaths: [], readonlyPaths: []}}")},
		{"anchors", "name: &n a\ncontainer:\n  entrypoint: ./a\n  args: [*n]\nrestart: always\n"},
		{"merges", "name: a\ncontainer: {<<: {entrypoint: ./a}}\nrestart: always\n"},
		{"fields left empty", service("depends:\nlogToConsole:")},
		{"a program on the host", "name: a\nrunnerMode: host\nrestart: always\ncontainer: {entrypoint: /usr/local/bin/a, security: {}}\npreShutdown: {entrypoint: /usr/local/bin/b, args: [-x], timeout: 1m}\n"},
		{"a tmpfs", service("container: {entrypoint: ./a, mounts: [{source: /run, destination: /tmp, type: tmpfs, options: [nosuid, size=64m]}]}")},
	} {
		if s, problems := ParseService("a.yaml", []byte(c.yaml)); len(problems) > 0 || s.Validate() != nil {
			t.Errorf("%s: %v", c.why, problems)
		}
	}
}

// Whatever Talos would refuse is said, and nothing brings the program down.
func FuzzParseService(f *testing.F) {
	for _, seed := range []string{service("depends: [{network: [addresses]}]"), "a: &a [*a]", "container: {<<: [1]}", "- - -", "name: !!binary aGk="} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, problems := ParseService("a.yaml", text); problems.Err() == nil && s.Validate() != nil {
			t.Errorf("Talos says %v", s.Validate())
		}
	})
}
