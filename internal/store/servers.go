package store

import (
	"context"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const serverColumns = `id, account_id, provider, provider_id, name, product, location, architecture, status, power, locked,
	ipv4, ipv6, ipv6_net, vswitch_id, cancelled, created_at, seen_at, missing_at, state, cluster_id, role, config_id,
	hostname, private_ip, install_disk, ephemeral_disk, schematic_id, draft, disk_policy, uuid_override, installed, host_key, ran_as`

func serverFields(v *fleet.Server) []any {
	a := &v.Assignment
	return []any{
		&v.ID, &v.AccountID, &v.Provider, &v.ProviderID, &v.Name, &v.Product, &v.Location, &v.Architecture, &v.Status, &v.Power, &v.Locked,
		&v.IPv4, &v.IPv6, &v.IPv6Net,
		optional{&v.VSwitchID},
		&v.Cancelled,
		moment{&v.CreatedAt},
		moment{&v.SeenAt},
		moment{&v.MissingAt},
		&v.State,
		optional{&a.ClusterID},
		&a.Role,
		optional{&a.ConfigID},
		&a.Hostname, &a.PrivateIP, &a.InstallDisk, &a.EphemeralDisk,
		optional{&a.SchematicID},
		&a.Draft, &a.DiskPolicy, &v.UUIDOverride,
		document{&v.Installed},
		&v.HostKey, &v.RanAs,
	}
}

// scanServer reads serverColumns and the facts.
func scanServer(r row) (v fleet.Server, err error) {
	return v, r.Scan(append(serverFields(&v), document{&v.Facts})...)
}

// Server reads one by id or name. A name that several servers have is a fleet.Conflict listing their ids; a
// server that is listed by its provider beats missing ones of its name.
func (s *Store) Server(ctx context.Context, ref string) (fleet.Server, error) {
	return s.server(ctx, s.reader, ref)
}

func (s *Store) server(ctx context.Context, q queryer, ref string) (fleet.Server, error) {
	all, err := list(ctx, q, scanServer, `SELECT `+serverColumns+`, facts FROM servers WHERE id = $1 OR name = $1 ORDER BY id`, ref)
	if err != nil {
		return fleet.Server{}, s.explain("read server "+ref, err)
	}
	return choose(all, ref)
}

// choose decides which of the servers that have ref as id or name is meant.
func choose(all []fleet.Server, ref string) (fleet.Server, error) {
	var listed []fleet.Server
	for _, v := range all {
		if v.ID == ref {
			return v, nil
		}
		if v.MissingAt.IsZero() {
			listed = append(listed, v)
		}
	}
	if len(listed) > 0 {
		all = listed
	}
	switch len(all) {
	case 0:
		return fleet.Server{}, missing("server", ref)
	case 1:
		return all[0], nil
	}
	ids := make([]string, len(all))
	for i, v := range all {
		ids[i] = v.ID
	}
	return fleet.Server{}, fleet.Errorf(fleet.Conflict, "%d servers are named %q", len(all), ref).
		WithHint("say which by its id: %s", strings.Join(ids, ", "))
}

// ServerFilter chooses servers; zero fields choose all that are not missing.
type ServerFilter struct {
	AccountID      string
	ClusterID      string
	Unassigned     bool // only servers without a cluster
	IDs            []string
	Role           fleet.Role
	Location       string
	Problem        fleet.Problem
	Power          fleet.Power
	States         []fleet.State
	Search         string // part of name, hostname, address, product, location or provider id, in any case
	IncludeMissing bool
	Sort           string // name (default), another key of serverOrder; "-name" backwards
	Limit          int    // 0: all
	Offset         int
	WithoutFacts   bool // leaves Facts empty: they are most of a server's size
}

// serverOrder maps what a page may sort by to columns: nothing a client sends reaches SQL.
func serverOrder(sort string) (string, error) {
	direction := ""
	if rest, ok := strings.CutPrefix(sort, "-"); ok {
		sort, direction = rest, " DESC"
	}
	columns := map[string]string{
		"": "name", "name": "name", "hostname": "hostname", "product": "product", "location": "location",
		"state": "state", "seen": "seen_at", "created": "created_at", "power": "power", "role": "role", "private": "private_ip",
		"cores": "cores", "memory": "memory_bytes", "disks": "disk_bytes",
	}
	column, ok := columns[sort]
	if !ok {
		return "", fleet.Errorf(fleet.Invalid, "servers cannot be sorted by %q", sort).
			WithHint("use name, hostname, product, location, state, power, role, private, cores, memory, disks, seen or created, with '-' in front for backwards")
	}
	return " ORDER BY " + column + direction + ", id" + direction, nil
}

func (o ServerFilter) filter() filter {
	f := filter{}
	for _, equal := range []struct{ column, value string }{
		{"account_id", o.AccountID}, {"cluster_id", o.ClusterID}, {"role", string(o.Role)}, {"location", o.Location}, {"power", string(o.Power)},
	} {
		if equal.value != "" {
			f.and(equal.column+" = $?", equal.value)
		}
	}
	in(&f, "state", o.States)
	in(&f, "id", o.IDs)
	if o.Unassigned {
		f.and("cluster_id IS NULL")
	}
	if !o.IncludeMissing && !o.Problem.OfMissing() {
		f.and("missing_at = 0")
	}
	if o.Problem != "" {
		f.and(havingProblem(o.Problem))
	}
	if o.Search != "" {
		f.and(`LOWER(name || ' ' || hostname || ' ' || ipv4 || ' ' || ipv6 || ' ' || private_ip || ' ' || product || ' ' || location || ' ' || provider_id)
			LIKE $? ESCAPE '!'`, like(o.Search))
	}
	return f
}

// goesBy is the UUID that a server's Talos goes by.
const goesBy = `(CASE WHEN uuid_override = '' THEN uuid ELSE uuid_override END)`

// havingProblem is the condition of servers with a problem; one that nobody knows has no server.
func havingProblem(p fleet.Problem) string {
	switch p {
	case fleet.ProblemUUID: // an override is never a bad one; but two may have the same
		return `((uuid_override = '' AND uuid_bad) OR ` + goesBy + ` IN (
			SELECT ` + goesBy + ` FROM servers WHERE missing_at = 0 AND ` + goesBy + ` <> '' GROUP BY 1 HAVING COUNT(*) > 1))`
	case fleet.ProblemGone:
		return `cluster_id IS NOT NULL AND (cancelled OR missing_at <> 0)`
	case fleet.ProblemDraft:
		return `cluster_id IS NOT NULL AND draft`
	}
	return `1 = 0`
}

// Servers lists servers.
func (s *Store) Servers(ctx context.Context, o ServerFilter) ([]fleet.Server, error) {
	order, err := serverOrder(o.Sort)
	if err != nil {
		return nil, err
	}
	facts := "facts"
	if o.WithoutFacts {
		facts = "''"
	}
	f := o.filter()
	where := f.where()
	all, err := list(ctx, s.reader, scanServer,
		`SELECT `+serverColumns+`, `+facts+` FROM servers`+where+order+f.page(o.Limit, o.Offset), f.args...)
	return all, s.explain("list servers", err)
}

// CountServers counts the servers that the filter chooses, whatever its limit and offset.
func (s *Store) CountServers(ctx context.Context, o ServerFilter) (n int, err error) {
	f := o.filter()
	err = s.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM servers`+f.where(), f.args...).Scan(&n)
	return n, s.explain("count servers", err)
}

// ServersByUUID lists the servers that go by the UUID, which is the board's unless META overrides it: more than one
// means that they cannot be told apart by it.
func (s *Store) ServersByUUID(ctx context.Context, uuid string) ([]fleet.Server, error) {
	all, err := list(ctx, s.reader, scanServer,
		`SELECT `+serverColumns+`, facts FROM servers
			WHERE (uuid = $1 AND uuid <> '' AND uuid_override = '') OR (uuid_override = $1 AND uuid_override <> '') ORDER BY id`,
		strings.ToLower(strings.TrimSpace(uuid)))
	return all, s.explain("look for servers with UUID "+uuid, err)
}

// SetUUIDOverride notes the UUID that META gives to the machine; "" if it gives none any more.
func (s *Store) SetUUIDOverride(ctx context.Context, id, uuid string) error {
	return s.write(ctx, "note the UUID override of server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE servers SET uuid_override = $2 WHERE id = $1`, id, strings.ToLower(uuid)))
		t.changed("servers", id)
		return one(n, err, "server", id)
	})
}

// SetRanAs notes the UUID by which a server's Talos was seen to run.
func (s *Store) SetRanAs(ctx context.Context, id, uuid string) error {
	return s.write(ctx, "note the UUID of the node on server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE servers SET ran_as = $2 WHERE id = $1`, id, strings.ToLower(uuid)))
		t.told("servers", id)
		return one(n, err, "server", id)
	})
}

// SetInstalled notes what an install wrote on a server.
func (s *Store) SetInstalled(ctx context.Context, id string, what fleet.Installed) error {
	return s.write(ctx, "note what was installed on server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE servers SET installed = $2 WHERE id = $1`, id, encode(what)))
		t.changed("servers", id) // the config of a server that installs itself says where to
		return one(n, err, "server", id)
	})
}

// SetState moves a server from one state to another; fleet.Conflict when it is in a third one.
func (s *Store) SetState(ctx context.Context, id string, from, to fleet.State) error {
	return s.write(ctx, "set the state of server "+id, func(t *tx) error { return s.setState(ctx, t, id, from, to) })
}

// SetState is Store.SetState as a part of an edit.
func (e *Edit) SetState(ctx context.Context, id string, from, to fleet.State) error {
	return e.s.setState(ctx, e.t, id, from, to)
}

func (s *Store) setState(ctx context.Context, t *tx, id string, from, to fleet.State) error {
	n, err := affected(t.ExecContext(ctx, `UPDATE servers SET state = $3 WHERE id = $1 AND state = $2`, id, from, to))
	if err != nil {
		return err
	}
	if n == 0 {
		return s.elsewhere(ctx, t, id, from, to)
	}
	t.told("servers", id)
	return nil
}

func (s *Store) elsewhere(ctx context.Context, t *tx, id string, from, to fleet.State) error {
	v, err := s.server(ctx, t, id)
	if err != nil {
		return err
	}
	return fleet.Errorf(fleet.Conflict, "server %s is %s, not %s: it does not become %s", v.Name, v.State, from, to).
		WithHint("somebody was faster; look at its operations")
}

// SetObserved writes what one server's provider says now between two syncs.
func (s *Store) SetObserved(ctx context.Context, id, name, status string, power fleet.Power, locked bool, at time.Time) error {
	return s.write(ctx, "note the status of server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE servers SET name = $2, status = $3, power = $4, locked = $5, seen_at = $6, missing_at = 0 WHERE id = $1`,
			id, text(name), text(status), power, locked, micros(at)))
		t.changed("servers", id)
		return one(n, err, "server", id)
	})
}

// SetVSwitch writes which vSwitch a server was put into, by our id; "" is none.
func (s *Store) SetVSwitch(ctx context.Context, id, vswitchID string) error {
	return s.write(ctx, "note the vSwitch of server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE servers SET vswitch_id = $2 WHERE id = $1`, id, ref(vswitchID)))
		t.changed("servers", id)
		return one(n, err, "server", id)
	})
}

// RemoveServer forgets a server that its provider does not list any more, or that was added by hand. fleet.Conflict
// while it is listed, has a cluster or an active operation.
func (s *Store) RemoveServer(ctx context.Context, id string) error {
	return s.write(ctx, "forget server "+id, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			DELETE FROM servers WHERE id = $1 AND (missing_at > 0 OR provider = $2) AND cluster_id IS NULL AND id NOT IN (
				SELECT server_id FROM operations WHERE state NOT IN ('succeeded', 'failed', 'cancelled'))`, id, fleet.Manual))
		if err != nil {
			return err
		}
		t.changed("servers", id)
		if n > 0 {
			return removeLayers(ctx, t, fleet.ScopeServer, id)
		}
		v, err := s.server(ctx, t, id)
		if err != nil {
			return err
		}
		why := "is still listed by its account"
		switch {
		case v.Assignment.Assigned():
			why = "belongs to a cluster"
		case !v.MissingAt.IsZero() || v.Provider == fleet.Manual:
			why = "has an operation that is not finished"
		}
		return fleet.Errorf(fleet.Conflict, "server %s %s", v.Name, why)
	})
}
