package web

import (
	"context"
	"fmt"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// names are what records are called, by id.
type names map[string]string

// clusterNames reads what the clusters are called.
func (s *site) clusterNames(ctx context.Context) (names, error) {
	return s.store.ClusterNames(ctx)
}

// serverNames reads what these servers are called; one that was removed has no name.
func (s *site) serverNames(ctx context.Context, ids ...string) (names, error) {
	var some []string
	for _, id := range ids {
		if id != "" && !slices.Contains(some, id) {
			some = append(some, id)
		}
	}
	return s.store.ServerNames(ctx, some...)
}

// activeByServer reads the operation that each server is in.
func (s *site) activeByServer(ctx context.Context, f store.OperationFilter) (map[string]*fleet.Operation, error) {
	f.Active = true
	all, err := s.store.Operations(ctx, f)
	out := map[string]*fleet.Operation{}
	for i := range all {
		if all[i].ServerID != "" {
			out[all[i].ServerID] = &all[i]
		}
	}
	return out, err
}

// clusterOptions, configOptions, schematicOptions and vswitchOptions are what a form offers to choose from.
func (s *site) clusterOptions(ctx context.Context, first ...option) ([]option, error) {
	all, err := s.store.Clusters(ctx)
	return options(first, all, func(c fleet.Cluster) option { return option{c.ID, c.Name} }), err
}

func (s *site) configOptions(ctx context.Context, first ...option) ([]option, error) {
	all, err := s.store.Configs(ctx)
	return options(first, all, func(c fleet.Config) option { return option{c.ID, c.Name} }), err
}

func (s *site) schematicOptions(ctx context.Context, first ...option) ([]option, error) {
	all, err := s.store.Schematics(ctx)
	return options(first, all, func(c fleet.Schematic) option { return option{c.ID, c.Name} }), err
}

func options[T any](first []option, all []T, convert func(T) option) []option {
	out := append([]option(nil), first...)
	for _, v := range all {
		out = append(out, convert(v))
	}
	return out
}

// some names the first of many, and says how many more there are.
func some(names []string, most int) string {
	text := ""
	for i, name := range names {
		switch {
		case i == most:
			return text + fmt.Sprintf(" and %d more", len(names)-most)
		case i > 0:
			text += ", "
		}
		text += name
	}
	return text
}
