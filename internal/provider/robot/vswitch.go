package robot

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
)

// VSwitch is a layer-2 network. Unlike everything else it comes without a wrapping object.
type VSwitch struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	VLAN      int             `json:"vlan"`
	Cancelled bool            `json:"cancelled"` // stays listed until its end
	Members   []VSwitchMember `json:"server"`    // only when read singly
}

// VSwitchMember is a server in a vSwitch. While Robot works, its status is "in process" (documented) or
// "processing" (seen).
type VSwitchMember struct {
	Number int64  `json:"server_number"`
	Status string `json:"status"` // "ready", "failed" or in between
}

// Member finds a server in the vSwitch.
func (v VSwitch) Member(server int64) (VSwitchMember, bool) {
	i := slices.IndexFunc(v.Members, func(m VSwitchMember) bool { return m.Number == server })
	if i < 0 {
		return VSwitchMember{}, false
	}
	return v.Members[i], true
}

// VSwitches lists the vSwitches without their members.
func (c *Client) VSwitches(ctx context.Context) ([]VSwitch, error) {
	found, err := list[VSwitch](ctx, c, "/vswitch", "NOT_FOUND")
	if slices.ContainsFunc(found, func(v VSwitch) bool { return v.ID == 0 }) {
		return nil, garbled("/vswitch", errors.New("an entry has no id"))
	}
	return found, err
}

// VSwitch reads one with its members.
func (c *Client) VSwitch(ctx context.Context, id int64) (VSwitch, error) {
	var v VSwitch
	if err := c.get(ctx, at("/vswitch", id), &v); err != nil {
		return v, err
	}
	if v.ID != id {
		return v, garbled(at("/vswitch", id), errors.New("it is not about this vSwitch"))
	}
	return v, nil
}

// JoinVSwitch begins to put a server into a vSwitch. The answer has no body.
func (c *Client) JoinVSwitch(ctx context.Context, id, server int64) error {
	return c.post(ctx, at("/vswitch", id, "server"), members(server), nil)
}

// LeaveVSwitch begins to take a server out.
func (c *Client) LeaveVSwitch(ctx context.Context, id, server int64) error {
	return c.delete(ctx, at("/vswitch", id, "server"), members(server))
}

func members(server int64) url.Values {
	return url.Values{"server[]": {strconv.FormatInt(server, 10)}}
}
