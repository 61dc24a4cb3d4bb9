package client

import (
	"context"
	"net/http"
	"time"
)

// The providers.
const (
	HetznerCloud = "hetzner_cloud"
	HetznerRobot = "hetzner_robot"
	Manual       = "manual" // servers that somebody added by address
)

// Account is access to one Cloud project or one Robot login. Credentials never come back from the server.
type Account struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Provider  string    `json:"provider" enum:"hetzner_cloud,hetzner_robot,manual"`
	User      string    `json:"user,omitempty" doc:"Robot webservice user; its password is not shown"`
	Servers   int       `json:"servers" doc:"how many it lists"`
	Problem   string    `json:"problem,omitempty" doc:"why the last check or sync failed; absent if it did not"`
	CreatedAt time.Time `json:"createdAt"`
	CheckedAt time.Time `json:"checkedAt,omitzero"`
	SyncedAt  time.Time `json:"syncedAt,omitzero"`
}

// NewAccount is what an account is made from. The credentials are tried before they are kept.
type NewAccount struct {
	Name     string `json:"name" doc:"1 to 63 of a-z, 0-9 and '-'"`
	Provider string `json:"provider" enum:"hetzner_cloud,hetzner_robot"`
	Token    string `json:"token,omitempty" writeOnly:"true" doc:"of a Cloud project, with read and write access"`
	User     string `json:"user,omitempty" doc:"Robot webservice user, #ws+…"`
	Password string `json:"password,omitempty" writeOnly:"true" doc:"of the Robot webservice user"`
}

// Credentials are what opens an account: the token of a Cloud project, or the login of a Robot webservice user.
type Credentials struct {
	Token    string `json:"token,omitempty" writeOnly:"true" doc:"of the same Cloud project, with read and write access"`
	User     string `json:"user,omitempty" doc:"Robot webservice user, #ws+…; absent: the one that the account has"`
	Password string `json:"password,omitempty" writeOnly:"true" doc:"of the Robot webservice user"`
}

// Budget is how many calls of a group of endpoints a provider lets an account make.
type Budget struct {
	Account       Ref       `json:"account"`
	Group         string    `json:"group" doc:"robot POST /reset, …"`
	What          string    `json:"what" doc:"what such calls do"`
	Calls         int       `json:"calls" doc:"how many are allowed in a window"`
	WindowSeconds int       `json:"windowSeconds"`
	Left          int       `json:"left" doc:"how many can be made now"`
	Evenly        bool      `json:"evenly,omitempty" doc:"used ones come back one by one; absent: all at once, at the end of the window"`
	BackAt        time.Time `json:"backAt,omitzero" doc:"when all of them are back; absent: none is used"`
}

// Synced is what a listing of an account changed: names of servers.
type Synced struct {
	Account Ref      `json:"account"`
	Added   []string `json:"added,omitempty" doc:"servers that are new"`
	Changed []string `json:"changed,omitempty" doc:"servers whose name, status or addresses changed"`
	Back    []string `json:"back,omitempty" doc:"servers that were missing and are listed again"`
	Missing []string `json:"missing,omitempty" doc:"servers that are not listed any more; they are kept"`
	Error   *Error   `json:"error,omitempty" doc:"why this account was not synced"`
}

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) (l List[Account], err error) {
	return l, c.call(ctx, http.MethodGet, at("/accounts"), nil, nil, &l)
}

// Account reads one by id or name.
func (c *Client) Account(ctx context.Context, ref string) (a Account, err error) {
	return a, c.call(ctx, http.MethodGet, at("/accounts/%s", ref), nil, nil, &a)
}

// AddAccount tries the credentials and keeps the account.
func (c *Client) AddAccount(ctx context.Context, n NewAccount) (a Account, err error) {
	return a, c.call(ctx, http.MethodPost, at("/accounts"), nil, n, &a)
}

// RemoveAccount forgets an account. At the provider nothing happens. It is refused while its servers are in use.
func (c *Client) RemoveAccount(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at("/accounts/%s", ref), nil, nil, nil)
}

// CheckAccount tries the credentials; the error says what is wrong with them.
func (c *Client) CheckAccount(ctx context.Context, ref string) (a Account, err error) {
	return a, c.call(ctx, http.MethodPost, at("/accounts/%s/check", ref), nil, nil, &a)
}

// RotateAccount gives an account other credentials. They are tried first, and have to list servers that the account has.
func (c *Client) RotateAccount(ctx context.Context, ref string, to Credentials) (a Account, err error) {
	return a, c.call(ctx, http.MethodPut, at("/accounts/%s/credentials", ref), nil, to, &a)
}

// Budgets reads what is left of the calls that the account's provider allows, the scarcest first. The provider is not asked.
func (c *Client) Budgets(ctx context.Context, ref string) (l List[Budget], err error) {
	return l, c.call(ctx, http.MethodGet, at("/accounts/%s/budgets", ref), nil, nil, &l)
}

// SyncAccount lists the servers of an account at its provider now.
func (c *Client) SyncAccount(ctx context.Context, ref string) (s Synced, err error) {
	return s, c.call(ctx, http.MethodPost, at("/accounts/%s/sync", ref), nil, nil, &s)
}

// SyncServers lists the servers of all accounts now. An account that fails says so in its item; it is no error.
func (c *Client) SyncServers(ctx context.Context) (l List[Synced], err error) {
	return l, c.call(ctx, http.MethodPost, at("/servers/sync"), nil, nil, &l)
}
