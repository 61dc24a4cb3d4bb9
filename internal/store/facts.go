package store

import (
	"context"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// SetFacts writes what the machine said of itself.
func (s *Store) SetFacts(ctx context.Context, id string, facts fleet.Facts) error {
	return s.write(ctx, "note the facts of server "+id, func(t *tx) error {
		cores, memory, disks := capacity(facts)
		n, err := affected(t.ExecContext(ctx, `
			UPDATE servers SET facts = $2, uuid = $3, cores = $4, memory_bytes = $5, disk_bytes = $6, uuid_bad = $7 WHERE id = $1`,
			id, encode(facts), strings.ToLower(strings.TrimSpace(text(facts.UUID))), cores, memory, disks, uuidBad(facts)))
		if err := one(n, err, "server", id); err != nil {
			return err
		}
		t.changed("servers", id)
		return setSerials(ctx, t, id, facts)
	})
}

// capacity is what a machine has.
func capacity(f fleet.Facts) (cores int, memory, disks int64) {
	for _, d := range f.Disks {
		disks += d.SizeBytes
	}
	return f.Cores, f.MemoryBytes, disks
}

// uuidBad says whether the board's UUID is none that tells machines apart.
func uuidBad(f fleet.Facts) bool { return fleet.CheckUUID("", f.UUID) != nil }

// serials are the numbers of a machine's board and disks, each once, as they are stored.
func serials(f fleet.Facts) []string {
	all := []string{f.Serial}
	for _, d := range f.Disks {
		all = append(all, d.Serial)
	}
	for i := range all {
		all[i] = storedSerial(all[i])
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(serial string) bool { return serial == "" })
}

// storedSerial cuts what is longer than any serial number: an index takes no text of any length.
func storedSerial(serial string) string {
	b := []byte(strings.ToLower(strings.TrimSpace(text(serial))))
	return encodeHex(b[:min(len(b), 200)])
}

// setSerials replaces the serial numbers that a server is found by.
func setSerials(ctx context.Context, t *tx, id string, facts fleet.Facts) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM server_serials WHERE server_id = $1`, id); err != nil {
		return err
	}
	for _, serial := range serials(facts) {
		if _, err := t.ExecContext(ctx, `INSERT INTO server_serials (server_id, serial) VALUES ($1, $2)`, id, serial); err != nil {
			return err
		}
	}
	return nil
}

// ServersBySerial lists the servers with a board or a disk whose serial number begins so, in any case.
func (s *Store) ServersBySerial(ctx context.Context, serial string, limit int) ([]fleet.Server, error) {
	begins := storedSerial(serial)
	all, err := list(ctx, s.reader, scanServer, `
		SELECT `+serverColumns+`, '' FROM servers
		WHERE id IN (SELECT server_id FROM server_serials WHERE serial >= $1 AND serial < $2) ORDER BY name, id LIMIT $3`,
		begins, begins+"g", limit) // g comes after the digits of hex
	return all, s.explain("look for servers with serial number "+serial, err)
}

// fill notes of all servers what columns keep of their facts: for facts from before the columns were there.
func (s *Store) fill(ctx context.Context, t *tx, note func(id string, facts fleet.Facts) error) error {
	ids, err := list(ctx, t, scanName, `SELECT id FROM servers WHERE facts <> '' ORDER BY id`)
	if err != nil {
		return err
	}
	for _, id := range ids { // one by one: all of them together are large
		var facts fleet.Facts
		if err := t.QueryRowContext(ctx, `SELECT facts FROM servers WHERE id = $1`, id).Scan(document{&facts}); err != nil {
			return err
		}
		if err := note(id, facts); err != nil {
			return err
		}
	}
	return nil
}

// fillCapacity belongs to migration 0009.
func (s *Store) fillCapacity(ctx context.Context, t *tx) error {
	return s.fill(ctx, t, func(id string, facts fleet.Facts) error {
		cores, memory, disks := capacity(facts)
		_, err := t.ExecContext(ctx, `UPDATE servers SET cores = $2, memory_bytes = $3, disk_bytes = $4 WHERE id = $1`, id, cores, memory, disks)
		return err
	})
}

// fillSerials belongs to migration 0010.
func (s *Store) fillSerials(ctx context.Context, t *tx) error {
	return s.fill(ctx, t, func(id string, facts fleet.Facts) error {
		if _, err := t.ExecContext(ctx, `UPDATE servers SET uuid_bad = $2 WHERE id = $1`, id, uuidBad(facts)); err != nil {
			return err
		}
		return setSerials(ctx, t, id, facts)
	})
}
