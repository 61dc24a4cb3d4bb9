package extension

import (
	"fmt"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// versions are the Talos versions that an extension must work on.
type versions struct {
	oldest semver.Version // of them; zero if nobody says so
	asked  bool           // somebody asked for this one, not only the manifest
}

// since says of a thing that came with a version what older ones do without it: "" if it must not work on them.
func (v versions) since(first string) string {
	if v.oldest.EQ(semver.Version{}) || v.oldest.GTE(semver.MustParse(first)) {
		return ""
	}
	if v.asked {
		return fmt.Sprintf("Talos v%s", v.oldest)
	}
	return fmt.Sprintf("Talos v%s, for which the manifest says it is,", v.oldest)
}

// minors are the first versions of each minor that we know, oldest first.
func minors() []semver.Version {
	var all []semver.Version
	for minor := uint64(6); minor <= 14; minor++ {
		all = append(all, semver.Version{Major: 1, Minor: minor})
	}
	return all
}

// parseTalos reads a version that somebody wrote, with or without its v.
func parseTalos(text string) (semver.Version, error) {
	v, err := semver.ParseTolerant(text)
	if err != nil {
		return v, fleet.Errorf(fleet.Invalid, "%q is not a Talos version", text).WithHint("write it like v1.14.1")
	}
	return v, nil
}

// constraint reads the range of versions of a manifest as Talos does: a v before a digit does not count
// (machinery extensions/validate.go).
func constraint(text string) (semver.Range, error) {
	plain := strings.Builder{}
	for i, c := range text {
		if c == 'v' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
			continue
		}
		plain.WriteRune(c)
	}
	return semver.ParseRange(plain.String())
}

// oldest is the first of the minors that we know which a range has; zero if it has none.
func oldest(r semver.Range) semver.Version {
	for _, v := range minors() {
		if r(v) {
			return v
		}
	}
	return semver.Version{}
}

// moved are the paths that had another name before Talos merged / into /usr, with the first version of the new one
// (machinery extensions/extensions.go of v1.9.6, v1.10.0, v1.12.0, v1.13.0).
type moved struct{ path, since, before string }

func newerPaths() []moved {
	return []moved{
		{"/usr/lib/firmware", "1.10.0", "/lib/firmware"},
		{"/usr/lib/modules", "1.10.0", "/lib/modules"},
		{"/usr/lib/ld-linux-x86-64.so.2", "1.10.0", "/lib64/ld-linux-x86-64.so.2"},
		{"/usr/lib/ld-linux-aarch64.so.1", "1.12.0", ""},
		{"/usr/bin/ldconfig", "1.10.0", "/sbin/ldconfig"},
		{"/usr/lib/udev/rules.d", "1.9.0", "/usr/etc/udev/rules.d"},
		{"/etc/ld.so.conf", "1.13.0", ""},
		{"/etc/ld.so.cache", "1.13.0", ""},
		{"/usr/bin/nv", "1.13.0", ""},
	}
}
