package store

import (
	"context"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Arm is the one-time code of an install: who may fetch a server's config, until when. A server has at most one;
// the code itself is not kept.
type Arm struct {
	ID          string
	ServerID    string
	OperationID string
	CodeHash    string // sha256 of the code, hex
	UUID        string // SMBIOS UUID that the machine has to name, lower case; may be empty
	ArmedAt     time.Time
	ExpiresAt   time.Time
	ServedAt    time.Time // last time the config was handed out; zero: not yet
	Attempts    int       // fetches counted so far, served or refused
	NoCode      bool      // the machine cannot bring the code: UUID and source address must do
	Refusal     string    // why the last fetch was refused
}

const armColumns = `id, server_id, operation_id, code_hash, uuid, armed_at, expires_at, served_at, attempts, no_code, refusal`

func armFields(a *Arm) []any {
	return []any{
		&a.ID, &a.ServerID, &a.OperationID, &a.CodeHash, &a.UUID,
		moment{&a.ArmedAt},
		moment{&a.ExpiresAt},
		moment{&a.ServedAt},
		&a.Attempts, &a.NoCode, &a.Refusal,
	}
}

func (s *Store) scanArm(r row) (a Arm, err error) { return a, r.Scan(armFields(&a)...) }

// Arm lets a machine fetch a server's config. An earlier code of the server opens nothing any more.
func (s *Store) Arm(ctx context.Context, a Arm) (Arm, error) {
	s.stamp(&a.ID, &a.ArmedAt)
	a.UUID = strings.ToLower(a.UUID)
	return a, s.write(ctx, "arm server "+a.ServerID, func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO arms (id, server_id, operation_id, code_hash, uuid, armed_at, expires_at, no_code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (server_id) DO UPDATE SET id = excluded.id, operation_id = excluded.operation_id, code_hash = excluded.code_hash,
				uuid = excluded.uuid, armed_at = excluded.armed_at, expires_at = excluded.expires_at, served_at = 0, attempts = 0,
				no_code = excluded.no_code, refusal = ''`,
			a.ID, a.ServerID, a.OperationID, a.CodeHash, a.UUID, micros(a.ArmedAt), micros(a.ExpiresAt), a.NoCode)
		t.changed("arms", a.ID)
		return err
	})
}

// FindArm reads the arm of a code, expired or not: a refusal wants to say why. fleet.NotFound names no code.
func (s *Store) FindArm(ctx context.Context, codeHash string) (Arm, error) {
	all, err := list(ctx, s.reader, s.scanArm, `SELECT `+armColumns+` FROM arms WHERE code_hash = $1 AND code_hash <> ''`, codeHash)
	if err != nil {
		return Arm{}, s.explain("look for a one-time code", err)
	}
	if len(all) == 0 {
		return Arm{}, fleet.Errorf(fleet.NotFound, "no install waits for this code")
	}
	return all[0], nil
}

// ArmOf reads the arm of a server, expired or not; fleet.NotFound.
func (s *Store) ArmOf(ctx context.Context, serverID string) (Arm, error) {
	all, err := list(ctx, s.reader, s.scanArm, `SELECT `+armColumns+` FROM arms WHERE server_id = $1`, serverID)
	if err != nil {
		return Arm{}, s.explain("look for the one-time code of server "+serverID, err)
	}
	if len(all) == 0 {
		return Arm{}, fleet.Errorf(fleet.NotFound, "server %s has no one-time code", serverID)
	}
	return all[0], nil
}

// NoteRefusal counts a fetch that was refused, and why.
func (s *Store) NoteRefusal(ctx context.Context, id, why string) error {
	return s.write(ctx, "count a fetch", func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE arms SET attempts = attempts + 1, refusal = $2 WHERE id = $1`, id, text(why)))
		t.changed("arms", id)
		return one(n, err, "arm", id)
	})
}

// ExtendArm lets a machine that was not served yet fetch its config until a later time. An arm that is gone, was
// served or is another operation's stays as it is.
func (s *Store) ExtendArm(ctx context.Context, a Arm, until time.Time) error {
	return s.write(ctx, "extend the time of server "+a.ServerID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `
			UPDATE arms SET expires_at = $2 WHERE id = $1 AND served_at = 0 AND expires_at < $2`, a.ID, micros(until)))
		if n > 0 {
			t.changed("arms", a.ID)
		}
		return err
	})
}

// Disarm ends the code of a server; none is no error.
func (s *Store) Disarm(ctx context.Context, serverID string) error {
	return s.write(ctx, "disarm server "+serverID, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `DELETE FROM arms WHERE server_id = $1`, serverID))
		if n > 0 {
			t.changed("arms", serverID)
		}
		return err
	})
}

// ActiveArms lists the arms that have not expired, oldest first: all (uuid empty) or those of a machine.
func (s *Store) ActiveArms(ctx context.Context, uuid string, now time.Time) ([]Arm, error) {
	f := filter{}
	f.and("expires_at > $?", micros(now))
	if uuid != "" {
		f.and("uuid = $?", strings.ToLower(uuid))
	}
	all, err := list(ctx, s.reader, s.scanArm, `SELECT `+armColumns+` FROM arms`+f.where()+` ORDER BY armed_at, id`, f.args...)
	return all, s.explain("list armed servers", err)
}
