package hetzner_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const user, pass = "#ws+abcdef12", "secret"

// caller speaks to Robot as its clients do.
type caller struct {
	t          *testing.T
	plain      *http.Client
	user, pass string
}

func robotOf(t *testing.T, w *world.World, o hetzner.RobotOptions) (*hetzner.Robot, caller) {
	t.Helper()
	o.Logins = append(o.Logins, hetzner.Login{User: user, Password: pass})
	r := hetzner.NewRobot(w, o)
	return r, caller{t, serve(t, w, "robot.sim:80", r), user, pass}
}

// reply of Robot.
type reply struct {
	status int
	body   []byte
	header http.Header
}

// code of an error; it fails unless status and body agree.
func (r reply) code(t *testing.T) string {
	t.Helper()
	var e struct {
		Error struct {
			Status        int
			Code, Message string
		}
	}
	if json.Unmarshal(r.body, &e) != nil || e.Error.Status != r.status || e.Error.Message == "" {
		t.Errorf("%d with the body %s", r.status, r.body)
	}
	return e.Error.Code
}

// call sends parameters in the body, of DELETE too: "k=v", "k=v", …
func (c caller) call(method, path string, params ...string) reply {
	c.t.Helper()
	r, err := c.try(method, path, params...)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c caller) try(method, path string, params ...string) (reply, error) {
	var encoded []string
	for _, p := range params {
		k, v, _ := strings.Cut(p, "=")
		encoded = append(encoded, url.QueryEscape(k)+"="+url.QueryEscape(v))
	}
	req, err := http.NewRequest(method, "http://robot.sim"+path, strings.NewReader(strings.Join(encoded, "&")))
	if err != nil {
		return reply{}, err
	}
	req.SetBasicAuth(c.user, c.pass)
	resp, err := c.plain.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, body, resp.Header}, err
}

// ok wants a good answer.
func (c caller) ok(method, path string, params ...string) reply {
	c.t.Helper()
	r := c.call(method, path, params...)
	if r.status >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	return r
}

// refuses wants an error.
func (c caller) refuses(status int, code, method, path string, params ...string) {
	c.t.Helper()
	r := c.call(method, path, params...)
	if got := r.code(c.t); r.status != status || got != code {
		c.t.Errorf("%s %s %v: %d %s, want %d %s", method, path, params, r.status, got, status, code)
	}
}

// get reads one field of an answer: "rescue.active".
func (c caller) get(path, field string) any {
	c.t.Helper()
	v := decode(c.t, c.ok("GET", path).body)
	for k := range strings.SplitSeq(field, ".") {
		v = v.(map[string]any)[k]
	}
	return v
}

func (c caller) addKey() (fingerprint string, key ssh.PublicKey) {
	c.t.Helper()
	line, key := publicKey(c.t)
	c.ok("POST", "/key", "name=ops", "data="+line)
	return ssh.FingerprintLegacyMD5(key), key
}

func TestRobotAnswersInTheRecordedShapes(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{VSwitchTime: time.Millisecond})
	addMachines(w, world.Dedicated, user, 2)
	fp, _ := c.addKey()
	c.ok("POST", "/vswitch", "name=lan", "vlan=4000")
	c.ok("POST", "/vswitch/4321/server", "server=321")
	for _, tc := range []struct {
		sample, method, path string
		params               []string
		status               int
	}{
		{"robot/servers.json", "GET", "/server", nil, 200},
		{"robot/server.json", "GET", "/server/321", nil, 200},
		{"robot/server.json", "GET", "/server/203.0.113.10", nil, 200},
		{"robot/server.json", "POST", "/server/321", []string{"server_name=db-1"}, 200},
		{"robot/rescue-inactive.json", "GET", "/boot/321/rescue", nil, 200},
		{"robot/rescue-active.json", "POST", "/boot/321/rescue", []string{"os=linux", "authorized_key=" + fp}, 200},
		{"robot/rescue-active.json", "GET", "/boot/321/rescue", nil, 200},
		{"robot/rescue-inactive.json", "DELETE", "/boot/321/rescue", nil, 200},
		{"robot/resets.json", "GET", "/reset", nil, 200},
		{"robot/reset.json", "GET", "/reset/321", nil, 200},
		{"robot/reset-done.json", "POST", "/reset/321", []string{"type=hw"}, 200},
		{"robot/key.json", "GET", "/key/" + fp, nil, 200},
		{"robot/vswitch.json", "GET", "/vswitch/4321", nil, 200},
		{"robot/ip.json", "GET", "/ip/203.0.113.10", nil, 200},
		{"robot/subnet.json", "GET", "/subnet/2001:db8:10:20::", nil, 200},
		{"robot/rdns.json", "PUT", "/rdns/203.0.113.10", []string{"ptr=node-1.example.org"}, 201},
		{"robot/firewall.json", "POST", "/firewall/321", []string{
			"status=active", "rules[input][0][ip_version]=ipv4", "rules[input][0][name]=ssh",
			"rules[input][0][dst_port]=22", "rules[input][0][protocol]=tcp", "rules[input][0][action]=accept",
			"rules[output][0][name]=Allow all", "rules[output][0][action]=accept",
		}, 202},
		{"robot/error-not-found.json", "GET", "/server/1", nil, 404},
		{"robot/error-invalid.json", "POST", "/boot/321/rescue", []string{"os=linux", "authorized_key[]=00:11"}, 400},
		{"robot/error-missing.json", "POST", "/boot/321/rescue", nil, 400},
	} {
		r := c.call(tc.method, tc.path, tc.params...)
		if ct := r.header.Get("Content-Type"); r.status != tc.status || ct != "application/json; charset=utf-8" || r.header.Get("Server") != "Apache" {
			t.Errorf("%s %s: %d %s, want %d", tc.method, tc.path, r.status, ct, tc.status)
		}
		sameShape(t, tc.sample, r.body)
	}
}

func TestRobotTakesArraysInEveryForm(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{})
	addMachines(w, world.Dedicated, user, 1)
	a, _ := c.addKey()
	line, key := publicKey(t)
	b := ssh.FingerprintLegacyMD5(key)
	c.ok("POST", "/key", "name=two", "data="+line)
	for _, form := range [][]string{
		{"authorized_key=" + a, "authorized_key=" + b},
		{"authorized_key[]=" + a, "authorized_key[]=" + b},
		{"authorized_key[1]=" + b, "authorized_key[0]=" + a},
	} {
		var got struct {
			Rescue struct {
				Keys []struct{ Key struct{ Fingerprint string } } `json:"authorized_key"`
			}
		}
		if err := json.Unmarshal(c.ok("POST", "/boot/321/rescue", append(form, "os=linux")...).body, &got); err != nil {
			t.Fatal(err)
		}
		if k := got.Rescue.Keys; len(k) != 2 || k[0].Key.Fingerprint != a || k[1].Key.Fingerprint != b {
			t.Errorf("%v gives %v", form, k)
		}
	}
}

func TestRobotResets(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{SoftwareReset: func(m *world.Machine) bool { return m.Number == 322 }})
	m := addMachines(w, world.Dedicated, user, 2)[0]
	status := func(want string) {
		t.Helper()
		until(t, want, func() bool { return c.get("/reset/321", "reset.operating_status") == want })
	}
	up := func() { until(t, "a system", func() bool { return m.System() != nil }) }

	c.ok("POST", "/reset/321", "type=hw") // nothing on a board without power
	status("shut off")
	c.ok("POST", "/reset/321", "type=power")
	status("running")
	up()
	c.ok("POST", "/reset/321", "type=hw")
	until(t, "the second boot", func() bool { return m.Boots() == 2 })
	up()
	c.ok("POST", "/reset/321", "type=power") // a short press shuts down
	status("shut off")
	c.ok("POST", "/wol/321")
	status("running")
	c.ok("POST", "/reset/321", "type=power_long")
	status("shut off")

	if got := c.get("/reset/322", "reset").(map[string]any); got["operating_status"] != "not supported" || got["type"].([]any)[0] != "sw" {
		t.Errorf("the other family: %v", got)
	}
	c.refuses(400, "INVALID_INPUT", "POST", "/reset/322", "type=power")
	c.refuses(400, "INVALID_INPUT", "POST", "/reset/321")
	c.ok("POST", "/reset/321", "type=man")
	c.refuses(409, "RESET_MANUAL_ACTIVE", "POST", "/reset/321", "type=hw")
}

func TestRobotVSwitchesChangeSlowly(t *testing.T) {
	w, now := world.New(world.Options{}), newClock()
	t.Cleanup(w.Close)
	r, c := robotOf(t, w, hetzner.RobotOptions{Now: now.Now})
	addMachines(w, world.Dedicated, user, 3)
	empty := func(status int, method, path string, params ...string) {
		t.Helper()
		if r := c.call(method, path, params...); r.status != status || len(r.body) != 0 {
			t.Errorf("%s %s: %d %q, want %d and no body", method, path, r.status, r.body, status)
		}
	}
	member := func(i int) string {
		v := decode(t, c.ok("GET", "/vswitch/4321").body).(map[string]any)["server"].([]any)
		return v[i].(map[string]any)["status"].(string)
	}
	if r := c.ok("GET", "/vswitch"); string(r.body) != "[]" {
		t.Errorf("no vswitch: %s", r.body)
	}
	c.refuses(400, "INVALID_INPUT", "POST", "/vswitch", "name=lan", "vlan=1")
	if r := c.call("POST", "/vswitch", "name=lan", "vlan=4000"); r.status != 200 {
		t.Errorf("create: %d", r.status)
	}
	empty(201, "POST", "/vswitch/4321/server", "server[]=321", "server[]=203.0.113.11")
	if s := member(0); s != "processing" {
		t.Errorf("at once %s", s)
	}
	c.refuses(409, "VSWITCH_IN_PROCESS", "POST", "/vswitch/4321/server", "server=323")
	c.refuses(409, "VSWITCH_IN_PROCESS", "POST", "/vswitch/4321", "name=x", "vlan=4001")
	now.Add(21 * time.Second)
	if s := member(1); s != "ready" {
		t.Errorf("after its time %s", s)
	}
	c.ok("POST", "/vswitch", "name=second", "vlan=4000")
	c.refuses(409, "VSWITCH_VLAN_NOT_UNIQUE", "POST", "/vswitch/4322/server", "server=321")
	c.refuses(404, "SERVER_NOT_FOUND", "POST", "/vswitch/4321/server", "server=999")
	empty(200, "DELETE", "/vswitch/4321/server", "server[0]=321", "server[1]=2001:db8:10:21::")
	now.Add(21 * time.Second)
	if v := c.get("/vswitch/4321", "server").([]any); len(v) != 0 {
		t.Errorf("members after their removal: %v", v)
	}
	r.Fault(func(f *hetzner.RobotFaults) { f.VSwitchFails = 1 })
	empty(201, "POST", "/vswitch/4321/server", "server=321")
	now.Add(21 * time.Second)
	if s := member(0); s != "failed" {
		t.Errorf("with the fault %s", s)
	}
	empty(200, "POST", "/vswitch/4321", "name=lan-2", "vlan=4002")
	empty(200, "DELETE", "/vswitch/4321", "cancellation_date=now")
	if c.get("/vswitch/4321", "cancelled") != true || c.get("/vswitch/4321", "name") != "lan-2" {
		t.Error("not cancelled, or not renamed")
	}
}

func TestRobotFirewallsChangeSlowly(t *testing.T) {
	w, now := world.New(world.Options{}), newClock()
	t.Cleanup(w.Close)
	_, c := robotOf(t, w, hetzner.RobotOptions{Now: now.Now})
	addMachines(w, world.Dedicated, user, 1)
	rules := []string{
		"status=active", "whitelist_hos=true", "rules[input][1][name]=talos", "rules[input][1][ip_version]=ipv4", "rules[input][1][dst_port]=50000",
		"rules[input][1][protocol]=tcp", "rules[input][1][action]=accept", "rules[input][0][name]=ssh", "rules[input][0][action]=accept", "rules[output][0][action]=accept",
	}
	r := c.call("POST", "/firewall/321", rules...)
	if r.status != 202 || c.get("/firewall/321", "firewall.status") != "in process" {
		t.Errorf("%d %s", r.status, r.body)
	}
	c.refuses(409, "FIREWALL_IN_PROCESS", "POST", "/firewall/321", rules...)
	now.Add(31 * time.Second)
	input := c.get("/firewall/321", "firewall.rules.input").([]any)
	if c.get("/firewall/321", "firewall.status") != "active" || len(input) != 2 || input[1].(map[string]any)["name"] != "talos" {
		t.Errorf("after its time %v", input)
	}
	c.refuses(400, "INVALID_INPUT", "POST", "/firewall/321", "status=active", "rules[input][0][protocol]=tcp", "rules[input][0][action]=accept")
	if r := c.call("DELETE", "/firewall/321"); r.status != 202 {
		t.Errorf("DELETE: %d", r.status)
	}
	now.Add(31 * time.Second)
	if s := c.get("/firewall/321", "firewall.status"); s != "disabled" {
		t.Errorf("after DELETE %s", s)
	}
}

func TestRobotKeysHaveOneFingerprint(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{})
	c.refuses(404, "NOT_FOUND", "GET", "/key")
	line, key := publicKey(t)
	fp := ssh.FingerprintLegacyMD5(key)
	if r := c.call("POST", "/key", "name=ops", "data="+line); r.status != 201 {
		t.Errorf("create: %d %s", r.status, r.body)
	}
	c.refuses(409, "KEY_ALREADY_EXISTS", "POST", "/key", "name=other", "data="+line)
	c.refuses(400, "INVALID_INPUT", "POST", "/key", "name=other", "data=nonsense")
	if data := c.get("/key/"+fp, "key.data").(string); data+" ops@example" != line {
		t.Errorf("data = %s", data)
	}
	c.ok("POST", "/key/"+fp, "name=admins")
	if c.get("/key/"+fp, "key.name") != "admins" {
		t.Error("not renamed")
	}
	if r := c.ok("DELETE", "/key/"+fp); len(r.body) != 0 {
		t.Errorf("DELETE answers %s", r.body)
	}
	c.refuses(404, "NOT_FOUND", "GET", "/key/"+fp)
}

func TestRobotServersWithoutIPv4(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{})
	w.AddMachine(world.Spec{Kind: world.Dedicated, Number: 7, Project: user, IPv6Net: netip.MustParsePrefix("2001:db8:7::/64")})
	s := c.get("/server/7", "server").(map[string]any)
	if s["server_ip"] != nil || s["ip"] != nil || s["server_ipv6_net"] != "2001:db8:7::" {
		t.Errorf("server %v", s)
	}
	c.refuses(404, "NOT_FOUND", "GET", "/ip")
	if n := c.get("/subnet/2001:db8:7::", "subnet").(map[string]any); n["server_ip"] != nil || n["mask"] != json.Number("64") {
		t.Errorf("subnet %v", n)
	}
}

func TestRobotAddresses(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{})
	addMachines(w, world.Dedicated, user, 1)
	ip := c.get("/ip/203.0.113.10", "ip").(map[string]any)
	if ip["gateway"] != "203.0.113.1" || ip["mask"] != json.Number("26") || ip["broadcast"] != "203.0.113.63" {
		t.Errorf("ip %v", ip)
	}
	c.refuses(404, "IP_NOT_FOUND", "GET", "/ip/203.0.113.99")
	c.refuses(404, "IP_NOT_FOUND", "GET", "/rdns/192.0.2.1")
	c.refuses(404, "RDNS_NOT_FOUND", "GET", "/rdns/203.0.113.10")
	if r := c.call("PUT", "/rdns/203.0.113.10", "ptr=a.example.org"); r.status != 201 {
		t.Errorf("PUT: %d", r.status)
	}
	c.refuses(409, "RDNS_ALREADY_EXISTS", "PUT", "/rdns/203.0.113.10", "ptr=a.example.org")
	if r := c.call("POST", "/rdns/203.0.113.10", "ptr="); r.status != 200 || !strings.Contains(string(r.body), "static.203.0.113.10.clients.your-server.de") {
		t.Errorf("POST: %d %s", r.status, r.body)
	}
	if r := c.ok("DELETE", "/rdns/203.0.113.10"); len(r.body) != 0 {
		t.Errorf("DELETE answers %s", r.body)
	}
}

func TestRobotListsNothingInTwoWays(t *testing.T) {
	for _, tc := range []struct {
		path             string
		seen, documented string // code of the 404, "" for 200 []
	}{
		{"/server", "", "SERVER_NOT_FOUND"},
		{"/rdns", "", "NOT_FOUND"},
		{"/vswitch", "", ""},
		{"/key", "NOT_FOUND", "NOT_FOUND"},
		{"/ip", "NOT_FOUND", "NOT_FOUND"},
		{"/subnet", "NOT_FOUND", "NOT_FOUND"},
		{"/failover", "NOT_FOUND", "NOT_FOUND"},
		{"/reset", "NOT_FOUND", "NOT_FOUND"},
	} {
		for documented, want := range map[bool]string{false: tc.seen, true: tc.documented} {
			w := newWorld(t)
			_, c := robotOf(t, w, hetzner.RobotOptions{DocumentedEmptyLists: documented})
			if want != "" {
				c.refuses(404, want, "GET", tc.path)
				continue
			}
			if r := c.ok("GET", tc.path); string(r.body) != "[]" {
				t.Errorf("%s: %s", tc.path, r.body)
			}
		}
	}
}

func TestRobotLimitsCalls(t *testing.T) {
	w, now := newWorld(t), newClock()
	r, c := robotOf(t, w, hetzner.RobotOptions{Now: now.Now, Logins: []hetzner.Login{{User: "#ws+other", Password: "x"}}})
	addMachines(w, world.Dedicated, user, 1)
	for range 50 {
		c.ok("POST", "/reset/321", "type=hw")
	}
	refused := c.call("POST", "/reset/321", "type=hw")
	sameShape(t, "robot/error-rate-limit.json", refused.body)
	if refused.status != 403 || refused.code(t) != "RATE_LIMIT_EXCEEDED" || !strings.Contains(string(refused.body), `"max_request":50,"interval":3600`) {
		t.Errorf("reset 51: %d %s", refused.status, refused.body)
	}
	c.ok("GET", "/reset/321")
	other := caller{t, c.plain, "#ws+other", "x"}
	other.refuses(404, "SERVER_NOT_FOUND", "POST", "/reset/321", "type=hw")
	if got := r.Counts(user)["POST /reset"]; got != (hetzner.Count{Calls: 50, Refused: 1}) {
		t.Errorf("counted %+v", got)
	}
	now.Add(time.Hour)
	c.ok("POST", "/reset/321", "type=hw")
}

func TestRobotBlocksASourceAfterThreeWrongPasswords(t *testing.T) {
	for mode, want := range map[hetzner.BlockedAnswer]int{hetzner.BlockedUnauthorized: 401, hetzner.BlockedForbidden: 403, hetzner.BlockedDropped: 0} {
		w, now := newWorld(t), newClock()
		_, c := robotOf(t, w, hetzner.RobotOptions{Now: now.Now, Blocked: mode})
		wrong := c
		wrong.pass = "wrong"
		wrong.refuses(401, "UNAUTHORIZED", "GET", "/server/999") // before it is looked up
		wrong.refuses(401, "UNAUTHORIZED", "GET", "/nothing")
		c.ok("GET", "/server") // a good one starts the count again
		for range 3 {
			sameShape(t, "robot/error-unauthorized.json", wrong.call("GET", "/server").body)
		}
		if r, err := c.try("GET", "/server"); r.status != want || (err != nil) != (want == 0) {
			t.Errorf("blocked: %d %v, want %d", r.status, err, want)
		}
		now.Add(10*time.Minute + time.Second)
		c.ok("GET", "/server")
	}
}

func TestRobotOddsAndEnds(t *testing.T) {
	w := newWorld(t)
	r, c := robotOf(t, w, hetzner.RobotOptions{})
	addMachines(w, world.Dedicated, user, 4)
	addMachines(w, world.Dedicated, "somebody else", 4)
	if r := c.call("GET", "/"); r.status != 200 { // hrobot-go asks for it to check the credentials
		t.Errorf("GET /: %d", r.status)
	}
	c.refuses(401, "UNAUTHORIZED", "GET", "/order/server/product")
	c.refuses(404, "NOT_FOUND", "GET", "/traffic")
	c.refuses(404, "NOT_FOUND", "PUT", "/key/00:11")
	c.ok("POST", "/traffic", "type=day", "from=2026-11-20T00", "to=2026-11-20T09", "ip[]=203.0.113.10")
	c.ok("GET", "/server/321/cancellation")
	c.ok("GET", "/boot/321")

	r.Fault(func(f *hetzner.RobotFaults) { f.Maintenance = true })
	if r := c.call("GET", "/server"); r.status != 503 {
		t.Errorf("maintenance: %d", r.status)
	}
	r.Fault(func(f *hetzner.RobotFaults) { f.Maintenance = false })

	r.Inject(hetzner.Fault{Method: "POST", Path: "/boot/*/rescue", Status: 500, Code: "BOOT_ACTIVATION_FAILED", Message: "activation failed"})
	c.ok("GET", "/boot/321/rescue")
	c.refuses(500, "BOOT_ACTIVATION_FAILED", "POST", "/boot/321/rescue", "os=linux")
	c.ok("POST", "/boot/321/rescue", "os=linux")
	r.Inject(hetzner.Fault{Path: "/server", Body: hetzner.PartialPage})
	r.Inject(hetzner.Fault{Path: "/server", Body: hetzner.EmptyListing})
	for _, want := range []int{2, 0, 4} {
		if all := decode(t, c.ok("GET", "/server").body).([]any); len(all) != want {
			t.Errorf("%d servers, want %d", len(all), want)
		}
	}
}

func TestRobotActsThoughTheAnswerIsLost(t *testing.T) {
	w := newWorld(t)
	r, c := robotOf(t, w, hetzner.RobotOptions{})
	m := addMachines(w, world.Dedicated, user, 1)[0]
	r.Inject(hetzner.Fault{Method: "POST", Path: "/reset/*", Body: hetzner.Dropped})
	if got, err := c.try("POST", "/reset/321", "type=power"); err == nil {
		t.Errorf("an answer: %d", got.status)
	}
	until(t, "power", m.On)
}

func TestRobotKeepsAClientWaiting(t *testing.T) {
	w := newWorld(t)
	r, c := robotOf(t, w, hetzner.RobotOptions{})
	addMachines(w, world.Dedicated, user, 1)
	r.Inject(hetzner.Fault{Path: "/server", Times: 2, Delay: 100 * time.Millisecond})
	impatient := c
	impatient.plain = &http.Client{Transport: c.plain.Transport, Timeout: 10 * time.Millisecond}
	if got, err := impatient.try("GET", "/server"); err == nil {
		t.Errorf("an answer at once: %d", got.status)
	}
	started := time.Now()
	c.ok("GET", "/server")
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}
