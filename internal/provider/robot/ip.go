package robot

import (
	"context"
	"net/url"
)

// IP is a single IPv4 address with what a static configuration needs.
type IP struct {
	IP      string      `json:"ip"`
	Gateway string      `json:"gateway"`
	Mask    flexibleInt `json:"mask"` // prefix length
	Locked  bool        `json:"locked"`
}

// IP reads an address. Only a single one comes with gateway and mask. Locked: Hetzner has cut it off.
func (c *Client) IP(ctx context.Context, address string) (IP, error) {
	var a struct {
		IP IP `json:"ip"`
	}
	err := c.get(ctx, "/ip/"+url.PathEscape(address), &a)
	return a.IP, err
}
