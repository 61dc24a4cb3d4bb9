package client

import (
	"context"
	"net/http"
	"time"
)

// Version of a manager and of what it knows.
type Version struct {
	Version    string `json:"version" doc:"of the manager"`
	Commit     string `json:"commit,omitempty" doc:"it was built from, hex"`
	Talos      string `json:"talos" doc:"newest Talos it knows: the default of new clusters"`
	Kubernetes string `json:"kubernetes" doc:"default of new clusters"`
}

// SSHKey is the public half of the key that opens rescue systems.
type SSHKey struct {
	Public string `json:"public" doc:"as a line of authorized_keys"`
	SHA256 string `json:"sha256" doc:"fingerprint as ssh-keygen and the Cloud show it: SHA256:…"`
	MD5    string `json:"md5" doc:"fingerprint as Robot shows it: aa:bb:…"`
}

// VSwitch is a layer-2 network of dedicated servers.
type VSwitch struct {
	ID           string    `json:"id"`
	Account      Ref       `json:"account"`
	ProviderID   string    `json:"providerID" doc:"Robot's number"`
	Name         string    `json:"name"`
	VLAN         int       `json:"vlan" doc:"4000 to 4091"`
	MissingSince time.Time `json:"missingSince,omitzero" doc:"its account does not list it since then"`
}

// AuditEvent is a line of the audit log: who did what, or what happened by itself and why.
type AuditEvent struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor" doc:"name of the token, admin, or talos-manager itself"`
	Verb    string    `json:"verb" doc:"server.install, config.refused, …"`
	Subject string    `json:"subject" doc:"server, cluster, account, …"`
	Target  string    `json:"target" doc:"id of the subject"`
	Text    string    `json:"text"`
}

// EventFilter chooses events; zero fields choose all.
type EventFilter struct {
	Subject string // server, cluster, …
	Target  string // id of the subject; of a server, cluster or account its name will do if Subject says which
	Limit   int    // 0: 100
	Before  string // id of the last event of the page before
}

// Token is an API token. Its text is known only to whoever made it.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name" doc:"what events call whoever uses it"`
	Actor     string    `json:"actor" doc:"who made it"`
	CreatedAt time.Time `json:"createdAt"`
	UsedAt    time.Time `json:"usedAt,omitzero" doc:"to the minute"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// NewToken is what a token is made from.
type NewToken struct {
	Name string `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'"`
}

// CreatedToken is a new token, with its text, which is shown this once.
type CreatedToken struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
	Token     string    `json:"token" doc:"tm_…; send it as Authorization: Bearer"`
}

// AddressCheck is one thing that was looked at of the manager's public address.
type AddressCheck struct {
	What    string `json:"what" doc:"It is an HTTPS address, …"`
	Problem string `json:"problem,omitempty" doc:"why not; absent: all is well"`
	Hint    string `json:"hint,omitempty" doc:"what to do about it"`
	Warning bool   `json:"warning,omitempty" doc:"machines may get along with the problem"`
}

// CheckAddress has the manager look whether its public address answers as machines need it. It ends at the first thing
// that keeps machines from it.
func (c *Client) CheckAddress(ctx context.Context) (l List[AddressCheck], err error) {
	return l, c.call(ctx, http.MethodPost, at("/address/check"), nil, nil, &l)
}

// Version asks what the manager is.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.call(ctx, http.MethodGet, at("/version"), nil, nil, &v)
}

// SSHKey reads the public key of rescue systems.
func (c *Client) SSHKey(ctx context.Context) (k SSHKey, err error) {
	return k, c.call(ctx, http.MethodGet, at("/ssh-key"), nil, nil, &k)
}

// VSwitches lists the vSwitches of all accounts.
func (c *Client) VSwitches(ctx context.Context) (l List[VSwitch], err error) {
	return l, c.call(ctx, http.MethodGet, at("/vswitches"), nil, nil, &l)
}

// Events lists events, newest first.
func (c *Client) Events(ctx context.Context, f EventFilter) (l List[AuditEvent], err error) {
	q := set{}.add("subject", f.Subject).add("target", f.Target).number("limit", f.Limit).add("before", f.Before)
	return l, c.call(ctx, http.MethodGet, at("/events"), (map[string][]string)(q), nil, &l)
}

// Tokens lists the API tokens.
func (c *Client) Tokens(ctx context.Context) (l List[Token], err error) {
	return l, c.call(ctx, http.MethodGet, at("/tokens"), nil, nil, &l)
}

// CreateToken makes an API token.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (t CreatedToken, err error) {
	return t, c.call(ctx, http.MethodPost, at("/tokens"), nil, n, &t)
}

// DeleteToken revokes a token, by its id or name.
func (c *Client) DeleteToken(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/tokens/%s", ref), nil, nil, nil)
}
