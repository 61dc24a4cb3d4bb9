package store

import (
	"context"
	"slices"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Sync is what a listing changed.
type Sync struct {
	Added   []fleet.Server
	Changed []fleet.Server // as they are now
	Back    []fleet.Server // were missing, are listed again
	Missing []fleet.Server // are not listed any more, since now
	// Empty: the provider listed no server though the account had some. Then nothing is marked missing: a wrong
	// login or a fault is likelier than a fleet that is gone.
	Empty bool
}

// SyncServers writes a complete listing of an account in one transaction. Servers are known by ProviderID, and
// their VSwitchID is the vSwitch's provider id here (ours in everything that is returned). A listing never deletes:
// absent servers get MissingAt, which goes when they are back. State, Facts and Assignment are not touched, except
// that a new server is fleet.Known. SyncedAt of the account becomes now and its problem goes.
func (s *Store) SyncServers(ctx context.Context, accountID string, servers []fleet.Server, vswitches []fleet.VSwitch, now time.Time) (Sync, error) {
	var result Sync
	now = now.UTC().Truncate(time.Microsecond)
	err := s.write(ctx, "sync account "+accountID, func(t *tx) error {
		result = Sync{}
		// Also the lock that orders two syncs of one account.
		n, err := affected(t.ExecContext(ctx, `UPDATE accounts SET synced_at = $2, problem = '' WHERE id = $1`, accountID, micros(now)))
		if err := one(n, err, "account", accountID); err != nil {
			return err
		}
		t.changed("accounts", accountID)
		ids, err := s.syncVSwitches(ctx, t, accountID, vswitches, len(servers) > 0 || len(vswitches) > 0, now)
		if err != nil {
			return err
		}
		known, err := list(ctx, t, scanServer, `SELECT `+serverColumns+`, facts FROM servers WHERE account_id = $1 ORDER BY id`, accountID)
		if err != nil {
			return err
		}
		result = compare(known, listed(accountID, servers, ids), now)
		return s.writeSync(ctx, t, accountID, result, now)
	})
	return result, err
}

// listed makes records of a listing. A server that stands in it twice, because pages shifted while they were read,
// counts once.
func listed(accountID string, servers []fleet.Server, vswitches map[string]string) []fleet.Server {
	var all []fleet.Server
	seen := map[string]bool{}
	for _, v := range servers {
		if seen[v.ProviderID] {
			continue
		}
		seen[v.ProviderID] = true
		v.AccountID, v.VSwitchID = accountID, vswitches[v.VSwitchID]
		v.Name, v.Status, v.Product, v.Location = text(v.Name), text(v.Status), text(v.Product), text(v.Location)
		v.CreatedAt = v.CreatedAt.UTC().Truncate(time.Microsecond)
		all = append(all, v)
	}
	return all
}

// compare says what a listing changes of the known servers. It is pure.
func compare(known, listed []fleet.Server, now time.Time) Sync {
	var r Sync
	before := map[string]fleet.Server{}
	present := 0
	for _, v := range known {
		before[v.ProviderID] = v
		if v.MissingAt.IsZero() {
			present++
		}
	}
	for _, v := range listed {
		old, ok := before[v.ProviderID]
		delete(before, v.ProviderID)
		merged := merge(old, v, now)
		switch {
		case !ok:
			r.Added = append(r.Added, merged)
		case !old.MissingAt.IsZero():
			r.Back = append(r.Back, merged)
		case provided(old) != provided(merged):
			r.Changed = append(r.Changed, merged)
		}
	}
	if r.Empty = len(listed) == 0 && present > 0; r.Empty {
		return r
	}
	for _, v := range known {
		if _, absent := before[v.ProviderID]; absent && v.MissingAt.IsZero() {
			v.MissingAt = now
			r.Missing = append(r.Missing, v)
		}
	}
	return r
}

// merge is the listed server with what is ours of the old one. An unknown power state keeps the known one: Robot's
// listings do not say.
func merge(old, v fleet.Server, now time.Time) fleet.Server {
	v.State, v.Facts, v.Assignment = old.State, old.Facts, old.Assignment
	v.SeenAt, v.MissingAt = now, time.Time{}
	if v.Power == fleet.PowerUnknown || v.Power == "" {
		v.Power = old.Power
	}
	if v.Power == "" {
		v.Power = fleet.PowerUnknown
	}
	if old.ID != "" {
		v.ID = old.ID
		if v.CreatedAt.IsZero() {
			v.CreatedAt = old.CreatedAt
		}
		return v
	}
	if v.ID == "" {
		v.ID = fleet.NewID()
	}
	if v.CreatedAt.IsZero() {
		v.CreatedAt = now
	}
	v.State = fleet.Known
	return v
}

// fromProvider is what a listing says of a server, comparable.
type fromProvider struct {
	provider                        fleet.Provider
	name, product, location, status string
	architecture                    fleet.Architecture
	power                           fleet.Power
	locked, cancelled               bool
	ipv4, ipv6, ipv6Net, vswitch    string
	createdAt                       int64
}

func provided(v fleet.Server) fromProvider {
	return fromProvider{
		provider: v.Provider, name: v.Name, product: v.Product, location: v.Location, status: v.Status,
		architecture: v.Architecture, power: v.Power, locked: v.Locked, cancelled: v.Cancelled,
		ipv4: v.IPv4, ipv6: v.IPv6, ipv6Net: v.IPv6Net, vswitch: v.VSwitchID, createdAt: micros(v.CreatedAt),
	}
}

// writeSync writes only rows that changed, and the time of the sighting for all others in one statement.
func (s *Store) writeSync(ctx context.Context, t *tx, accountID string, r Sync, now time.Time) error {
	for _, group := range [][]fleet.Server{r.Added, r.Changed, r.Back} {
		for _, v := range group {
			if err := s.upsert(ctx, t, v); err != nil {
				return err
			}
		}
	}
	for _, v := range r.Missing {
		if _, err := t.ExecContext(ctx, `UPDATE servers SET missing_at = $2 WHERE id = $1`, v.ID, micros(now)); err != nil {
			return err
		}
		t.changed("servers", v.ID)
	}
	if r.Empty {
		return nil
	}
	_, err := t.ExecContext(ctx, `UPDATE servers SET seen_at = $2 WHERE account_id = $1 AND missing_at = 0`, accountID, micros(now))
	return err
}

func (s *Store) upsert(ctx context.Context, t *tx, v fleet.Server) error {
	t.changed("servers", v.ID)
	_, err := t.ExecContext(ctx, `
		INSERT INTO servers (id, account_id, provider, provider_id, name, product, location, architecture, status, power, locked,
			ipv4, ipv6, ipv6_net, vswitch_id, cancelled, created_at, seen_at, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (account_id, provider_id) DO UPDATE SET
			provider = excluded.provider, name = excluded.name, product = excluded.product, location = excluded.location,
			architecture = excluded.architecture, status = excluded.status, power = excluded.power, locked = excluded.locked,
			ipv4 = excluded.ipv4, ipv6 = excluded.ipv6, ipv6_net = excluded.ipv6_net, vswitch_id = excluded.vswitch_id,
			cancelled = excluded.cancelled, created_at = excluded.created_at, seen_at = excluded.seen_at, missing_at = 0`,
		v.ID, v.AccountID, v.Provider, v.ProviderID, v.Name, v.Product, v.Location, v.Architecture, v.Status, v.Power, v.Locked,
		v.IPv4, v.IPv6, v.IPv6Net, ref(v.VSwitchID), v.Cancelled, micros(v.CreatedAt), micros(v.SeenAt), v.State)
	return err
}

// syncVSwitches upserts the listed vSwitches and gives our ids by provider id. mark: absent ones become missing.
func (s *Store) syncVSwitches(ctx context.Context, t *tx, accountID string, all []fleet.VSwitch, mark bool, now time.Time) (map[string]string, error) {
	ids := map[string]string{}
	before, err := list(ctx, t, scanVSwitch, `SELECT `+vswitchColumns+` FROM vswitches WHERE account_id = $1`, accountID)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		v.Name = text(v.Name)
		if i := slices.IndexFunc(before, func(o fleet.VSwitch) bool { return o.ProviderID == v.ProviderID }); i >= 0 {
			if o := before[i]; o.Name == v.Name && o.VLAN == v.VLAN && o.MissingAt.IsZero() {
				ids[v.ProviderID] = o.ID
				continue
			}
		}
		var id string
		err := t.QueryRowContext(ctx, `
			INSERT INTO vswitches (id, account_id, provider_id, name, vlan) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account_id, provider_id) DO UPDATE SET name = excluded.name, vlan = excluded.vlan, missing_at = 0
			RETURNING id`, fleet.NewID(), accountID, v.ProviderID, v.Name, v.VLAN).Scan(&id)
		if err != nil {
			return nil, err
		}
		ids[v.ProviderID] = id
		t.changed("vswitches", id)
	}
	if !mark {
		return ids, nil
	}
	for _, v := range before {
		if ids[v.ProviderID] != "" || !v.MissingAt.IsZero() {
			continue
		}
		if _, err := t.ExecContext(ctx, `UPDATE vswitches SET missing_at = $2 WHERE id = $1`, v.ID, micros(now)); err != nil {
			return nil, err
		}
		t.changed("vswitches", v.ID)
	}
	return ids, nil
}

const vswitchColumns = `id, account_id, provider_id, name, vlan, missing_at`

func scanVSwitch(r row) (v fleet.VSwitch, err error) {
	return v, r.Scan(&v.ID, &v.AccountID, &v.ProviderID, &v.Name, &v.VLAN, moment{&v.MissingAt})
}

// VSwitches lists vSwitches by name, of one account or ("") of all, missing ones included.
func (s *Store) VSwitches(ctx context.Context, accountID string) ([]fleet.VSwitch, error) {
	f := filter{}
	if accountID != "" {
		f.and("account_id = $?", accountID)
	}
	all, err := list(ctx, s.reader, scanVSwitch, `SELECT `+vswitchColumns+` FROM vswitches`+f.where()+` ORDER BY name, id`, f.args...)
	return all, s.explain("list vSwitches", err)
}

// VSwitch reads one by its id.
func (s *Store) VSwitch(ctx context.Context, id string) (fleet.VSwitch, error) {
	return lookUp(ctx, s, "vSwitch", id, scanVSwitch, `SELECT `+vswitchColumns+` FROM vswitches WHERE id = $1`)
}
