package robot

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// Server as GET /server lists it; Reset and Rescue only come with a single one.
type Server struct {
	Number    int64    `json:"server_number"`
	IPv4      *string  `json:"server_ip"`       // null or "": IPv6 only
	IPv6Net   *string  `json:"server_ipv6_net"` // the network's address without its length
	Name      string   `json:"server_name"`
	Product   string   `json:"product"`
	DC        string   `json:"dc"`
	Status    string   `json:"status"` // "ready" or "in process"
	Cancelled bool     `json:"cancelled"`
	Subnets   []Subnet `json:"subnet"`
	Reset     bool     `json:"reset"`
	Rescue    bool     `json:"rescue"`
}

// Subnet of a server. The mask is a string here, though an integer elsewhere in the webservice.
type Subnet struct {
	IP   string      `json:"ip"`
	Mask flexibleInt `json:"mask"`
}

// flexibleInt is an integer that Robot also sends as a string.
type flexibleInt int

func (n *flexibleInt) UnmarshalJSON(data []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(data), `"`))
	*n = flexibleInt(v)
	return err
}

type serverAnswer struct {
	Server Server `json:"server"`
}

// Servers lists the account's servers. None is answered as [] today and as 404 SERVER_NOT_FOUND by the
// documentation; both are an empty list.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	found, err := list[serverAnswer](ctx, c, "/server", "SERVER_NOT_FOUND", "NOT_FOUND")
	servers := make([]Server, len(found))
	for i, f := range found {
		if f.Server.Number == 0 {
			return nil, garbled("/server", errors.New("an entry has no server_number"))
		}
		servers[i] = f.Server
	}
	return servers, err
}

// Server reads one server.
func (c *Client) Server(ctx context.Context, number int64) (Server, error) {
	var a serverAnswer
	path := at("/server", number)
	if err := c.get(ctx, path, &a); err != nil {
		return Server{}, err
	}
	if a.Server.Number != number {
		return Server{}, garbled(path, errors.New("it is not about this server"))
	}
	return a.Server, nil
}

// Rename sets the name of a server.
func (c *Client) Rename(ctx context.Context, number int64, name string) error {
	return c.post(ctx, at("/server", number), url.Values{"server_name": {name}}, &serverAnswer{})
}

// list reads a JSON array. Robot answers an empty one in two ways: the codes given say "none".
func list[T any](ctx context.Context, c *Client, path string, none ...string) ([]T, error) {
	var found []T
	err := c.get(ctx, path, &found)
	if hasCode(err, none...) {
		return nil, nil
	}
	if err == nil && found == nil {
		return nil, garbled(path, errors.New("it is null instead of a list"))
	}
	return found, err
}

// at is the path of a resource of a server (or of a vSwitch).
func at(resource string, number int64, more ...string) string {
	return strings.Join(append([]string{resource, strconv.FormatInt(number, 10)}, more...), "/")
}

// resourceOf is the first element of a path.
func resourceOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name
}
