package hetzner

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// robotKey is an SSH key of the account; the MD5 of the key is its name in the API.
type robotKey struct {
	name        string
	fingerprint string
	public      ssh.PublicKey
	created     time.Time
}

func (k *robotKey) view(r *Robot, withData bool) map[string]any {
	kind, size := kind(k.public)
	v := map[string]any{"name": k.name, "fingerprint": k.fingerprint, "type": kind, "size": size, "created_at": r.clock(k.created)}
	if withData { // comes back without its comment
		v["data"] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.public)))
	}
	return v
}

func (a *account) key(fingerprint string) *robotKey {
	i := slices.IndexFunc(a.keys, func(k *robotKey) bool { return k.fingerprint == fingerprint })
	if i < 0 {
		return nil
	}
	return a.keys[i]
}

// pick gives the keys of fingerprints, false if one is unknown.
func (a *account) pick(fingerprints []string) ([]*robotKey, bool) {
	var all []*robotKey
	for _, f := range fingerprints {
		k := a.key(f)
		if k == nil {
			return nil, false
		}
		all = append(all, k)
	}
	return all, true
}

func (r *Robot) withKey(handle func(*robotCall, *robotKey) answer) func(*robotCall) answer {
	return func(c *robotCall) answer {
		k := c.key(c.args[0])
		if k == nil {
			return fail(http.StatusNotFound, "NOT_FOUND", "key not found")
		}
		return handle(c, k)
	}
}

func (r *Robot) listKeys(c *robotCall) answer {
	var all []any
	for _, k := range c.keys {
		all = append(all, wrap("key", k.view(r, true)))
	}
	return r.list("/key", all)
}

func (r *Robot) getKey(_ *robotCall, k *robotKey) answer { return ok(wrap("key", k.view(r, true))) }

func (r *Robot) addKey(c *robotCall) answer {
	if missing := c.form.missing("name", "data"); len(missing) > 0 {
		return invalid(missing, nil)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.form.get("data")))
	if err != nil {
		return invalid(nil, []string{"data"})
	}
	k := &robotKey{name: c.form.get("name"), fingerprint: ssh.FingerprintLegacyMD5(public), public: public, created: c.now}
	if c.key(k.fingerprint) != nil {
		return fail(http.StatusConflict, "KEY_ALREADY_EXISTS", "the key already exists")
	}
	c.keys = append(c.keys, k)
	a := r.getKey(c, k)
	a.status = http.StatusCreated
	return a
}

func (r *Robot) renameKey(c *robotCall, k *robotKey) answer {
	if missing := c.form.missing("name"); len(missing) > 0 {
		return invalid(missing, nil)
	}
	k.name = c.form.get("name")
	return r.getKey(c, k)
}

func (r *Robot) deleteKey(c *robotCall, k *robotKey) answer {
	c.keys = slices.DeleteFunc(c.keys, func(o *robotKey) bool { return o == k })
	return answer{status: http.StatusOK}
}
