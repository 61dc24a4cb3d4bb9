package fleet

import (
	"strings"
	"testing"
)

func TestCheckImageSHA256(t *testing.T) {
	for _, tc := range []struct {
		why, sum string
		good     bool
	}{
		{"unknown", "", true},
		{"as sha256sum prints it", strings.Repeat("0a", 32), true},
		{"in capitals", strings.Repeat("0A", 32), true},
		{"too short", strings.Repeat("a", 63), false},
		{"too long", strings.Repeat("a", 66), false},
		{"no hex", strings.Repeat("g", 64), false},
		{"with the file's name", strings.Repeat("a", 64) + "  metal.raw.zst", false},
		{"of another kind", strings.Repeat("a", 40), false},
	} {
		if err := CheckImageSHA256(tc.sum); (err == nil) != tc.good || (err != nil && KindOf(err) != Invalid) {
			t.Errorf("%s: %v", tc.why, err)
		}
	}
}
