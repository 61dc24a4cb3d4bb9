package machineconfig

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestExplainNamesThePatchOfEveryValue(t *testing.T) {
	in := input(t, "v1.11.6", "v1.34.1", fleet.Worker,
		Patch{"all", "machine:\n  sysctls:\n    a: \"1\"\n    b: \"2\"\n"},
		Patch{"mine", "machine:\n  sysctls:\n    b: \"3\"\n  network:\n    interfaces:\n      - interface: eth0\n        addresses: [10.0.0.1/24]\n"},
		Patch{"idle", "machine:\n  sysctls:\n    a: \"1\"\n"},
		Patch{"more", "machine:\n  network:\n    interfaces:\n      - interface: eth0\n        mtu: 1400\n        addresses: [10.0.0.2/24]\n"},
		Patch{"less", "cluster:\n  discovery:\n    $patch: delete\n"})
	out, err := Explain(in)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"machine.type": "", "machine.sysctls.a": "all", "machine.sysctls.b": "mine", "machine.network.hostname": "talos-manager: hostname",
		"machine.network.interfaces[0].interface": "mine", "machine.network.interfaces[0].mtu": "more",
		"machine.network.interfaces[0].addresses[0]": "mine", "machine.network.interfaces[0].addresses[1]": "more",
	}
	for _, v := range out.Values {
		if by, ok := want[v.Path]; ok && by != v.By {
			t.Errorf("%s is by %q, want %q", v.Path, v.By, by)
		} else if ok && out.Lines[v.Line-1] != by {
			t.Errorf("line %d (%s) is by %q, want %q", v.Line, v.Path, out.Lines[v.Line-1], by)
		}
		delete(want, v.Path)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v in\n%s", want, out.YAML)
	}
	if !slices.Equal(out.Idle, []string{"idle"}) {
		t.Errorf("idle: %q", out.Idle)
	}
	if len(out.Removed) != 1 || out.Removed[0].Path != "cluster.discovery" || out.Removed[0].By != "less" {
		t.Errorf("removed: %+v", out.Removed)
	}
	if len(out.Lines) != bytes.Count(out.YAML, []byte("\n")) {
		t.Errorf("%d lines of %d", len(out.Lines), bytes.Count(out.YAML, []byte("\n")))
	}
}

// On every version: each value stands on the line it is said to, that line has the same origin, and every patch is
// named somewhere.
func TestExplainCoversTheWholeText(t *testing.T) {
	c := NewCache(0)
	for _, v := range everyVersion() {
		in := readme(t, v.talos, v.kubernetes, fleet.ControlPlane)
		in.KubeSpan = true
		in.Patches = append(in.Patches, Patch{"json", `[{"op": "add", "path": "/machine/certSANs/-", "value": "${private_ip}"}]`}, Patch{"comment", "# nothing\n"})
		out, err := c.Explain(in)
		if err != nil {
			t.Fatalf("%s: %v", v.talos, err)
		}
		if rendered, err := c.Render(in); err != nil || !bytes.Equal(rendered, out.YAML) {
			t.Errorf("%s: Explain and Render differ (%v)", v.talos, err)
		}
		lines := strings.Split(strings.TrimSuffix(string(out.YAML), "\n"), "\n")
		if len(lines) != len(out.Lines) {
			t.Fatalf("%s: %d lines of %d", v.talos, len(out.Lines), len(lines))
		}
		named := map[string]bool{}
		for _, o := range out.Values {
			named[o.By] = true
			key := strings.Trim(o.Path[strings.LastIndexAny(o.Path, ".[")+1:], `"]`)
			if line := lines[o.Line-1]; !strings.Contains(line, key) && !strings.Contains(line, "- ") {
				t.Errorf("%s: %s is not on line %d: %s", v.talos, o.Path, o.Line, line)
			}
			if out.Lines[o.Line-1] != o.By {
				t.Errorf("%s: line %d is by %q, its value %s by %q", v.talos, o.Line, out.Lines[o.Line-1], o.Path, o.By)
			}
		}
		for _, name := range []string{"", "talos-manager: hostname", "talos-manager: KubeSpan", "json", in.Patches[0].Name, in.Patches[1].Name, in.Patches[2].Name, in.Patches[3].Name} {
			if !named[name] {
				t.Errorf("%s: nothing is by %q", v.talos, name)
			}
		}
		if !slices.Equal(out.Idle, []string{"comment"}) {
			t.Errorf("%s: idle %q", v.talos, out.Idle)
		}
	}
}
