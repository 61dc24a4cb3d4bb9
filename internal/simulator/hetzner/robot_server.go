package hetzner

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// dedicated is what Robot knows of a machine besides the machine.
type dedicated struct {
	*world.Machine
	name     string
	rescue   *activation // the last one, nil if there never was one
	manual   time.Time   // a technician is busy until then
	firewall firewall
}

// serverRef is how every answer names its server.
type serverRef struct {
	ServerIP      *string `json:"server_ip"` // null: IPv6 only
	ServerIPv6Net *string `json:"server_ipv6_net"`
	ServerNumber  int64   `json:"server_number"`
}

func (s *dedicated) ref() serverRef {
	ref := serverRef{ServerNumber: s.Number}
	if s.IPv4.IsValid() {
		ref.ServerIP = new(s.IPv4.String())
	}
	if s.IPv6Net.IsValid() {
		ref.ServerIPv6Net = new(s.IPv6Net.Masked().Addr().String())
	}
	return ref
}

// shortServer is what a listing shows.
type shortServer struct {
	serverRef
	ServerName       string       `json:"server_name"`
	Product          string       `json:"product"`
	DC               string       `json:"dc"`
	Traffic          string       `json:"traffic"`
	Status           string       `json:"status"`
	Cancelled        bool         `json:"cancelled"`
	PaidUntil        string       `json:"paid_until"`
	IP               []string     `json:"ip"`
	Subnet           []maskedText `json:"subnet"`
	LinkedStorageBox *int64       `json:"linked_storagebox"`
}

// maskedText is a network whose mask is a string, as /server writes it. Elsewhere it is a number.
type maskedText struct {
	IP   string `json:"ip"`
	Mask string `json:"mask"`
}

// fullServer is what GET of a single server adds.
type fullServer struct {
	shortServer
	Reset   bool `json:"reset"`
	Rescue  bool `json:"rescue"`
	VNC     bool `json:"vnc"`
	Windows bool `json:"windows"`
	Plesk   bool `json:"plesk"`
	CPanel  bool `json:"cpanel"`
	WOL     bool `json:"wol"`
	HotSwap bool `json:"hot_swap"`
}

func (s *dedicated) short(now time.Time) shortServer {
	v := shortServer{
		serverRef: s.ref(), ServerName: s.name, Product: s.Product, DC: s.Location, Traffic: "unlimited",
		Status: "ready", PaidUntil: now.AddDate(0, 1, 0).Format(time.DateOnly),
	}
	if s.IPv4.IsValid() {
		v.IP = []string{s.IPv4.String()}
	}
	if s.IPv6Net.IsValid() {
		v.Subnet = []maskedText{{s.IPv6Net.Masked().Addr().String(), strconv.Itoa(s.IPv6Net.Bits())}}
	}
	return v
}

func (s *dedicated) full(now time.Time) fullServer {
	return fullServer{
		shortServer: s.short(now), Reset: true, Rescue: true, VNC: true, Windows: s.Arch == "amd64",
		Plesk: true, CPanel: true, WOL: true,
	}
}

// all gives the servers of the caller, in the order they came into the world.
func (r *Robot) all(c *robotCall) []*dedicated {
	var mine []*dedicated
	for _, m := range r.world.Machines() {
		if m.Kind == world.Dedicated && m.Project == c.User {
			mine = append(mine, c.know(m))
		}
	}
	return mine
}

// know gives what the account knows of a machine.
func (a *account) know(m *world.Machine) *dedicated {
	s := a.servers[m]
	if s == nil {
		s = &dedicated{Machine: m, name: m.Name, firewall: newFirewall()}
		a.servers[m] = s
	}
	return s
}

// find resolves a reference: a number, the main IPv4 address, or the IPv6 net.
func (r *Robot) find(c *robotCall, ref string) *dedicated {
	number, _ := strconv.ParseInt(ref, 10, 64)
	addr, _ := netip.ParseAddr(strings.TrimSuffix(ref, "/64"))
	for _, m := range r.world.Machines() {
		if m.Kind != world.Dedicated || m.Project != c.User {
			continue
		}
		byNet := addr.IsValid() && m.IPv6Net.IsValid() && m.IPv6Net.Masked().Addr() == addr
		byAddr := addr.IsValid() && m.IPv4 == addr
		if number > 0 && m.Number == number || byAddr || byNet {
			return c.know(m)
		}
	}
	return nil
}

// withServer resolves the first variable of the path.
func (r *Robot) withServer(handle func(*robotCall, *dedicated) answer) func(*robotCall) answer {
	return func(c *robotCall) answer {
		s := r.find(c, c.args[0])
		if s == nil {
			return fail(http.StatusNotFound, "SERVER_NOT_FOUND", "server not found")
		}
		return handle(c, s)
	}
}

// root answers the empty path, which hrobot-go asks for to check credentials.
func (r *Robot) root(*robotCall) answer { return answer{status: http.StatusOK} }

// list answers a listing of wrapped objects; an empty one in the way of its endpoint.
func (r *Robot) list(path string, wrapped []any) answer {
	if len(wrapped) > 0 {
		return ok(wrapped)
	}
	seen := path == "/server" || path == "/vswitch" || path == "/rdns"
	switch {
	case path == "/vswitch", seen && !r.o.DocumentedEmptyLists:
		return ok([]any{})
	case path == "/server":
		return fail(http.StatusNotFound, "SERVER_NOT_FOUND", "No server found")
	}
	return fail(http.StatusNotFound, "NOT_FOUND", "No "+strings.TrimPrefix(path, "/")+"s found")
}

func wrap(name string, v any) map[string]any { return map[string]any{name: v} }

func (r *Robot) listServers(c *robotCall) answer {
	var all []any
	for _, s := range r.all(c) {
		all = append(all, wrap("server", s.short(c.now)))
	}
	return r.list("/server", all)
}

func (r *Robot) getServer(c *robotCall, s *dedicated) answer {
	return ok(wrap("server", s.full(c.now)))
}

func (r *Robot) renameServer(c *robotCall, s *dedicated) answer {
	if !c.form.has("server_name") {
		return invalid([]string{"server_name"}, nil)
	}
	name := c.form.get("server_name")
	bad := func(l rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._ ", l)
	}
	if len(name) > 100 || strings.ContainsFunc(name, bad) {
		return invalid(nil, []string{"server_name"})
	}
	s.name = name
	return r.getServer(c, s)
}

func (r *Robot) getCancellation(c *robotCall, s *dedicated) answer {
	type cancellation struct {
		serverRef
		ServerName               string   `json:"server_name"`
		EarliestCancellationDate string   `json:"earliest_cancellation_date"`
		Cancelled                bool     `json:"cancelled"`
		ReservationPossible      bool     `json:"reservation_possible"`
		Reserved                 bool     `json:"reserved"`
		CancellationDate         *string  `json:"cancellation_date"`
		CancellationReason       []string `json:"cancellation_reason"` // the choices, while not cancelled
	}
	return ok(wrap("cancellation", cancellation{
		serverRef: s.ref(), ServerName: s.name,
		EarliestCancellationDate: c.now.AddDate(0, 1, 0).Format(time.DateOnly),
		CancellationReason:       []string{"Upgrade to a new server", "Dissatisfied with the hardware", "Server no longer necessary"},
	}))
}

// noList answers listings of things that this simulator never has.
func (r *Robot) noList(path string) func(*robotCall) answer {
	return func(*robotCall) answer { return r.list(path, nil) }
}

func (r *Robot) noFailover(*robotCall) answer {
	return fail(http.StatusNotFound, "NOT_FOUND", "failover ip not found")
}

// noOrdering is what an account gets that has not enabled ordering: a 401 with good credentials.
func (r *Robot) noOrdering(*robotCall) answer {
	return fail(http.StatusUnauthorized, "UNAUTHORIZED", "Unauthorized")
}

// traffic of addresses: none flowed.
func (r *Robot) traffic(c *robotCall) answer {
	if missing := c.form.missing("type", "from", "to"); len(missing) > 0 {
		return invalid(missing, nil)
	}
	if !slices.Contains([]string{"day", "month", "year"}, c.form.get("type")) {
		return invalid(nil, []string{"type"})
	}
	type sums struct {
		In  float64 `json:"in"`
		Out float64 `json:"out"`
		Sum float64 `json:"sum"`
	}
	data := map[string]sums{}
	for _, ip := range append(c.form.list("ip"), c.form.list("subnet")...) {
		data[ip] = sums{}
	}
	return ok(wrap("traffic", map[string]any{"type": c.form.get("type"), "from": c.form.get("from"), "to": c.form.get("to"), "data": data}))
}
