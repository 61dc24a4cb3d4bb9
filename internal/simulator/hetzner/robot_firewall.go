package hetzner

import (
	"net/http"
	"slices"
	"time"
)

// firewall of a dedicated server: kept and shown, but it filters nothing here.
type firewall struct {
	active     bool
	filterIPv6 bool
	whitelist  bool
	input      []rule
	output     []rule
	until      time.Time // "in process" until then
}

// rule has null for what does not matter.
type rule struct {
	IPVersion *string `json:"ip_version"`
	Name      *string `json:"name"`
	DstIP     *string `json:"dst_ip"`
	SrcIP     *string `json:"src_ip"`
	DstPort   *string `json:"dst_port"`
	SrcPort   *string `json:"src_port"`
	Protocol  *string `json:"protocol"`
	TCPFlags  *string `json:"tcp_flags"`
	Action    *string `json:"action"`
}

// newFirewall is also what DELETE leaves: the doubled input rule was seen.
func newFirewall() firewall {
	all := rule{Name: new("Allow all"), Action: new("accept")}
	return firewall{whitelist: true, input: []rule{all, all}, output: []rule{all}}
}

func (s *dedicated) filter(now time.Time) any {
	f := s.firewall
	status := "disabled"
	switch {
	case now.Before(f.until):
		status = "in process"
	case f.active:
		status = "active"
	}
	return wrap("firewall", struct {
		ServerIP     *string           `json:"server_ip"`
		ServerNumber int64             `json:"server_number"`
		Status       string            `json:"status"`
		FilterIPv6   bool              `json:"filter_ipv6"`
		WhitelistHOS bool              `json:"whitelist_hos"`
		Port         string            `json:"port"`
		Rules        map[string][]rule `json:"rules"`
	}{s.ref().ServerIP, s.Number, status, f.filterIPv6, f.whitelist, "main", map[string][]rule{"input": f.input, "output": f.output}})
}

func (r *Robot) getFirewall(c *robotCall, s *dedicated) answer { return ok(s.filter(c.now)) }

func (r *Robot) setFirewall(c *robotCall, s *dedicated) answer {
	status := c.form.get("status")
	switch {
	case c.now.Before(s.firewall.until):
		return fail(http.StatusConflict, "FIREWALL_IN_PROCESS", "the firewall is being changed")
	case c.form.has("template_id"):
		return fail(http.StatusNotFound, "FIREWALL_TEMPLATE_NOT_FOUND", "firewall template not found")
	case status == "":
		return invalid([]string{"status"}, nil)
	case status != "active" && status != "disabled":
		return invalid(nil, []string{"status"})
	}
	f := firewall{
		active: status == "active", filterIPv6: c.form.get("filter_ipv6") == "true",
		whitelist: c.form.get("whitelist_hos") != "false", until: c.now.Add(r.world.Real(r.o.FirewallTime)),
	}
	var good bool
	if f.input, good = rules(c.form.records("rules[input]")); good {
		f.output, good = rules(c.form.records("rules[output]"))
	}
	if !good { // documented as 409 FIREWALL_RULE_LIMIT_EXCEEDED for too many, seen as this
		return invalid(nil, []string{"rules"})
	}
	s.firewall = f
	a := r.getFirewall(c, s)
	a.status = http.StatusAccepted
	return a
}

func (r *Robot) clearFirewall(c *robotCall, s *dedicated) answer {
	if c.now.Before(s.firewall.until) {
		return fail(http.StatusConflict, "FIREWALL_IN_PROCESS", "the firewall is being changed")
	}
	s.firewall = newFirewall()
	s.firewall.until = c.now.Add(r.world.Real(r.o.FirewallTime))
	a := r.getFirewall(c, s)
	a.status = http.StatusAccepted
	return a
}

// rules reads one direction: at most ten, each with an action; a protocol needs an IP version.
func rules(records []map[string]string) ([]rule, bool) {
	all := []rule{}
	for _, rec := range records {
		at := func(name string) *string {
			if v := rec[name]; v != "" {
				return &v
			}
			return nil
		}
		one := rule{at("ip_version"), at("name"), at("dst_ip"), at("src_ip"), at("dst_port"), at("src_port"), at("protocol"), at("tcp_flags"), at("action")}
		if !slices.Contains([]string{"accept", "discard"}, rec["action"]) || one.Protocol != nil && one.IPVersion == nil {
			return nil, false
		}
		all = append(all, one)
	}
	return all, len(all) <= 10
}
