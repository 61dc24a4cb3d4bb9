package fleet

import (
	"slices"
	"testing"
)

func TestNearestWordsAreWhatSomebodyMeant(t *testing.T) {
	known := []string{"siderolabs/gvisor", "siderolabs/gvisor-debug", "siderolabs/iscsi-tools", "siderolabs/zfs", "restart", "environment", "environmentFile"}
	for _, c := range []struct {
		why, word string
		want      []string
	}{
		{"a letter too few", "siderolabs/gvisr", []string{"siderolabs/gvisor"}},
		{"another case", "Restart", []string{"restart"}},
		{"two swapped", "retsart", []string{"restart"}},
		{"only the end of a name", "iscsi-tools", []string{"siderolabs/iscsi-tools"}},
		{"the beginning of several", "gvisor", []string{"siderolabs/gvisor", "siderolabs/gvisor-debug"}},
		{"nothing like it", "nonsense", nil},
		{"nothing at all", "", nil},
		{"the word itself is no suggestion", "restart", nil},
	} {
		if got := Nearest(c.word, known); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}
