package recipe

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// oldest is the first minor of Talos 1 that this program supports.
const oldest = 6

// Span is a range of Talos minors: from Since to Until, both included and written as 1.8; "" is no bound.
type Span struct {
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
}

func (s Span) has(minor int) bool {
	return (s.Since == "" || minor >= mustMinor(s.Since)) && (s.Until == "" || minor <= mustMinor(s.Until))
}

// On says whether a Talos version (v1.14.1) is in the range. What is no version is not.
func (s Span) On(version string) bool {
	minor, err := minorOf(version)
	return err == nil && s.has(minor)
}

// String says the range in words: "Talos 1.8 to 1.13".
func (s Span) String() string {
	switch {
	case s.Since != "" && s.Until != "":
		return fmt.Sprintf("Talos %s to %s", s.Since, s.Until)
	case s.Since != "":
		return fmt.Sprintf("Talos %s and newer", s.Since)
	case s.Until != "":
		return fmt.Sprintf("Talos up to %s", s.Until)
	}
	return "every Talos version"
}

func (s Span) check() error {
	for _, bound := range []string{s.Since, s.Until} {
		if bound == "" {
			continue
		}
		if _, err := minorOf(bound); err != nil {
			return err
		}
	}
	return nil
}

// mustMinor reads a bound that check has seen.
func mustMinor(bound string) int {
	minor, _ := minorOf(bound)
	return minor
}

// minorOf reads the minor of v1.14.1, v1.14 or 1.14.
func minorOf(version string) (int, error) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) >= 2 && parts[0] == "1" {
		if minor, err := strconv.Atoi(parts[1]); err == nil && minor >= oldest {
			return minor, nil
		}
	}
	return 0, fleet.Errorf(fleet.Invalid, "Talos version %q is none that recipes know", version).
		WithHint("write it as v1.14.1; the first supported is 1.%d", oldest)
}
