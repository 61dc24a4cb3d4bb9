package imagefactory

import (
	"context"
	"slices"

	"github.com/blang/semver/v4"
)

// Releases lists the Talos releases that the factory builds, pre-releases aside, newest first: from a version's minor on,
// up to another's.
func (c *Client) Releases(ctx context.Context, from, upTo string) ([]string, error) {
	first, err := semver.ParseTolerant(from)
	if err != nil {
		return nil, checkVersion(from)
	}
	last, err := semver.ParseTolerant(upTo)
	if err != nil {
		return nil, checkVersion(upTo)
	}
	versions, err := remembered(c, "versions", func() ([]string, error) { return c.Versions(ctx) })
	if err != nil {
		return nil, err
	}
	var found []semver.Version
	for _, text := range versions {
		v, err := semver.ParseTolerant(text)
		if err == nil && len(v.Pre) == 0 && !minor(v).LT(minor(first)) && !minor(v).GT(minor(last)) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b semver.Version) int { return b.Compare(a) })
	var out []string
	for _, v := range found {
		out = append(out, "v"+v.String())
	}
	return out, nil
}

func minor(v semver.Version) semver.Version { return semver.Version{Major: v.Major, Minor: v.Minor} }
