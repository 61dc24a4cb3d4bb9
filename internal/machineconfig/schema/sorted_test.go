package schema_test

import (
	"iter"
	"maps"
	"slices"
)

// sorted walks a map in the order of its keys, so that a seed gives the same test again.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
