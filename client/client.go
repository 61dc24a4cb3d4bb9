// Package client speaks the REST API of a running Talos Manager. One method per route, one type per record; the
// types are what the server itself sends, so they are the reference of the API together with /openapi.json.
//
// It promises typed errors (*Error, with the kind and the hint that the server gave) and streams that survive a
// restart of the server (Follow). It refuses to decide: it tries no call again by itself, except the stream, and
// knows no defaults beyond the server's.
//
// It depends on the standard library only.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Options say where the manager is and who asks.
type Options struct {
	URL   string // https://talos-manager.example.com; a path is allowed, /api/v1 is appended
	Token string // API token, tm_…; wins over Password
	// Password of the web page, for the one call that everything begins with: making a token.
	Password string
	// HTTP makes the calls; nil is a client without a time-out of its own: contexts end calls.
	HTTP *http.Client
}

// Client of one manager. It is safe for concurrent use.
type Client struct {
	base     *url.URL
	token    string
	password string
	http     *http.Client
}

// List is a page of records. Total counts all that the filter chose, where the route can page.
type List[T any] struct {
	Items []T `json:"items" nullable:"false"`
	Total int `json:"total,omitempty" doc:"how many there are on all pages; only where there are pages"`
}

// Ref names a record: by an id that never changes and a name that people know.
type Ref struct {
	ID   string `json:"id" doc:"20 characters of 0-9a-v"`
	Name string `json:"name,omitempty"`
}

// New makes a client; it does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, &Error{Kind: Invalid, Message: fmt.Sprintf("%q is not the address of a manager", o.URL), Hint: "write it as https://talos-manager.example.com"}
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	return &Client{base: base, token: o.Token, password: o.Password, http: o.HTTP}, nil
}

// URL is the address of the manager.
func (c *Client) URL() string { return c.base.String() }

// largest is more than any answer has: 10,000 servers are some 10 MB.
const largest = 256 << 20

// call sends in (JSON, unless nil) and reads the answer into out (unless nil).
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	resp, err := c.send(ctx, method, path, query, in, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, largest)).Decode(out); err != nil {
		return c.strange(method, path, err)
	}
	return nil
}

// text reads an answer that is not JSON.
func (c *Client) text(ctx context.Context, path string, query url.Values) ([]byte, error) {
	resp, err := c.send(ctx, http.MethodGet, path, query, nil, http.Header{"Accept": {"text/yaml"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return text, nil
}

// send makes one request; the answer is a success and its body open, or the error says what it was.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any, header http.Header) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
		header.Set("Content-Type", "application/json")
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, body)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	req.Header = header
	switch {
	case c.token != "":
		req.Header.Set("Authorization", "Bearer "+c.token)
	case c.password != "":
		req.SetBasicAuth("admin", c.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, c.refusal(resp)
	}
	return resp, nil
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return &Error{Kind: Unavailable, Message: "the manager at " + c.base.String() + " does not answer: " + err.Error(), Hint: "is it running, and is the address right?", Err: err}
}

func (c *Client) strange(method, path string, err error) error {
	return &Error{Kind: Internal, Message: fmt.Sprintf("%s %s: the answer is not what this client knows: %v", method, c.base.String()+path, err), Hint: "compare the versions of client and server: talos-manager version", Err: err}
}

// at makes the path of a route; arguments are escaped.
func at(format string, refs ...string) string {
	escaped := make([]any, len(refs))
	for i, r := range refs {
		escaped[i] = url.PathEscape(r)
	}
	return "/api/v1" + fmt.Sprintf(format, escaped...)
}

// set collects query parameters, without the empty ones.
type set url.Values

func (s set) add(name, value string) set {
	if value != "" {
		url.Values(s).Add(name, value)
	}
	return s
}

func (s set) number(name string, n int) set {
	if n == 0 {
		return s
	}
	return s.add(name, fmt.Sprint(n))
}

func (s set) flag(name string, on bool) set {
	if !on {
		return s
	}
	return s.add(name, "true")
}
