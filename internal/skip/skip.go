// Package skip ends a test where something is missing that it needs: root, a program, an emulated machine. It is for
// developers' machines. CI runs everything, or fails: a test that nobody runs proves nothing.
package skip

import (
	"os"
	"testing"
)

// UnlessCI skips a test and says what is missing. Where the environment variable CI is set, that is a failure.
func UnlessCI(t testing.TB, format string, args ...any) {
	t.Helper()
	end, why := t.Skipf, "NOT TESTED HERE: "
	if os.Getenv("CI") != "" {
		end, why = t.Fatalf, "CI runs every test, and cannot run this one: "
	}
	end(why+format, args...)
}
