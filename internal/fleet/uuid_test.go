package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// talosTest is what Talos does with the UUID of a machine whose disks are encrypted by nodeID, word for word
// (internal/pkg/encryption/keys/nodeid.go).
func talosTest(nodeUUID string) error {
	if nodeUUID == "" {
		return fmt.Errorf("machine UUID is not populated %s", nodeUUID)
	}
	counts := map[rune]int{}
	for _, s := range nodeUUID {
		counts[s]++
		if counts[s] > len(nodeUUID)/2 {
			return fmt.Errorf("machine UUID %s entropy check failed", nodeUUID)
		}
	}
	return nil
}

func TestAUUIDThatWillNotDoIsRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct{ uuid, why string }{
		{"", "is missing"},
		{"  ", "is missing"},
		{"Not Settable", "is not a UUID"},
		{"4c4c4544-0042-3510-8050", "is not a UUID"},
		{"00000000-0000-0000-0000-d050996b1234", "mostly one character"},
		{"ffffffff-ffff-ffff-ffff-ffffffffffff", "mostly one character"},
		{"00000000-0000-0000-0000-000000000000", "ends in zeroes"},
		{"4c4c4544-0042-3510-8050-000000000000", "ends in zeroes"},
		{"03000200-0400-0500-0006-000700080009", "placeholder"},
		{"FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE", "placeholder"},
	} {
		err := CheckUUID("db-1", c.uuid)
		if KindOf(err) != Refused || !strings.Contains(err.Error(), c.why) || !strings.Contains(HintOf(err), "server show db-1") || !strings.Contains(HintOf(err), "--override-uuid") {
			t.Errorf("%q: %v, hint %q", c.uuid, err, HintOf(err))
		}
	}
	for _, good := range []string{"4c4c4544-0042-3510-8050-b4c04f384833", " 4C4C4544-0042-3510-8050-B4C04F384833\n"} {
		if err := CheckUUID("db-1", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// What Talos could not make a disk key of is refused, and nothing that it could but placeholders.
func TestAUUIDIsTestedAsTalosDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 20000 {
		digits := "0123456789abcdef"[:1+r.IntN(16)]
		text := []byte("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
		for i, c := range text {
			if c == 'x' {
				text[i] = digits[min(r.IntN(len(digits)), r.IntN(len(digits)))]
			}
		}
		uuid := string(text)
		ours, theirs := CheckUUID("x", uuid), talosTest(uuid)
		if theirs != nil {
			refused++
		}
		if (ours != nil) != (theirs != nil) && (theirs != nil || !strings.HasSuffix(uuid, "-000000000000")) {
			t.Fatalf("%s: we say %v, Talos says %v", uuid, ours, theirs)
		}
	}
	if refused < 500 {
		t.Errorf("only %d of them were bad ones", refused)
	}
}
