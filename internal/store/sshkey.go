package store

import (
	"context"
	"time"
)

// SSHKey is the key that opens rescue systems.
type SSHKey struct {
	Public    string // authorized_keys line
	Private   []byte // PEM; sealed in the store
	CreatedAt time.Time
}

const theKey = "talos-manager"

// EnsureSSHKey reads the key, and makes it first if there is none. When several replicas make one at once, all
// get the same.
func (s *Store) EnsureSSHKey(ctx context.Context, generate func() (SSHKey, error)) (SSHKey, error) {
	k, found, err := s.sshKey(ctx)
	if err != nil || found {
		return k, err
	}
	if k, err = generate(); err != nil {
		return SSHKey{}, err
	}
	err = s.write(ctx, "keep the SSH key", func(t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO ssh_keys (name, public, private, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`,
			theKey, k.Public, s.seal(k.Private, "ssh_keys", "private", theKey), micros(s.now()))
		t.changed("settings", "ssh-key")
		return err
	})
	if err != nil {
		return SSHKey{}, err
	}
	k, _, err = s.sshKey(ctx)
	return k, err
}

func (s *Store) sshKey(ctx context.Context) (SSHKey, bool, error) {
	all, err := list(ctx, s.reader, func(r row) (k SSHKey, err error) {
		var name string
		return k, r.Scan(&name, &k.Public, s.sealed(&k.Private, "ssh_keys", "private", &name), moment{&k.CreatedAt})
	}, `SELECT name, public, private, created_at FROM ssh_keys WHERE name = $1`, theKey)
	if err != nil || len(all) == 0 {
		return SSHKey{}, false, s.explain("read the SSH key", err)
	}
	return all[0], true, nil
}
