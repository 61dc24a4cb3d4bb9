package diff_test

import (
	"bytes"
	"testing"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// FuzzCompare looks for panics and hangs, and holds that a config does not differ from itself, that what differs one
// way differs the other way, and that all of it can be written.
func FuzzCompare(f *testing.F) {
	for _, text := range []string{
		head + "machine: {type: worker, certSANs: [a], sysctls: {a: '1'}}", leaky, "a: &a {b: 1}\nc: {<<: *a}", "{}", "- a", "a: !!binary x", "? {a: b}\n: c",
		"machine: {network: {interfaces: [{interface: a, addresses: [x]}]}, files: [null], ca: {crt: x}}", "version: v1alpha1\nmachine: []\ncluster: 1",
		"apiVersion: v1alpha1\nkind: VolumeConfig\nname: x\nprovisioning: {minSize: x, maxSize: 10%}", "machine: {install: {diskSelector: {size: '>= 1'}}}",
		"kind: [a]\napiVersion: {a: b}\nname: 1", "a: 2001-01-01\nb: .nan\nc: .inf\nd: 0x10\ne: 1e400\n1: 2", "\xff", "a: \"\\u0000\"", "--- |\n x",
	} {
		f.Add([]byte(text), []byte(head+"machine: {type: controlplane}"))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		_, _ = diff.NewRedactor(a, b)
		if bytes.Equal(a, b) {
			return // not read at all
		}
		d, err := diff.Compare(a, b, nil)
		if err != nil {
			return
		}
		back, err := diff.Compare(b, a, nil)
		if err != nil || back.Empty() != d.Empty() {
			t.Fatalf("%v: there %v, back %v", err, d.Empty(), back.Empty())
		}
		if same, err := diff.Compare(a, append([]byte("# again\n"), a...), nil); err == nil && !same.Empty() {
			t.Fatalf("differs from itself:\n%s", diff.Text(same, nil))
		}
		v, err := diff.Apply(d, "v1.13.9")
		if err != nil {
			t.Fatal(err)
		}
		first := diff.Text(d, v)
		if text := all(t, a, b, nil); text == "" || diff.Text(d, v) != first {
			t.Fatal("nothing is said, or not the same twice")
		}
	})
}
