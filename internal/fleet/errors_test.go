package fleet_test

import (
	"errors"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestAnErrorKeepsItsKindItsHintAndItsCauses(t *testing.T) {
	cause, other := errors.New("connection refused"), errors.New("timed out")
	for _, tc := range []struct {
		why  string
		err  error
		text string
	}{
		{"of words", fleet.Errorf(fleet.Refused, "no disk %s", "sda").WithHint("look"), "no disk sda"},
		{"with a cause", fleet.Errorf(fleet.Refused, "SSH: %w", cause).WithHint("look"), "SSH: connection refused"},
		{"with two causes", fleet.Errorf(fleet.Refused, "SSH: %w: %w", other, cause).WithHint("look"), "SSH: timed out: connection refused"},
	} {
		if tc.err.Error() != tc.text || fleet.KindOf(tc.err) != fleet.Refused || fleet.HintOf(tc.err) != "look" {
			t.Errorf("%s: %s %q, hint %q", tc.why, fleet.KindOf(tc.err), tc.err, fleet.HintOf(tc.err))
		}
		if tc.why != "of words" && !errors.Is(tc.err, cause) {
			t.Errorf("%s: the cause is lost", tc.why)
		}
	}
	if fleet.KindOf(cause) != fleet.Internal || fleet.HintOf(cause) != "" {
		t.Errorf("nobody's error is %s", fleet.KindOf(cause))
	}
}
