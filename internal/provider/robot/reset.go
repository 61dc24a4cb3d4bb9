package robot

import (
	"context"
	"net/url"
	"slices"
)

// The types of reset that a program may use. "man" calls a technician and has no name here.
const (
	ResetSoftware  = "sw"         // Ctrl-Alt-Del; an operating system may ignore it
	ResetHardware  = "hw"         // the reset button; does nothing on a server that is off
	ResetPower     = "power"      // the power button: ACPI shutdown when on, on when off
	ResetPowerLong = "power_long" // forced off, and stays off
)

// Reset is what can be done to a server's power, and its state: "running", "shut off" or "not supported".
type Reset struct {
	Types  words  `json:"type"`
	Status string `json:"operating_status"`
}

// Offers says whether a type of reset is to be had.
func (r Reset) Offers(kind string) bool { return slices.Contains(r.Types, kind) }

type resetAnswer struct {
	Reset Reset `json:"reset"`
}

// ResetOptions reads what can be done, and whether the server is on.
func (c *Client) ResetOptions(ctx context.Context, number int64) (Reset, error) {
	var a resetAnswer
	err := c.get(ctx, at("/reset", number), &a)
	return a.Reset, err
}

// Reset does it. The answer takes some 3 s and says only that the order was taken.
func (c *Client) Reset(ctx context.Context, number int64, kind string) error {
	return c.post(ctx, at("/reset", number), url.Values{"type": {kind}}, &resetAnswer{})
}

// Wake sends a wake-on-LAN packet, ten an hour. It starts a server that is off, if its board does that.
func (c *Client) Wake(ctx context.Context, number int64) error {
	return c.post(ctx, at("/wol", number), nil, nil)
}
