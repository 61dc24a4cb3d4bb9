package hetzner

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// vswitch of an account. Changes of its members run for a while; nothing else may change meanwhile.
type vswitch struct {
	id        int64
	name      string
	vlan      int
	cancelled bool
	members   []*member
}

// member is a server in a vSwitch: "processing" until its time has come, then ready, failed or gone.
type member struct {
	*dedicated
	until   time.Time
	leaving bool
	failed  bool
}

func (m *member) status(now time.Time) string {
	switch {
	case now.Before(m.until): // documented as "in process", seen as this
		return "processing"
	case m.failed:
		return "failed"
	}
	return "ready"
}

// settle lets the members go whose time has come.
func (v *vswitch) settle(now time.Time) {
	v.members = slices.DeleteFunc(v.members, func(m *member) bool { return m.leaving && !now.Before(m.until) })
}

func (v *vswitch) member(s *dedicated) *member {
	i := slices.IndexFunc(v.members, func(m *member) bool { return m.dedicated == s })
	if i < 0 {
		return nil
	}
	return v.members[i]
}

func (v *vswitch) busy(now time.Time) bool {
	return slices.ContainsFunc(v.members, func(m *member) bool { return now.Before(m.until) })
}

// shortVSwitch and fullVSwitch are the only objects of Robot that are not wrapped.
type shortVSwitch struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	VLAN      int    `json:"vlan"`
	Cancelled bool   `json:"cancelled"`
}

type fullVSwitch struct {
	shortVSwitch
	Server       []memberView  `json:"server"`
	Subnet       []networkView `json:"subnet"`
	CloudNetwork []networkView `json:"cloud_network"`
}

type memberView struct {
	serverRef
	Status string `json:"status"`
}

// networkView of a vSwitch; this simulator sells none.
type networkView struct {
	ID      int64  `json:"id,omitempty"`
	IP      string `json:"ip"`
	Mask    int    `json:"mask"`
	Gateway string `json:"gateway"`
}

func (v *vswitch) short() shortVSwitch { return shortVSwitch{v.id, v.name, v.vlan, v.cancelled} }

func (v *vswitch) full(now time.Time) fullVSwitch {
	f := fullVSwitch{v.short(), []memberView{}, []networkView{}, []networkView{}}
	for _, m := range v.members {
		f.Server = append(f.Server, memberView{m.ref(), m.status(now)})
	}
	return f
}

func (r *Robot) withVSwitch(handle func(*robotCall, *vswitch) answer) func(*robotCall) answer {
	return func(c *robotCall) answer {
		for _, v := range c.vswitches {
			v.settle(c.now)
			if strconv.FormatInt(v.id, 10) == c.args[0] {
				return handle(c, v)
			}
		}
		return fail(http.StatusNotFound, "NOT_FOUND", "vswitch not found")
	}
}

func (r *Robot) listVSwitches(c *robotCall) answer {
	var all []any
	for _, v := range c.vswitches {
		all = append(all, v.short())
	}
	return r.list("/vswitch", all)
}

func (r *Robot) getVSwitch(c *robotCall, v *vswitch) answer { return ok(v.full(c.now)) }

// named reads name and vlan, both required by POST to the list and to a single vSwitch.
func (f form) named() (vlan int, refusal answer, ok bool) {
	if missing := f.missing("name", "vlan"); len(missing) > 0 {
		return 0, invalid(missing, nil), false
	}
	vlan, err := strconv.Atoi(f.get("vlan"))
	if err != nil || vlan < 4000 || vlan > 4091 {
		return 0, invalid(nil, []string{"vlan"}), false
	}
	return vlan, answer{}, true
}

func (r *Robot) addVSwitch(c *robotCall) answer {
	vlan, refusal, good := c.form.named()
	if !good {
		return refusal
	}
	v := &vswitch{id: c.nextID, name: c.form.get("name"), vlan: vlan}
	c.nextID++
	c.vswitches = append(c.vswitches, v)
	return r.getVSwitch(c, v)
}

func (r *Robot) changeVSwitch(c *robotCall, v *vswitch) answer {
	vlan, refusal, good := c.form.named()
	switch {
	case !good:
		return refusal
	case v.busy(c.now):
		return inProcess()
	case slices.ContainsFunc(v.members, func(m *member) bool { return c.tagged(m.dedicated, vlan, v) }):
		return notUnique()
	}
	v.name = c.form.get("name")
	if v.vlan != vlan {
		v.vlan = vlan
		for _, m := range v.members {
			m.until = c.now.Add(r.world.Real(r.o.VSwitchTime))
		}
	}
	return answer{status: http.StatusOK}
}

func (r *Robot) cancelVSwitch(c *robotCall, v *vswitch) answer {
	if missing := c.form.missing("cancellation_date"); len(missing) > 0 {
		return invalid(missing, nil)
	}
	if when := c.form.get("cancellation_date"); when != "now" {
		if _, err := time.Parse(time.DateOnly, when); err != nil {
			return invalid(nil, []string{"cancellation_date"})
		}
	}
	if v.cancelled {
		return fail(http.StatusConflict, "CONFLICT", "the vswitch is already cancelled")
	}
	v.cancelled = true
	return answer{status: http.StatusOK}
}

// The limits of a vSwitch [doc Hetzner vSwitch].
const (
	maxMembers   = 100
	maxVSwitches = 5
)

func (r *Robot) addMembers(c *robotCall, v *vswitch) answer {
	servers, refusal, good := r.servers(c, v)
	if !good {
		return refusal
	}
	servers = slices.DeleteFunc(servers, func(s *dedicated) bool { return v.member(s) != nil })
	if len(v.members)+len(servers) > maxMembers {
		return fail(http.StatusConflict, "VSWITCH_SERVER_LIMIT_REACHED", "the maximum number of servers is reached")
	}
	for _, s := range servers {
		switch {
		case c.tagged(s, v.vlan, v):
			return notUnique()
		case len(c.switchesOf(s)) >= maxVSwitches:
			return fail(http.StatusConflict, "VSWITCH_PER_SERVER_LIMIT_REACHED", "the maximum number of vswitches per server is reached")
		}
	}
	for _, s := range servers {
		m := &member{dedicated: s, until: c.now.Add(r.world.Real(r.o.VSwitchTime)), failed: r.trouble.VSwitchFails > 0}
		if m.failed {
			r.trouble.VSwitchFails--
		}
		v.members = append(v.members, m)
	}
	return answer{status: http.StatusCreated}
}

func (r *Robot) removeMembers(c *robotCall, v *vswitch) answer {
	servers, refusal, good := r.servers(c, v)
	if !good {
		return refusal
	}
	for _, s := range servers {
		m := v.member(s)
		if m == nil {
			return fail(http.StatusNotFound, "SERVER_NOT_FOUND", "server not found in vswitch")
		}
		m.leaving, m.until = true, c.now.Add(r.world.Real(r.o.VSwitchTime))
	}
	return answer{status: http.StatusOK}
}

// servers reads the servers of a change of members, and refuses while they or the vSwitch are changing.
func (r *Robot) servers(c *robotCall, v *vswitch) ([]*dedicated, answer, bool) {
	refs := c.form.list("server")
	if len(refs) == 0 {
		return nil, invalid([]string{"server"}, nil), false
	}
	busy := v.busy(c.now)
	var all []*dedicated
	for _, ref := range refs {
		s := r.find(c, ref)
		if s == nil {
			return nil, fail(http.StatusNotFound, "SERVER_NOT_FOUND", "server not found"), false
		}
		for _, other := range c.switchesOf(s) {
			busy = busy || c.now.Before(other.member(s).until)
		}
		all = append(all, s)
	}
	if busy {
		return nil, inProcess(), false
	}
	return all, answer{}, true
}

// switchesOf lists the vSwitches a server is in.
func (a *account) switchesOf(s *dedicated) []*vswitch {
	return slices.DeleteFunc(slices.Clone(a.vswitches), func(v *vswitch) bool { return v.member(s) == nil })
}

// tagged says whether the server carries the VLAN already, in another vSwitch.
func (a *account) tagged(s *dedicated, vlan int, but *vswitch) bool {
	return slices.ContainsFunc(a.switchesOf(s), func(v *vswitch) bool { return v != but && v.vlan == vlan })
}

func inProcess() answer {
	return fail(http.StatusConflict, "VSWITCH_IN_PROCESS", "There is an update running, please try again later")
}

func notUnique() answer {
	return fail(http.StatusConflict, "VSWITCH_VLAN_NOT_UNIQUE", "the vlan is already used by another vswitch of the server")
}
