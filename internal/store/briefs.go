package store

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ServerBrief is of a server what sums over thousands need: what it is, what it is to be, how it does, what it has.
type ServerBrief struct {
	ID, AccountID, Name string
	Provider            fleet.Provider
	Product, Location   string
	State               fleet.State
	Cancelled, Missing  bool
	ClusterID           string
	Role                fleet.Role
	Draft               bool   // what it is to be is not in effect
	UUID                string // that its Talos goes by: the board's, or the one that META gives; "" before the first look
	Looked              bool   // it told what it has
	Cores               int
	MemoryBytes         int64
	DiskBytes           int64 // of all its disks
}

// ServerBriefs reads all servers in brief, those that are missing too, by name.
func (s *Store) ServerBriefs(ctx context.Context) ([]ServerBrief, error) {
	all, err := list(ctx, s.reader, func(r row) (v ServerBrief, err error) {
		return v, r.Scan(&v.ID, &v.AccountID, &v.Name, &v.Provider, &v.Product, &v.Location, &v.State, &v.Cancelled, &v.Missing,
			&v.ClusterID, &v.Role, &v.Draft, &v.UUID, &v.Looked, &v.Cores, &v.MemoryBytes, &v.DiskBytes)
	}, `
		SELECT id, account_id, name, provider, product, location, state, cancelled, missing_at <> 0,
			COALESCE(cluster_id, ''), role, draft, CASE WHEN uuid_override = '' THEN uuid ELSE uuid_override END, facts <> '',
			cores, memory_bytes, disk_bytes
		FROM servers ORDER BY name, id`)
	return all, s.explain("list servers in brief", err)
}

// ServerLocations lists where servers are.
func (s *Store) ServerLocations(ctx context.Context) ([]string, error) {
	all, err := list(ctx, s.reader, scanName, `SELECT DISTINCT location FROM servers WHERE location <> '' ORDER BY location`)
	return all, s.explain("list the locations of servers", err)
}

// LatestOperations reads the newest operation of each of these servers, without its steps, by the server's id.
func (s *Store) LatestOperations(ctx context.Context, servers ...string) (map[string]*fleet.Operation, error) {
	latest := map[string]*fleet.Operation{}
	if len(servers) == 0 {
		return latest, nil
	}
	f := filter{}
	in(&f, "server_id", servers)
	f.and(`NOT EXISTS (SELECT 1 FROM operations newer WHERE newer.server_id = operations.server_id
		AND (newer.created_at > operations.created_at OR (newer.created_at = operations.created_at AND newer.id > operations.id)))`)
	all, err := list(ctx, s.reader, scanOperation, `SELECT `+operationColumns+` FROM operations`+f.where(), f.args...)
	for i := range all {
		latest[all[i].ServerID] = &all[i]
	}
	return latest, s.explain("read the newest operations of servers", err)
}
