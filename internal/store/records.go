package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// What records have in common: ids, names, and the errors about them.

// stamp gives a new record its id and time where it has none.
func (s *Store) stamp(id *string, at *time.Time) {
	if *id == "" {
		*id = fleet.NewID()
	}
	if at.IsZero() {
		*at = s.now()
	}
	*at = at.UTC().Truncate(time.Microsecond)
}

// lookUp reads the one record that the query finds for ref. A record whose id is ref beats one of that name:
// queries for records whose names are unique find at most one of each, and ids are not valid choices of names
// that a person makes.
func lookUp[T any](ctx context.Context, s *Store, what, ref string, scan func(row) (T, error), query string) (T, error) {
	var none T
	all, err := list(ctx, s.reader, scan, query+` ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1`, ref)
	if err != nil {
		return none, s.explain("read "+what+" "+ref, err)
	}
	if len(all) == 0 {
		return none, missing(what, ref)
	}
	return all[0], nil
}

// one says NotFound for a statement that should have changed one row and changed none.
func one(n int64, err error, what, ref string) error {
	if err == nil && n == 0 {
		return missing(what, ref)
	}
	return err
}

// taken turns the refusal of a unique index on names into a Conflict.
func taken(err error, what, name string) error {
	if !duplicate(err) {
		return err
	}
	return fleet.Errorf(fleet.Conflict, "there is a %s %q already", what, name).WithHint("choose another name")
}

func scanName(r row) (name string, err error) { return name, r.Scan(&name) }

// some names at most five, and how many more there are.
func some(names []string) string {
	if len(names) <= 5 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
}
