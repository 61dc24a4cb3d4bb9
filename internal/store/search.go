package store

import (
	"context"
)

// Named is a record that has a name: what a search shows of it.
type Named struct {
	Kind   string // account, cluster, config or schematic
	ID     string
	Name   string
	Detail string // endpoint of a cluster, provider of an account
}

// Named lists the accounts, clusters, configs and schematics with these words in their names or endpoints, in any case;
// at most limit of all.
func (s *Store) Named(ctx context.Context, words string, limit int) ([]Named, error) {
	all, err := list(ctx, s.reader, func(r row) (n Named, err error) { return n, r.Scan(&n.Kind, &n.ID, &n.Name, &n.Detail) }, `
		SELECT 'cluster' AS kind, id, name, endpoint FROM clusters WHERE LOWER(name || ' ' || endpoint) LIKE $1 ESCAPE '!'
		UNION ALL SELECT 'account', id, name, provider FROM accounts WHERE LOWER(name) LIKE $1 ESCAPE '!'
		UNION ALL SELECT 'config', id, name, '' FROM configs WHERE LOWER(name) LIKE $1 ESCAPE '!'
		UNION ALL SELECT 'schematic', id, name, '' FROM schematics WHERE LOWER(name) LIKE $1 ESCAPE '!'
		ORDER BY kind, name LIMIT $2`, like(words), limit)
	return all, s.explain("search accounts, clusters, configs and schematics", err)
}

// ServerNames tells what servers are called, by id. An id that is none is not in it.
func (s *Store) ServerNames(ctx context.Context, ids ...string) (map[string]string, error) {
	if len(ids) == 0 {
		return map[string]string{}, nil
	}
	f := filter{}
	in(&f, "id", ids)
	return s.named(ctx, "servers", `SELECT id, name FROM servers`+f.where(), f.args...)
}

// ClusterNames tells what all clusters are called, by id, without opening what is sealed of them.
func (s *Store) ClusterNames(ctx context.Context) (map[string]string, error) {
	return s.named(ctx, "clusters", `SELECT id, name FROM clusters`)
}

func (s *Store) named(ctx context.Context, what, query string, args ...any) (map[string]string, error) {
	all, err := list(ctx, s.reader, func(r row) (n Named, err error) { return n, r.Scan(&n.ID, &n.Name) }, query, args...)
	names := make(map[string]string, len(all))
	for _, n := range all {
		names[n.ID] = n.Name
	}
	return names, s.explain("read the names of "+what, err)
}
