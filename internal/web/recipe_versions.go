package web

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// talosVersions are the versions to choose from: those of the clusters, the newest, and each minor that is known.
func (s *site) talosVersions(ctx context.Context, first ...option) ([]option, error) {
	clusters, err := s.store.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string][]string{}
	for _, c := range clusters {
		used[c.TalosVersion] = append(used[c.TalosVersion], c.Name)
	}
	versions := talosMinors()
	for version := range used {
		if !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
	}
	slices.SortStableFunc(versions, func(a, b string) int {
		switch {
		case machineconfig.Later(a, b):
			return -1
		case machineconfig.Later(b, a):
			return 1
		}
		return strings.Compare(b, a)
	})
	out := slices.Clone(first)
	for _, v := range versions {
		name := v
		if by := used[v]; by != nil {
			name += ", of " + some(by, 2)
		}
		out = append(out, option{v, name})
	}
	return out, nil
}

// talosMinors are the first releases of the minors that are known, newest first, with the newest of all.
func talosMinors() []string {
	newest := machineconfig.NewestTalos()
	out := []string{newest}
	var major, minor int
	if _, err := fmt.Sscanf(newest, "v%d.%d", &major, &minor); err != nil {
		return out
	}
	for minor--; ; minor-- {
		version := fmt.Sprintf("v%d.%d.0", major, minor)
		if minor < 0 || machineconfig.CheckTalos(version) != nil {
			return out
		}
		out = append(out, version)
	}
}
