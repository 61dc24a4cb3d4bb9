package machineconfig

import (
	"bytes"
	"slices"
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
