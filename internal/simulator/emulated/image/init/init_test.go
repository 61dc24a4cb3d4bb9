package main

import (
	"maps"
	"net"
	"testing"

	"github.com/siderolabs/go-adv/adv/talos"
	"github.com/siderolabs/talos/pkg/machinery/meta"
)

// written is META as Talos' own library writes it: both copies.
func written(t *testing.T, values map[uint8]string) []byte {
	t.Helper()
	a, err := talos.NewADV(nil)
	if err != nil {
		t.Fatal(err)
	}
	for tag, value := range values {
		if !a.SetTag(tag, value) {
			t.Fatalf("tag %#x is not taken", tag)
		}
	}
	b, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMetaOfTalosOwnLibraryIsRead(t *testing.T) {
	both := written(t, map[uint8]string{0xb: "code", 0xf: "uuid"})
	want := map[uint32]string{0xb: "code", 0xf: "uuid"}
	for _, tc := range []struct {
		why    string
		damage []int // bytes
		ok     bool
	}{
		{"both copies are whole", nil, true},
		{"the first one is damaged", []int{10}, true},
		{"the second one is damaged", []int{block + 10}, true},
		{"the first one has another mark", []int{0}, true},
		{"both are damaged", []int{10, block + 10}, false},
	} {
		b := append([]byte(nil), both...)
		for _, i := range tc.damage {
			b[i] ^= 1
		}
		got, err := decode(b)
		if (err == nil) != tc.ok || tc.ok && !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v", tc.why, got, err)
		}
	}
}

func TestMetaValuesOfTheKernelCommandLineAreRead(t *testing.T) {
	text := meta.Values{{Key: 0xb, Value: "code"}, {Key: 0xf, Value: "u-2"}}.Encode(true)
	m := &machine{uuid: "u-1", cmdline: "talos.environment=A=b talos.environment=INSTALLER_META_BASE64=" + text}
	if err := m.metaOfCommandLine(); err != nil || m.meta[keyCode] != "code" || m.uuid != "u-2" {
		t.Errorf("%v, %s, %v", m.meta, m.uuid, err)
	}
	m = &machine{cmdline: "talos.environment=INSTALLER_META_BASE64=nonsense"}
	if err := m.metaOfCommandLine(); err == nil {
		t.Error("nonsense is taken")
	}
}

func TestVariablesAreFilledInAsTalosDoes(t *testing.T) {
	card, err := net.ParseMAC("52:54:00:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{uuid: "u-1", number: "s 1", nic: net.Interface{HardwareAddr: card}, meta: map[uint32]string{keyCode: "c&1"}}
	bare := &machine{uuid: "u-1"}
	for _, tc := range []struct {
		why, source, want string
		m                 *machine
	}{
		{"the URL of the manager", "http://h/config?uuid=${uuid}&code=${code}", "http://h/config?code=c%261&uuid=u-1", m},
		{"in any case, in the middle", "http://h/?x=a-${UUID}-b&m=${Mac}&s=${serial}", "http://h/?m=52%3A54%3A00%3A00%3A00%3A01&s=s+1&x=a-u-1-b", m},
		{"an empty uuid", "http://h/?uuid=", "http://h/?uuid=u-1", m},
		{"a uuid that is given", "http://h/?uuid=other", "http://h/?uuid=other", m},
		{"nothing to fill is not even sorted", "http://h/?b=1&a=2", "http://h/?b=1&a=2", m},
		{"only the query has variables", "http://h/${uuid}?a=2", "http://h/${uuid}?a=2", m},
		{"a variable without a value stays", "http://h/?code=${code}", "http://h/?code=%24%7Bcode%7D", bare},
	} {
		if got, err := tc.m.fill(tc.source); got != tc.want || err != nil {
			t.Errorf("%s: %s, %v", tc.why, got, err)
		}
	}
}

func TestTheFirstKernelArgumentOfANameCounts(t *testing.T) {
	line := "BOOT_IMAGE=/A/vmlinuz talos.platform=metal talos.config=http://a/?x=1 talos.config=http://b xtalos.config=no"
	if got := arguments(line, "talos.config"); len(got) != 2 || got[0] != "http://a/?x=1" {
		t.Error(got)
	}
	if got := arguments(line, "talos.conf"); got != nil {
		t.Error(got)
	}
}
