package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// contents is what a revision of a config is made of; its JSON is hashed, so fields are only ever added, with
// omitempty.
type contents struct {
	InstallImage      string `json:"installImage,omitempty"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	KubeSpan          bool   `json:"kubeSpan,omitempty"`
	PatchAll          string `json:"patchAll,omitempty"`
	PatchControlPlane string `json:"patchControlPlane,omitempty"`
	PatchWorker       string `json:"patchWorker,omitempty"`
}

func contentsOf(c fleet.Config) contents {
	return contents{c.InstallImage, c.KubernetesVersion, c.KubeSpan, c.PatchAll, c.PatchControlPlane, c.PatchWorker}
}

func (c contents) fill(into *fleet.Config) {
	into.InstallImage, into.KubernetesVersion, into.KubeSpan = c.InstallImage, c.KubernetesVersion, c.KubeSpan
	into.PatchAll, into.PatchControlPlane, into.PatchWorker = c.PatchAll, c.PatchControlPlane, c.PatchWorker
}

// ConfigRevision says who saved which contents of a config when.
type ConfigRevision struct {
	Revision string // sha256 of the contents, hex
	Actor    string
	At       time.Time
}

const configColumns = `id, name, configs.revision, created_at, updated_at, body`

const configsAndContents = `configs JOIN config_contents ON config_contents.revision = configs.revision`

// scanConfig reads configColumns. Patches hold secrets of users (registry logins, VPN keys): contents are sealed.
func (s *Store) scanConfig(r row) (c fleet.Config, err error) {
	var body []byte
	err = r.Scan(&c.ID, &c.Name, &c.Revision, moment{&c.CreatedAt}, moment{&c.UpdatedAt}, s.sealed(&body, "config_contents", "body", &c.Revision))
	if err != nil {
		return c, err
	}
	return c, fillContents(&c, body)
}

func fillContents(c *fleet.Config, body []byte) error {
	var read contents
	err := json.Unmarshal(body, &read)
	read.fill(c)
	return err
}

// CreateConfig writes a new config and its first revision. fleet.Conflict when the name is taken.
func (s *Store) CreateConfig(ctx context.Context, c fleet.Config, actor string) (fleet.Config, error) {
	s.stamp(&c.ID, &c.CreatedAt)
	c.UpdatedAt = c.CreatedAt
	err := s.write(ctx, "create config "+c.Name, func(t *tx) (err error) {
		if c.Revision, err = s.writeContents(ctx, t, c); err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `INSERT INTO configs (id, name, revision, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)`,
			c.ID, c.Name, c.Revision, micros(c.CreatedAt))
		if err != nil {
			return err
		}
		t.changed("configs", c.ID)
		return writeRevision(ctx, t, c, actor)
	})
	return c, taken(err, "config", c.Name)
}

// UpdateConfig writes name and contents, and a new revision if the contents changed. c.Revision is the revision
// that the change was based on: fleet.Conflict when it is no longer the current one; empty: whichever is.
func (s *Store) UpdateConfig(ctx context.Context, c fleet.Config, actor string) (fleet.Config, error) {
	base := c.Revision
	err := s.write(ctx, "change config "+c.Name, func(t *tx) error {
		n, err := affected(t.ExecContext(ctx, `UPDATE configs SET name = $2 WHERE id = $1`, c.ID, c.Name)) // and locks it
		if err := one(n, err, "config", c.ID); err != nil {
			return err
		}
		old, err := list(ctx, t, s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` WHERE id = $1`, c.ID)
		if err != nil {
			return err
		}
		if base != "" && base != old[0].Revision {
			return fleet.Errorf(fleet.Conflict, "config %s was changed by somebody else meanwhile", c.Name).WithHint("look at what changed and save again")
		}
		t.changed("configs", c.ID)
		c.CreatedAt, c.UpdatedAt = old[0].CreatedAt, old[0].UpdatedAt
		if c.Revision, err = s.writeContents(ctx, t, c); err != nil || c.Revision == old[0].Revision {
			return err
		}
		c.UpdatedAt = s.now().UTC().Truncate(time.Microsecond)
		_, err = t.ExecContext(ctx, `UPDATE configs SET revision = $2, updated_at = $3 WHERE id = $1`, c.ID, c.Revision, micros(c.UpdatedAt))
		if err != nil {
			return err
		}
		return writeRevision(ctx, t, c, actor)
	})
	return c, taken(err, "config", c.Name)
}

// writeContents keeps the contents under their hash.
func (s *Store) writeContents(ctx context.Context, t *tx, c fleet.Config) (revision string, err error) {
	body := encode(contentsOf(c))
	sum := sha256.Sum256([]byte(body))
	revision = hex.EncodeToString(sum[:])
	_, err = t.ExecContext(ctx, `INSERT INTO config_contents (revision, body) VALUES ($1, $2) ON CONFLICT (revision) DO NOTHING`,
		revision, s.seal([]byte(body), "config_contents", "body", revision))
	return revision, err
}

func writeRevision(ctx context.Context, t *tx, c fleet.Config, actor string) error {
	_, err := t.ExecContext(ctx, `
		INSERT INTO config_revisions (config_id, position, revision, actor, saved_at)
		VALUES ($1, (SELECT COUNT(*) FROM config_revisions WHERE config_id = $1), $2, $3, $4)`,
		c.ID, c.Revision, text(actor), micros(c.UpdatedAt))
	return err
}

// Config reads one by id or name.
func (s *Store) Config(ctx context.Context, ref string) (fleet.Config, error) {
	return lookUp(ctx, s, "config", ref, s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` WHERE id = $1 OR name = $1`)
}

// Configs lists all by name.
func (s *Store) Configs(ctx context.Context) ([]fleet.Config, error) {
	all, err := list(ctx, s.reader, s.scanConfig, `SELECT `+configColumns+` FROM `+configsAndContents+` ORDER BY name`)
	return all, s.explain("list configs", err)
}

// ConfigRevisions lists who saved what, newest first; also of a config that was removed.
func (s *Store) ConfigRevisions(ctx context.Context, id string) ([]ConfigRevision, error) {
	all, err := list(ctx, s.reader, func(r row) (v ConfigRevision, err error) { return v, r.Scan(&v.Revision, &v.Actor, moment{&v.At}) },
		`SELECT revision, actor, saved_at FROM config_revisions WHERE config_id = $1 ORDER BY position DESC`, id)
	return all, s.explain("list the revisions of config "+id, err)
}

// ConfigAt reads the contents of a revision, whichever config they were saved in; name and times are empty.
func (s *Store) ConfigAt(ctx context.Context, revision string) (fleet.Config, error) {
	var body []byte
	all, err := list(ctx, s.reader, func(r row) (c fleet.Config, err error) {
		if err = r.Scan(&c.Revision, s.sealed(&body, "config_contents", "body", &c.Revision)); err != nil {
			return c, err
		}
		return c, fillContents(&c, body)
	}, `SELECT revision, body FROM config_contents WHERE revision = $1`, revision)
	if err != nil {
		return fleet.Config{}, s.explain("read config revision "+revision, err)
	}
	if len(all) == 0 {
		return fleet.Config{}, missing("config revision", revision)
	}
	return all[0], nil
}

// RemoveConfig removes a config; its revisions stay readable. fleet.Conflict names who uses it.
func (s *Store) RemoveConfig(ctx context.Context, id string) error {
	return s.removeUsed(ctx, "config", "configs", id, `DELETE FROM configs WHERE id = $1`, `
		SELECT 'cluster ' || name FROM clusters WHERE config_id = $1
		UNION ALL SELECT 'server ' || name FROM servers WHERE config_id = $1`)
}

// removeUsed removes a record unless the query names users of it.
func (s *Store) removeUsed(ctx context.Context, what, table, id, remove, users string) error {
	err := s.write(ctx, "remove "+what+" "+id, func(t *tx) error {
		names, err := list(ctx, t, scanName, users, id)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return fleet.Errorf(fleet.Conflict, "%s %s is used by %s", what, id, some(names)).WithHint("give them another one first")
		}
		n, err := affected(t.ExecContext(ctx, remove, id))
		t.changed(table, id)
		return one(n, err, what, id)
	})
	if dangling(err) {
		return fleet.Errorf(fleet.Conflict, "%s %s was given to a server or cluster this moment", what, id).WithHint("give them another one first")
	}
	return err
}
