package hetzner

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// thing is an object of a project that is only kept: an SSH key, a network, a firewall, a placement group.
type thing interface{ top() *head }

// head is what they have in common.
type head struct {
	ID      int64             `json:"id"`
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Created stamp             `json:"created"`
}

func (h *head) top() *head { return h }

type sshKey struct {
	head
	Fingerprint string `json:"fingerprint"`
	PublicKey   string `json:"public_key"`
	public      ssh.PublicKey
}

type network struct {
	head
	IPRange               string          `json:"ip_range"`
	Subnets               []subnet        `json:"subnets"`
	Routes                []networkRoute  `json:"routes"`
	Servers               []int64         `json:"servers"`
	LoadBalancers         []int64         `json:"load_balancers"`
	Protection            map[string]bool `json:"protection"`
	ExposeRoutesToVSwitch bool            `json:"expose_routes_to_vswitch"`
}

type subnet struct {
	Type        string `json:"type"`
	IPRange     string `json:"ip_range"`
	NetworkZone string `json:"network_zone"`
	Gateway     string `json:"gateway"`
	VSwitchID   *int64 `json:"vswitch_id"`
}

type networkRoute struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway"`
}

type cloudFirewall struct {
	head
	Rules     []cloudRule `json:"rules"`
	AppliedTo []any       `json:"applied_to"`
}

type cloudRule struct {
	Direction      string   `json:"direction"`
	SourceIPs      []string `json:"source_ips"`
	DestinationIPs []string `json:"destination_ips"`
	Protocol       string   `json:"protocol"`
	Port           *string  `json:"port"`
	Description    *string  `json:"description"`
}

type placementGroup struct {
	head
	Type    string  `json:"type"`
	Servers []int64 `json:"servers"`
}

// shelf serves one kind of thing.
type shelf struct {
	plural, singular string
	make             func(c *cloudCall, h head) (thing, answer) // nil and a refusal, or the thing
}

func shelves() []shelf {
	return []shelf{
		{"ssh_keys", "ssh_key", newSSHKey},
		{"networks", "network", newNetwork},
		{"firewalls", "firewall", newCloudFirewall},
		{"placement_groups", "placement_group", newPlacementGroup},
	}
}

// thing finds one by id, nil if there is none.
func (p *project) thing(plural string, id int64) thing {
	for _, t := range p.shelves[plural] {
		if t.top().ID == id {
			return t
		}
	}
	return nil
}

// refresh fills in the servers that use a thing, and gives a copy to show.
func (cl *Cloud) refresh(c *cloudCall, t thing) thing {
	users := func(uses func(*virtual) bool) []int64 {
		ids := []int64{}
		for _, v := range cl.all(c) {
			if uses(v) {
				ids = append(ids, v.Number)
			}
		}
		return ids
	}
	switch t := t.(type) {
	case *network:
		n := *t
		n.Servers = users(func(v *virtual) bool {
			return slices.ContainsFunc(v.nets, func(a attachment) bool { return a.Network == t.ID })
		})
		return &n
	case *placementGroup:
		g := *t
		g.Servers = users(func(v *virtual) bool { return v.group == t.ID })
		return &g
	case *cloudFirewall:
		f := *t
		f.AppliedTo = []any{}
		for _, id := range users(func(v *virtual) bool { return slices.Contains(v.walls, t.ID) }) {
			f.AppliedTo = append(f.AppliedTo, map[string]any{"type": "server", "server": map[string]any{"id": id}})
		}
		return &f
	}
	return t
}

func (cl *Cloud) listThings(s shelf) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		var all []item
		for _, t := range c.shelves[s.plural] {
			h := t.top()
			i := item{id: h.ID, name: h.Name, labels: h.Labels, view: func() any { return cl.refresh(c, t) }}
			if k, isKey := t.(*sshKey); isKey {
				i.fields = map[string]string{"fingerprint": k.Fingerprint}
			}
			all = append(all, i)
		}
		return list(c, s.plural, all)
	}
}

func (cl *Cloud) withThing(s shelf, handle func(*cloudCall, thing) answer) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		t := c.thing(s.plural, number(c.args[0]))
		if t == nil {
			return notFound(strings.ReplaceAll(s.singular, "_", " "))
		}
		return handle(c, t)
	}
}

func (cl *Cloud) getThing(s shelf) func(*cloudCall) answer {
	return cl.withThing(s, func(c *cloudCall, t thing) answer { return ok(map[string]any{s.singular: cl.refresh(c, t)}) })
}

func (cl *Cloud) createThing(s shelf) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		in, refusal, good := read[struct {
			Name   string             `json:"name"`
			Labels *map[string]string `json:"labels"`
		}](c)
		switch {
		case !good:
			return refusal
		case in.Name == "":
			return wrongField("name", "is required")
		}
		if a, wrong := badLabels(in.Labels); wrong {
			return a
		}
		h := head{ID: cl.id(), Name: in.Name, Labels: map[string]string{}, Created: stamp(c.now)}
		if in.Labels != nil {
			h.Labels = cloneLabels(*in.Labels)
		}
		t, refusal := s.make(c, h)
		if t == nil {
			return refusal
		}
		if c.named(s, in.Name) {
			return notUniqueField("name")
		}
		c.shelves[s.plural] = append(c.shelves[s.plural], t)
		body := map[string]any{s.singular: cl.refresh(c, t)}
		if s.plural == "firewalls" {
			body["actions"] = []any{}
		}
		return answer{status: http.StatusCreated, body: body}
	}
}

func (p *project) named(s shelf, name string) bool {
	return slices.ContainsFunc(p.shelves[s.plural], func(t thing) bool { return t.top().Name == name })
}

func (cl *Cloud) updateThing(s shelf) func(*cloudCall) answer {
	return cl.withThing(s, func(c *cloudCall, t thing) answer {
		in, refusal, good := read[struct {
			Name   string             `json:"name"`
			Labels *map[string]string `json:"labels"`
		}](c)
		if !good {
			return refusal
		}
		if in.Name != "" && in.Name != t.top().Name && c.named(s, in.Name) {
			return notUniqueField("name")
		}
		if a, wrong := badLabels(in.Labels); wrong {
			return a
		}
		if in.Name != "" {
			t.top().Name = in.Name
		}
		if in.Labels != nil {
			t.top().Labels = cloneLabels(*in.Labels)
		}
		return ok(map[string]any{s.singular: cl.refresh(c, t)})
	})
}

func (cl *Cloud) deleteThing(s shelf) func(*cloudCall) answer {
	return cl.withThing(s, func(c *cloudCall, t thing) answer {
		if f, isWall := cl.refresh(c, t).(*cloudFirewall); isWall && len(f.AppliedTo) > 0 {
			return refuse(http.StatusUnprocessableEntity, "resource_in_use", "firewall is still in use")
		}
		for _, v := range cl.all(c) { // deleting a network or a group detaches its servers
			v.nets = slices.DeleteFunc(v.nets, func(a attachment) bool { return a.Network == t.top().ID })
			if v.group == t.top().ID {
				v.group = 0
			}
		}
		c.shelves[s.plural] = slices.DeleteFunc(c.shelves[s.plural], func(o thing) bool { return o == t })
		return answer{status: http.StatusNoContent}
	})
}

// newSSHKey: the fingerprint is as unique as the name.
func newSSHKey(c *cloudCall, h head) (thing, answer) {
	in, refusal, good := read[sshKey](c)
	if !good {
		return nil, refusal
	}
	public := parseKey(in.PublicKey)
	if public == nil {
		return nil, wrongField("public_key", "is not a valid SSH public key")
	}
	k := &sshKey{head: h, Fingerprint: ssh.FingerprintLegacyMD5(public), PublicKey: strings.TrimSpace(in.PublicKey), public: public}
	if slices.ContainsFunc(c.shelves["ssh_keys"], func(t thing) bool { return t.(*sshKey).Fingerprint == k.Fingerprint }) {
		return nil, notUniqueField("fingerprint")
	}
	return k, answer{}
}

func newNetwork(c *cloudCall, h head) (thing, answer) {
	in, refusal, good := read[network](c)
	if !good {
		return nil, refusal
	}
	whole, err := netip.ParsePrefix(in.IPRange)
	if err != nil {
		return nil, wrongField("ip_range", "is not a network")
	}
	n := &network{
		head: h, IPRange: in.IPRange, Subnets: []subnet{}, Routes: append([]networkRoute{}, in.Routes...), LoadBalancers: []int64{},
		Protection: map[string]bool{"delete": false}, ExposeRoutesToVSwitch: in.ExposeRoutesToVSwitch,
	}
	for _, s := range in.Subnets {
		r, err := netip.ParsePrefix(s.IPRange)
		if err != nil || !whole.Contains(r.Addr()) {
			return nil, wrongField("subnets", "is not inside of the network")
		}
		s.Gateway = whole.Masked().Addr().Next().String() // of the whole network
		n.Subnets = append(n.Subnets, s)
	}
	return n, answer{}
}

// free gives the wanted address, or the first of a subnet that nobody has; the first two are the network's.
func (n *network) free(want string, used map[string]bool) (string, bool) {
	for _, s := range n.Subnets {
		r, err := netip.ParsePrefix(s.IPRange)
		if err != nil {
			continue
		}
		if want != "" {
			if a, err := netip.ParseAddr(want); err == nil && r.Contains(a) && !used[want] {
				return want, true
			}
			continue
		}
		for a := r.Masked().Addr().Next().Next(); r.Contains(a); a = a.Next() {
			if !used[a.String()] {
				return a.String(), true
			}
		}
	}
	return "", false
}

func newCloudFirewall(c *cloudCall, h head) (thing, answer) {
	in, refusal, good := read[cloudFirewall](c)
	if !good {
		return nil, refusal
	}
	if len(in.Rules) > 50 {
		return nil, wrongField("rules", "too many rules")
	}
	f := &cloudFirewall{head: h, Rules: []cloudRule{}}
	for _, r := range in.Rules {
		r.SourceIPs, r.DestinationIPs = append([]string{}, r.SourceIPs...), append([]string{}, r.DestinationIPs...)
		f.Rules = append(f.Rules, r)
	}
	return f, answer{}
}

func newPlacementGroup(c *cloudCall, h head) (thing, answer) {
	in, refusal, good := read[placementGroup](c)
	switch {
	case !good:
		return nil, refusal
	case in.Type != "spread":
		return nil, wrongField("type", "must be spread")
	}
	return &placementGroup{head: h, Type: in.Type}, answer{}
}

// UnmarshalJSON keeps created out of requests, which never carry it.
func (s *stamp) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, new(any)) }
