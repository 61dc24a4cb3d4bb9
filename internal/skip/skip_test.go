package skip

import (
	"fmt"
	"testing"
)

// ended notes how a test was ended.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper() {}

func (e *ended) Fatalf(format string, args ...any) {
	e.how += "failed: " + fmt.Sprintf(format, args...)
}

func (e *ended) Skipf(format string, args ...any) {
	e.how += "skipped: " + fmt.Sprintf(format, args...)
}

func TestWhatIsMissingFailsCI(t *testing.T) {
	for _, tc := range []struct{ ci, want string }{
		{"", "skipped: NOT TESTED HERE: no zstd"},
		{"true", "failed: CI runs every test, and cannot run this one: no zstd"},
		{"1", "failed: CI runs every test, and cannot run this one: no zstd"},
	} {
		t.Setenv("CI", tc.ci)
		e := &ended{TB: t}
		if UnlessCI(e, "no %s", "zstd"); e.how != tc.want {
			t.Errorf("CI=%q: it %s", tc.ci, e.how)
		}
	}
}
