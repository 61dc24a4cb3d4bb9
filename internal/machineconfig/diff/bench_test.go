package diff_test

import (
	"bytes"
	"syscall"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

func BenchmarkCompare(b *testing.B) {
	old := controlPlane(b, "v1.14.1")
	for name, new := range map[string][]byte{
		"equal bytes":     old,
		"equal meaning":   shuffled(b, old),
		"one field":       bytes.Replace(old, []byte("port: 7445"), []byte("port: 7446"), 1),
		"another version": controlPlane(b, "v1.13.9"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := diff.Compare(old, new, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("redactor", func(b *testing.B) {
		for b.Loop() {
			if _, err := diff.NewRedactor(old); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestComparingTwoFullConfigsTakesMilliseconds(t *testing.T) {
	old := controlPlane(t, "v1.14.1")
	new := patched(t, old, "apiVersion: v1alpha1\nkind: KubePrismConfig\nport: 7446\n")
	if _, err := diff.Compare(old, new, nil); err != nil { // reads the library's types
		t.Fatal(err)
	}
	const rounds = 20
	before := used(t)
	for range rounds {
		if _, err := diff.Compare(old, new, nil); err != nil {
			t.Fatal(err)
		}
	}
	if each := (used(t) - before) / rounds; each > 100*time.Millisecond { // it is 2; the race detector makes it fifteen times that
		t.Errorf("it takes %v", each)
	}
}

// used is the processor time of this process, which other work on the machine does not change.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
