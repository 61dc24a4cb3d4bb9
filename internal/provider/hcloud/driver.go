// Package hcloud rents cloud servers: the provider.Driver of a Hetzner Cloud project, over the official
// hcloud-go. It adds what that leaves to its users: a budget for every HTTP call (polls of actions included), an
// account of each error in words, tries while a server is locked, and listings that are complete or an error. It
// refuses to wait for machines: it waits for the API's actions, and of those only for some seconds.
//
// Protocol facts without another source are from https://docs.hetzner.cloud/reference/cloud.
package hcloud

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// DefaultURL is Hetzner's endpoint.
const DefaultURL = hcloud.Endpoint

// pageSize is the largest that the API has.
const pageSize = 50

// Options say whose project it is and how it is reached.
type Options struct {
	Token   string
	BaseURL string          // "": DefaultURL
	HTTP    *http.Client    // nil: a plain one; its Transport carries the dialer
	Budget  provider.Budget // nil: one of its own
	// PollEvery is how long to wait before an action or a lock is looked at again, growing; 0 is 1 s.
	PollEvery time.Duration
}

// Driver is a Cloud project as a provider.Driver.
type Driver struct {
	api   *hcloud.Client
	token string
	every time.Duration
}

var _ provider.Driver = (*Driver)(nil)

// New makes a driver; it does not connect.
func New(o Options) *Driver {
	d := &Driver{token: strings.TrimSpace(o.Token), every: o.PollEvery}
	if d.every <= 0 {
		d.every = time.Second
	}
	if o.BaseURL == "" {
		o.BaseURL = DefaultURL
	}
	d.api = hcloud.NewClient(
		hcloud.WithApplication("talos-manager", ""),
		hcloud.WithToken(d.token),
		hcloud.WithEndpoint(o.BaseURL),
		hcloud.WithHTTPClient(metered(o.HTTP, o.Budget)),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ExponentialBackoffWithOpts(
			hcloud.ExponentialBackoffOpts{Base: d.every, Multiplier: 1.5, Cap: 5 * d.every})}),
		// hcloud-go would retry for a minute, 429 included, while an operation shows no sign of life: whoever
		// called us retries, and says so.
		hcloud.WithRetryOpts(hcloud.RetryOpts{MaxRetries: 0}),
	)
	return d
}

// Check implements provider.Driver.
func (d *Driver) Check(ctx context.Context) error {
	_, _, err := d.api.Server.List(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{PerPage: 1}})
	return d.explain(ctx, err, "check the token")
}

// List implements provider.Driver.
func (d *Driver) List(ctx context.Context) (provider.Listing, error) {
	var l provider.Listing
	seen := map[int64]bool{}
	for page := 1; page > 0; {
		servers, resp, err := d.api.Server.List(ctx, hcloud.ServerListOpts{
			ListOpts: hcloud.ListOpts{Page: page, PerPage: pageSize}, Sort: []string{"id:asc"},
		})
		if err != nil {
			return provider.Listing{}, d.explain(ctx, err, "list servers, page %d", page)
		}
		for _, s := range servers {
			if s.ID == 0 || seen[s.ID] {
				return provider.Listing{}, incomplete("server %d twice or without id", s.ID)
			}
			seen[s.ID] = true
			l.Servers = append(l.Servers, translate(s))
		}
		if page, err = nextPage(resp, page, len(l.Servers)); err != nil {
			return provider.Listing{}, err
		}
	}
	return l, nil
}

// nextPage gives the page after this one, 0 after the last. A listing that does not add up is an error, since
// what it lacks would be taken for gone.
func nextPage(resp *hcloud.Response, page, have int) (int, error) {
	p := resp.Meta.Pagination
	switch {
	case p == nil:
		return 0, incomplete("page %d does not say whether it is the last", page)
	case p.NextPage == 0 && have < p.TotalEntries:
		return 0, incomplete("%d of %d servers", have, p.TotalEntries)
	case p.NextPage != 0 && p.NextPage <= page:
		return 0, incomplete("page %d is followed by page %d", page, p.NextPage)
	}
	return p.NextPage, nil
}

func incomplete(format string, args ...any) error {
	return fleet.Errorf(fleet.Unavailable, "hcloud: list servers: incomplete: "+format, args...).
		WithHint("try again: servers may have come or gone while it was read")
}

// translate says what the API says of a server. IPv4, location and the rest may be absent.
func translate(s *hcloud.Server) provider.Server {
	p := provider.Server{
		ProviderID: strconv.FormatInt(s.ID, 10), Name: s.Name, Architecture: fleet.AMD64,
		Status: string(s.Status), Power: power(s.Status), Locked: s.Locked, Rescue: s.RescueEnabled, CreatedAt: s.Created,
	}
	if s.ServerType != nil {
		p.Product = s.ServerType.Name
		if s.ServerType.Architecture == hcloud.ArchitectureARM {
			p.Architecture = fleet.ARM64
		}
	}
	if s.Location != nil {
		p.Location = s.Location.Name
	}
	if !s.PublicNet.IPv4.IsUnspecified() {
		p.IPv4 = s.PublicNet.IPv4.IP.String()
	}
	if s.PublicNet.IPv6.Network != nil {
		p.IPv6Net = s.PublicNet.IPv6.Network.String()
	}
	return p
}

// server reads one server by our form of its id.
func (d *Driver) server(ctx context.Context, id string) (*hcloud.Server, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return nil, fleet.Errorf(fleet.Invalid, "%q is not the id of a Cloud server", id)
	}
	s, _, err := d.api.Server.GetByID(ctx, n)
	if err != nil {
		return nil, d.explain(ctx, err, "read server %s", id)
	}
	if s == nil {
		return nil, fleet.Errorf(fleet.NotFound, "hcloud: the project has no server %s", id).
			WithHint("look at https://console.hetzner.cloud whether it was deleted or is in another project")
	}
	if s.ID != n {
		return nil, fleet.Errorf(fleet.Unavailable, "hcloud: read server %s: the answer is about server %d", id, s.ID)
	}
	return s, nil
}

// Server implements provider.Driver.
func (d *Driver) Server(ctx context.Context, id string) (provider.Server, error) {
	s, err := d.server(ctx, id)
	if err != nil {
		return provider.Server{}, err
	}
	return translate(s), nil
}

// Rename implements provider.Driver.
func (d *Driver) Rename(ctx context.Context, id, name string) error {
	s, err := d.server(ctx, id)
	if err != nil || s.Name == name {
		return err
	}
	return d.settle(ctx, func() error {
		_, _, err := d.api.Server.Update(ctx, s, hcloud.ServerUpdateOpts{Name: name})
		return d.explain(ctx, err, "rename server %s to %q", id, name)
	})
}

// SetVSwitch implements provider.Driver.
func (d *Driver) SetVSwitch(_ context.Context, id, _ string) error {
	return fleet.Errorf(fleet.Invalid, "cloud server %s cannot be in a vSwitch", id).
		WithHint("attach it to a Cloud network that is coupled with the vSwitch")
}

// EnsureKey implements provider.Driver.
func (d *Driver) EnsureKey(ctx context.Context, name string, key ssh.PublicKey) error {
	_, err := d.ensureKey(ctx, name, key)
	return err
}

func (d *Driver) ensureKey(ctx context.Context, name string, key ssh.PublicKey) (*hcloud.SSHKey, error) {
	for _, name := range []string{name, provider.SpareKeyName(name, key)} {
		have, err := d.findKey(ctx, key)
		if have != nil || err != nil {
			return have, err
		}
		made, _, err := d.api.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{
			Name: name, PublicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))),
		})
		if err == nil {
			return made, nil
		}
		// Either somebody uploaded the same key in between, or the name is another key's: look again.
		if !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
			return nil, d.explain(ctx, err, "upload our SSH key")
		}
	}
	return d.findKey(ctx, key)
}

// findKey gives the project's key with our key's fingerprint, nil if it has none.
func (d *Driver) findKey(ctx context.Context, key ssh.PublicKey) (*hcloud.SSHKey, error) {
	fingerprint := ssh.FingerprintLegacyMD5(key)
	keys, err := d.api.SSHKey.AllWithOpts(ctx, hcloud.SSHKeyListOpts{Fingerprint: fingerprint})
	if err != nil {
		return nil, d.explain(ctx, err, "look for our SSH key")
	}
	i := slices.IndexFunc(keys, func(k *hcloud.SSHKey) bool { return k.Fingerprint == fingerprint })
	if i < 0 {
		return nil, nil
	}
	return keys[i], nil
}

// ArmRescue implements provider.Driver.
func (d *Driver) ArmRescue(ctx context.Context, id string, key ssh.PublicKey) (replaced string, err error) {
	ours, err := d.ensureKey(ctx, provider.KeyName, key)
	if err != nil {
		return "", err
	}
	s, err := d.server(ctx, id)
	if err != nil {
		return "", err
	}
	if s.RescueEnabled { // perhaps with other keys than ours
		_, err := d.act(ctx, "disarm rescue of server "+id, func() (*hcloud.Action, error) {
			a, _, err := d.api.Server.DisableRescue(ctx, s)
			return a, err
		})
		if err != nil {
			return "", err
		}
		replaced = "an earlier activation of the rescue system, whose keys the API does not tell"
	}
	_, err = d.act(ctx, "arm rescue of server "+id, func() (*hcloud.Action, error) {
		r, _, err := d.api.Server.EnableRescue(ctx, s,
			hcloud.ServerEnableRescueOpts{Type: hcloud.ServerRescueTypeLinux64, SSHKeys: []*hcloud.SSHKey{ours}})
		return r.Action, err
	})
	return replaced, err
}

// RescueHostKeys implements provider.Driver: Hetzner stores none for Cloud servers (hcloud-python#73).
func (d *Driver) RescueHostKeys(context.Context, string, time.Time) ([]string, error) {
	return nil, provider.ErrNoHostKeys
}

// act orders an action and waits for its end, for some seconds. Accepted says that the order was taken, whatever
// became of it.
func (d *Driver) act(ctx context.Context, doing string, order func() (*hcloud.Action, error)) (accepted bool, err error) {
	var action *hcloud.Action
	err = d.settle(ctx, func() (err error) {
		action, err = order()
		return d.explain(ctx, err, "%s", doing)
	})
	if err != nil {
		return false, err
	}
	patience, cancel := context.WithTimeout(ctx, 30*d.every)
	defer cancel()
	err = d.api.Action.WaitFor(patience, action)
	if patience.Err() != nil && ctx.Err() == nil {
		return true, fleet.Errorf(fleet.Conflict, "hcloud: %s: action %d still runs", doing, action.ID).WithHint("look again")
	}
	return true, d.explain(ctx, err, "%s", doing)
}
