// Package robot rents dedicated servers: a client of the Hetzner Robot webservice, and the provider.Driver made
// from it. The client is a chain that each call walks through: login memory, budget, HTTP, error, parse. It
// refuses to try a refused login again (three block the source address for ten minutes), to make a call whose
// budget is used up, and to call a technician (reset type "man").
//
// Protocol facts without another source are from the Robot Webservice documentation
// (https://robot.hetzner.com/doc/webservice/en.html).
package robot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// DefaultURL is the webservice of Hetzner. It has no version in its path.
const DefaultURL = "https://robot-ws.your-server.de"

const (
	callTimeout = 60 * time.Second // a reset takes 3 to 4 s to be answered
	maxAnswer   = 32 << 20         // bytes; a listing of 10,000 servers has some 5 MB
)

// Options say whose account it is and how it is reached.
type Options struct {
	User     string // a webservice user, "#ws+…"; not the login of the web interface
	Password string
	BaseURL  string          // "": DefaultURL
	HTTP     *http.Client    // nil: a plain one; its Transport carries the dialer
	Budget   provider.Budget // nil: one of its own
	Logins   *Logins         // nil: one of its own; share one among all accounts of a process
	Members  bool            // List reads the members of every vSwitch too, one call each
	// RetryEvery is how long to wait before a failed activation or a state that settles in seconds is looked at
	// again; 0 is 2 s.
	RetryEvery time.Duration
}

// Client speaks the protocol: one method per call.
type Client struct {
	base     string
	user     string
	password string
	http     *http.Client
	budget   provider.Budget
	logins   *Logins
}

// NewClient makes a client; it does not connect.
func NewClient(o Options) *Client {
	c := &Client{
		base: strings.TrimRight(o.BaseURL, "/"), user: o.User, password: o.Password,
		http: &http.Client{}, budget: o.Budget, logins: o.Logins,
	}
	if c.base == "" {
		c.base = DefaultURL
	}
	if o.HTTP != nil {
		*c.http = *o.HTTP
	}
	// The webservice redirects nobody; whoever does is not to get the password.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.budget == nil {
		c.budget = &provider.MemoryBudget{}
	}
	if c.logins == nil {
		c.logins = &Logins{}
	}
	return c
}

// request is one call.
type request struct {
	method string
	path   string
	form   url.Values
	into   any  // where the answer goes; nil: it is not looked at, and may be empty
	probe  bool // a person asks whether the login works now
}

func (r request) String() string { return "robot: " + r.method + " " + r.path }

// answer is what came back.
type answer struct {
	status int
	body   []byte
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// do is the chain.
func (c *Client) do(ctx context.Context, r request) error {
	login, err := c.logins.enter(ctx, c, r)
	if err != nil {
		return err
	}
	defer login.leave()
	group, limit := budgetOf(r.method, r.path)
	if err := provider.TakeOne(ctx, c.budget, group, limit); err != nil {
		return err
	}
	a, err := c.send(ctx, r)
	if err != nil {
		return login.suspect(err)
	}
	if err := refusal(r, a); err != nil {
		return login.suspect(c.noteLimit(ctx, group, login.saw(err)))
	}
	login.proved()
	return parse(r, a)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, request{method: http.MethodGet, path: path, into: into})
}

func (c *Client) post(ctx context.Context, path string, form url.Values, into any) error {
	return c.do(ctx, request{method: http.MethodPost, path: path, form: form, into: into})
}

func (c *Client) delete(ctx context.Context, path string, form url.Values) error {
	return c.do(ctx, request{method: http.MethodDelete, path: path, form: form})
}

// send is HTTP: basic authentication, parameters as a form in the body even of DELETE.
func (c *Client) send(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errors.New("no answer within "+callTimeout.String()))
	defer cancel()
	var body io.Reader
	if r.form != nil {
		body = strings.NewReader(r.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return answer{}, fleet.Errorf(fleet.Invalid, "%s: %w", r, err).WithHint("correct the base URL of Robot, %s", c.base)
	}
	req.SetBasicAuth(c.user, c.password)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "talos-manager")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, unreachable(ctx, r, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, unreachable(ctx, r, err)
	}
	return answer{resp.StatusCode, data}, nil
}

// parse reads the answer. What is missing or not what it should be is an outage of theirs, never an empty result:
// a sync must not take it for an account without servers. Only a change may be answered without a body.
func parse(r request, a answer) error {
	if r.into == nil || (len(a.body) == 0 && r.method != http.MethodGet) {
		return nil
	}
	if err := json.Unmarshal(a.body, r.into); err != nil {
		start := strings.TrimSpace(string(a.body[:min(len(a.body), 60)]))
		return garbled(r.path, fmt.Errorf("%q…: %w", start, err))
	}
	return nil
}
