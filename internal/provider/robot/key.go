package robot

import (
	"context"
	"net/http"
	"net/url"
)

// Key is a public SSH key of the account. Its identity is the fingerprint: MD5, lower-case hex with colons.
type Key struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

type keyAnswer struct {
	Key Key `json:"key"`
}

// Check proves the login. An account without keys answers 404, which proves it too.
func (c *Client) Check(ctx context.Context) error {
	err := c.do(ctx, request{method: http.MethodGet, path: "/key", into: &[]keyAnswer{}, probe: true})
	if hasCode(err, "NOT_FOUND") {
		return nil
	}
	return err
}

// HasKey says whether the account has the key.
func (c *Client) HasKey(ctx context.Context, fingerprint string) (bool, error) {
	err := c.get(ctx, "/key/"+fingerprint, &keyAnswer{})
	if hasCode(err, "NOT_FOUND") {
		return false, nil
	}
	return err == nil, err
}

// CreateKey uploads a key in the format of authorized_keys.
func (c *Client) CreateKey(ctx context.Context, name, data string) error {
	return c.post(ctx, "/key", url.Values{"name": {name}, "data": {data}}, &keyAnswer{})
}
