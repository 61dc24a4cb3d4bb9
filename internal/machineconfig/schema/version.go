package schema

import (
	"strconv"
	"strings"
)

// order makes v1.14.1 comparable: minor*1000+patch. A version without a patch is the last one of its minor.
// It is false for what is no version of Talos 1.
func order(version string) (int, bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(version), "v"), "-")
	version, _, _ = strings.Cut(version, "+")
	parts := strings.Split(version, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "1" {
		return 0, false
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil || minor < 0 || minor > 9999 {
		return 0, false
	}
	if len(parts) == 2 {
		return minor*1000 + 999, true
	}
	patch, err := strconv.Atoi(parts[2])
	return minor*1000 + min(patch, 999), err == nil && patch >= 0
}

// release is the newest release of the table that is not newer than a version, but at least the first one of its
// minor: a patch release that the table lacks decodes as its neighbours do. What is no version counts as the newest.
func (t *table) release(version string) release {
	want, ok := order(version)
	if !ok {
		return release(len(t.releases) - 1)
	}
	found := 0
	for i, r := range t.releases {
		n, _ := order(r)
		if n <= want || n/1000 == want/1000 && n/1000 > t.minor(release(found)) {
			found = i
		}
	}
	return release(found)
}

func (t *table) minor(r release) int {
	n, _ := order(t.releases[r])
	return n / 1000
}

// say writes a release for people: v1.12 where it is the first of its minor, else v1.12.9.
func (t *table) say(r release) string {
	if r == 0 || t.minor(r-1) != t.minor(r) {
		return t.sayMinor(r)
	}
	return t.releases[r]
}

func (t *table) sayMinor(r release) string { return "v1." + strconv.Itoa(t.minor(r)) }
