package imagefactory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/image-factory/pkg/client"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Extension is an official system extension as built for one Talos version.
type Extension client.ExtensionInfo

// Overlay is what a board needs to boot, as built for one Talos version.
type Overlay client.OverlayInfo

// fresh is how long a list is not asked for again. What a released version has does not change any more; new
// versions come some times a month.
const fresh = 10 * time.Minute

// lists are what the factory said lately. Bulk work asks the same for every server.
type lists struct {
	mu  sync.Mutex
	all map[string]list
}

type list struct {
	at    time.Time
	items any
}

// remembered gives a list from before, or asks. Of a factory that does not answer, an old list is better than none.
func remembered[T any](c *Client, key string, ask func() ([]T, error)) ([]T, error) {
	c.lists.mu.Lock()
	had, ok := c.lists.all[key]
	c.lists.mu.Unlock()
	if ok && time.Since(had.at) < fresh {
		return slices.Clone(had.items.([]T)), nil
	}
	items, err := ask()
	if err != nil {
		if ok && fleet.KindOf(err) == fleet.Unavailable {
			return slices.Clone(had.items.([]T)), nil
		}
		return nil, err
	}
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	if c.lists.all == nil || len(c.lists.all) > 500 {
		c.lists.all = map[string]list{}
	}
	c.lists.all[key] = list{time.Now(), items}
	return slices.Clone(items), nil
}

// Versions lists the Talos versions the factory builds, "v1.14.1", pre-releases included, oldest first.
func (c *Client) Versions(ctx context.Context) ([]string, error) {
	versions, err := c.api.Versions(ctx)
	if err == nil && len(versions) == 0 {
		err = errors.New("the list is empty")
	}
	return versions, c.explain(ctx, err, "list Talos versions")
}

// Newest is the newest release that the factory builds, pre-releases aside, up to a version.
func (c *Client) Newest(ctx context.Context, upTo string) (string, error) {
	limit, err := semver.ParseTolerant(upTo)
	if err != nil {
		return "", checkVersion(upTo)
	}
	versions, err := remembered(c, "versions", func() ([]string, error) { return c.Versions(ctx) })
	if err != nil {
		return "", err
	}
	var newest semver.Version
	for _, text := range versions {
		if v, err := semver.ParseTolerant(text); err == nil && len(v.Pre) == 0 && v.LTE(limit) && v.GT(newest) {
			newest = v
		}
	}
	if newest.EQ(semver.Version{}) {
		return "", fleet.Errorf(fleet.NotFound, "image factory: it builds no release up to %s", upTo).WithHint("is %s an image factory?", c.base)
	}
	return "v" + newest.String(), nil
}

// Extensions lists the official extensions for a Talos version.
func (c *Client) Extensions(ctx context.Context, version string) ([]Extension, error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	return remembered(c, "extensions "+tag(version), func() ([]Extension, error) {
		found, err := c.api.ExtensionsVersions(ctx, tag(version))
		if err != nil {
			return nil, c.explain(ctx, err, "list extensions of Talos %s", version)
		}
		extensions := make([]Extension, len(found))
		for i, e := range found {
			extensions[i] = Extension(e)
		}
		return extensions, nil
	})
}

// Overlays lists the official overlays for a Talos version; versions before 1.7 have none.
func (c *Client) Overlays(ctx context.Context, version string) ([]Overlay, error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	return remembered(c, "overlays "+tag(version), func() ([]Overlay, error) {
		found, err := c.api.OverlaysVersions(ctx, tag(version))
		if err != nil {
			return nil, c.explain(ctx, err, "list overlays of Talos %s", version)
		}
		overlays := make([]Overlay, len(found))
		for i, o := range found {
			overlays[i] = Overlay(o)
		}
		return overlays, nil
	})
}
