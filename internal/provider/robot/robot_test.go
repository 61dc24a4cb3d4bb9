package robot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// script answers calls from a table of "METHOD /path", and notes what was asked.
type script struct {
	answers map[string]string // "200 {…}"
	asked   []string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		data, _ := io.ReadAll(r.Body)
		body = " " + string(data)
	}
	call := r.Method + " " + r.URL.Path
	s.asked = append(s.asked, call+body)
	text, ok := s.answers[call]
	if !ok {
		text = `404 {"error":{"status":404,"code":"NOT_FOUND","message":"not found"}}`
	}
	status, answer, _ := strings.Cut(text, " ")
	code := map[string]int{
		"200": 200, "201": 201, "302": 302, "400": 400, "401": 401, "403": 403, "404": 404, "409": 409,
		"500": 500, "503": 503,
	}[status]
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(answer)), Header: http.Header{}, Request: r}, nil
}

func (s *script) driver() *Driver {
	return New(Options{User: user, Password: password, HTTP: &http.Client{Transport: s}, RetryEvery: time.Millisecond})
}

func TestErrorsAreOfTheirKind(t *testing.T) {
	for _, c := range []struct {
		why    string
		answer string
		kind   fleet.Kind
		says   string
	}{
		{"parameters are named", `400 {"error":{"status":400,"code":"INVALID_INPUT","message":"invalid input","missing":null,"invalid":["server_name"]}}`, fleet.Invalid, "invalid: server_name"},
		{"lists may be strings", `400 {"error":{"status":400,"code":"INVALID_INPUT","message":"invalid input","missing":"server_name","invalid":null}}`, fleet.Invalid, "missing: server_name"},
		{"no such server", `404 {"error":{"status":404,"code":"SERVER_NOT_FOUND","message":"server not found"}}`, fleet.NotFound, "SERVER_NOT_FOUND"},
		{"code decides, not status", `200 {"error":{"status":404,"code":"SERVER_NOT_FOUND","message":"server not found"}}`, fleet.NotFound, "SERVER_NOT_FOUND"},
		{"a conflict nobody has described", `409 {"error":{"status":409,"code":"NEW_CONFLICT","message":"busy"}}`, fleet.Conflict, "NEW_CONFLICT"},
		{"a technician is there", `409 {"error":{"status":409,"code":"RESET_MANUAL_ACTIVE","message":"manual"}}`, fleet.Refused, "a technician is at work on the server: 409 RESET_MANUAL_ACTIVE"},
		{"forbidden is not the rate limit", `403 {"error":{"status":403,"code":"FORBIDDEN","message":"no"}}`, fleet.Forbidden, "FORBIDDEN"},
		{"rate limit as documented", `403 {"error":{"status":403,"code":"RATE_LIMIT_EXCEEDED","message":"x","max_request":200,"interval":3600}}`, fleet.Exhausted, "robot /server"},
		{"rate limit as seen", `403 {"error":{"status":403,"code":"RATE_LIMIT_EXCEEDED","message":"x","max_requests":200,"interval":60}}`, fleet.Exhausted, "robot /server"},
		{"maintenance", `503 <html>`, fleet.Unavailable, "503 Service Unavailable"},
		{"a failure that passes", `500 {"error":{"status":500,"code":"INTERNAL_ERROR","message":"x"}}`, fleet.Unavailable, "INTERNAL_ERROR"},
		{"a redirect is not followed with the password", `302 moved`, fleet.Unavailable, "302"},
		{"404 of something that is not Robot", `404 <html>nginx</html>`, fleet.Unavailable, "404"},
		{"another server's answer", `200 {"server":{"server_number":7}}`, fleet.Unavailable, "/server/321"},
		{"an empty answer", `200 `, fleet.Unavailable, "/server/321"},
		{"half an answer", `200 {"server":{"server_nu`, fleet.Unavailable, "/server/321"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := (&script{answers: map[string]string{"GET /server/321": c.answer}}).driver().Server(t.Context(), "321")
			if fleet.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q (%s), want %s with %q", err, fleet.KindOf(err), c.kind, c.says)
			}
		})
	}
}

func TestListRefusesWhatIsNoList(t *testing.T) {
	for _, c := range []struct{ why, answer string }{
		{"an object", `200 {}`},
		{"null", `200 null`},
		{"entries without a server", `200 [{"ip":{}}]`},
		{"nothing", `200 `},
		{"a proxy's page", `200 <html>login</html>`},
	} {
		t.Run(c.why, func(t *testing.T) {
			l, err := (&script{answers: map[string]string{"GET /server": c.answer, "GET /vswitch": "200 []"}}).driver().List(t.Context())
			if fleet.KindOf(err) != fleet.Unavailable || len(l.Servers) != 0 {
				t.Errorf("got %v, %d servers", err, len(l.Servers))
			}
		})
	}
}

func TestListReadsBothFormsOfNone(t *testing.T) {
	for _, documented := range []bool{false, true} {
		l, err := open(t, 0, hetzner.RobotOptions{DocumentedEmptyLists: documented}).account().Driver(nil).List(t.Context())
		if err != nil || len(l.Servers)+len(l.VSwitches) != 0 {
			t.Errorf("documented %t: got %v, %v", documented, l, err)
		}
	}
}

func TestListWithoutTheRightToVSwitches(t *testing.T) {
	s := &script{answers: map[string]string{
		"GET /server":  `200 [{"server":{"server_number":321,"server_ip":null,"server_ipv6_net":"2001:db8::","status":"in process","subnet":null}}]`,
		"GET /vswitch": `401 {"error":{"status":401,"code":"UNAUTHORIZED","message":"Unauthorized"}}`,
	}}
	d := s.driver()
	for range 3 {
		l, err := d.List(t.Context())
		if err != nil || len(l.Servers) != 1 || !l.NoVSwitches || !l.Servers[0].Locked || l.Servers[0].IPv6Net != "2001:db8::/64" {
			t.Fatalf("got %+v, %v", l, err)
		}
	}
	if want := 4; len(s.asked) != want {
		t.Errorf("asked %v: a refused right may count as a failed login", s.asked)
	}
}

func TestARefusedLoginIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: map[string]string{"GET /key": `401 {"error":{"status":401,"code":"UNAUTHORIZED","message":"Unauthorized"}}`}}
		d := s.driver()
		for range 3 {
			err := d.Check(t.Context())
			if fleet.KindOf(err) != fleet.Unauthorized || !strings.Contains(fleet.HintOf(err), "block") {
				t.Fatalf("got %v, hint %q", err, fleet.HintOf(err))
			}
			if err := d.Reset(t.Context(), "321", provider.HardReset); fleet.KindOf(err) != fleet.Unauthorized {
				t.Fatalf("got %v", err)
			}
		}
		if len(s.asked) != 1 {
			t.Fatalf("asked %v", s.asked)
		}
		<-time.After(11 * time.Minute)
		if _, err := d.List(t.Context()); fleet.KindOf(err) != fleet.Unauthorized || len(s.asked) != 1 {
			t.Fatalf("a sync tried again: %v, asked %v", err, s.asked)
		}
		delete(s.answers, "GET /key") // the password is put right at Robot
		if err := d.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := d.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCallsAtTheSameMomentFailOneLogin(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{Blocked: hetzner.BlockedDropped})
	o := s.options()
	o.Password = "wrong"
	wrong := New(o)
	results := make(chan error)
	for range 20 {
		go func() { results <- wrong.Reset(t.Context(), "321", provider.HardReset) }()
	}
	for range 20 {
		if err := <-results; fleet.KindOf(err) != fleet.Unauthorized {
			t.Errorf("got %v", err)
		}
	}
	if err := s.account().Driver(nil).Check(t.Context()); err != nil {
		t.Errorf("the address was blocked: %v", err)
	}
	if n := s.requests.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestABlockedAddressIsSaid(t *testing.T) {
	for _, c := range []struct {
		why     string
		blocked hetzner.BlockedAnswer
		kind    fleet.Kind
	}{
		{"answered 401", hetzner.BlockedUnauthorized, fleet.Unavailable},
		{"answered 403", hetzner.BlockedForbidden, fleet.Forbidden},
		{"not answered", hetzner.BlockedDropped, fleet.Unavailable},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := open(t, 1, hetzner.RobotOptions{Blocked: c.blocked})
			logins := &Logins{}
			o := s.options()
			o.Logins = logins
			good := New(o)
			if err := good.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, typo := range []string{"a", "b", "c"} { // somebody adds another account, and mistypes thrice
				o.Password = typo
				if err := New(o).Check(t.Context()); fleet.KindOf(err) != fleet.Unauthorized {
					t.Fatalf("got %v", err)
				}
			}
			err := good.Check(t.Context())
			if fleet.KindOf(err) != c.kind || !strings.Contains(err.Error()+fleet.HintOf(err), "blocked this address") {
				t.Errorf("got %v (%s), hint %q", err, fleet.KindOf(err), fleet.HintOf(err))
			}
		})
	}
}

func TestABlockEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := `401 {"error":{"status":401,"code":"UNAUTHORIZED","message":"Unauthorized"}}`
		s := &script{answers: map[string]string{"GET /server": "200 []", "GET /vswitch": "200 []"}}
		o := Options{User: user, Password: password, HTTP: &http.Client{Transport: s}, Logins: &Logins{}}
		good := New(o)
		if _, err := good.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.answers["GET /key"], s.answers["GET /server"] = refuse, refuse
		for _, typo := range []string{"a", "b", "c"} {
			o.Password = typo
			New(o).Check(t.Context())
		}
		if _, err := good.List(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
			t.Fatalf("got %v", err)
		}
		s.answers["GET /server"] = "200 []"
		if _, err := good.List(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
			t.Fatalf("called a blocked address: %v", err)
		}
		<-time.After(blockFor)
		if _, err := good.List(t.Context()); err != nil {
			t.Fatalf("a good login did not come back: %v", err)
		}
	})
}

func TestArmFollowsTheClientRule(t *testing.T) {
	key := providertest.NewKey(t)
	inactive := `200 {"rescue":{"os":["linux","vkvm"],"arch":[64],"active":false,"password":null,"authorized_key":[],"host_key":[]}}`
	active := `200 {"rescue":{"os":"linux","arch":64,"active":true,"password":"x","authorized_key":[],"host_key":[],"boot_time":null}}`
	enabled := `409 {"error":{"status":409,"code":"BOOT_ALREADY_ENABLED","message":"x"}}`
	for _, c := range []struct {
		why     string
		answers map[string]string
		asked   []string
	}{
		{
			"nothing is armed",
			map[string]string{"GET /boot/321/rescue": inactive, "POST /boot/321/rescue": active},
			[]string{"GET /boot/321/rescue", "POST /boot/321/rescue"},
		},
		{
			"an activation is replaced",
			map[string]string{"GET /boot/321/rescue": active, "DELETE /boot/321/rescue": inactive, "POST /boot/321/rescue": active},
			[]string{"GET /boot/321/rescue", "DELETE /boot/321/rescue", "POST /boot/321/rescue"},
		},
		{
			"another boot configuration is in the way",
			map[string]string{
				"GET /boot/321/rescue": inactive, "POST /boot/321/rescue": enabled,
				"GET /boot/321": `200 {"boot":{"rescue":null,"linux":{"active":true},"vnc":{"active":false},"windows":[]}}`, "DELETE /boot/321/linux": `200 {"linux":{}}`,
			},
			[]string{"GET /boot/321/rescue", "POST /boot/321/rescue", "GET /boot/321", "DELETE /boot/321/linux", "POST /boot/321/rescue"},
		},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := &script{answers: c.answers}
			_, err := s.driver().ArmRescue(t.Context(), "321", key)
			if err != nil && !hasCode(err, "BOOT_ALREADY_ENABLED") {
				t.Fatal(err)
			}
			var asked []string
			for _, a := range s.asked {
				call, form, _ := strings.Cut(strings.Replace(a, " ", "\x00", 1), " ")
				asked = append(asked, strings.Replace(call, "\x00", " ", 1))
				if strings.HasPrefix(a, "POST") && !strings.Contains(form, "authorized_key%5B%5D=") {
					t.Errorf("%s: sent %q", a, form)
				}
			}
			if strings.Join(asked, ", ") != strings.Join(c.asked, ", ") {
				t.Errorf("asked %v, want %v", asked, c.asked)
			}
		})
	}
}

func TestArmWhereASecondActivationIsRefused(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{AlreadyEnabled: true})
	d := New(s.options())
	for range 2 {
		if _, err := d.ArmRescue(t.Context(), "321", providertest.NewKey(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAResetPressesItsButton(t *testing.T) {
	const soft, hard, cycle, on = provider.SoftReset, provider.HardReset, provider.PowerCycle, provider.PowerOn
	for _, c := range []struct {
		why, options string
		offered      []provider.Reset
		order        provider.Reset
		press        string
	}{
		{"on", `"type":["power","power_long","hw","man"],"operating_status":"running"`, []provider.Reset{hard, cycle}, hard, "POST /reset/321 type=hw"},
		{"off", `"type":["power","power_long","hw","man"],"operating_status":"shut off"`, []provider.Reset{on}, on, "POST /reset/321 type=power"},
		{"asked first", `"type":["sw","hw","man"],"operating_status":"not supported"`, []provider.Reset{soft, hard}, soft, "POST /reset/321 type=sw"},
		{"it does not tell: reset, and wake it if it was off", `"type":["sw","hw","man"],"operating_status":"not supported"`, []provider.Reset{soft, hard}, hard, "POST /reset/321 type=hw, POST /wol/321"},
		{"no reset button, already off", `"type":["power","power_long"],"operating_status":"shut off"`, []provider.Reset{on}, on, "POST /reset/321 type=power"},
		{"no reset button, went off meanwhile", `"type":["power","power_long"],"operating_status":"shut off"`, []provider.Reset{on}, cycle, "POST /reset/321 type=power"},
		{"no reset button, does not go off", `"type":["power","power_long"],"operating_status":"running"`, []provider.Reset{cycle}, cycle, "POST /reset/321 type=power_long"},
		{"only a technician", `"type":["man"],"operating_status":"not supported"`, nil, "man", ""},
		{"one type, not in a list", `"type":"hw","operating_status":"running"`, []provider.Reset{hard}, hard, "POST /reset/321 type=hw"},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := &script{answers: map[string]string{"GET /reset/321": `200 {"reset":{` + c.options + `}}`, "POST /reset/321": `200 {"reset":{}}`}}
			if offered, err := s.driver().Resets(t.Context(), "321"); err != nil || !slices.Equal(offered, c.offered) {
				t.Errorf("offered are %v, %v, want %v", offered, err, c.offered)
			}
			err := s.driver().Reset(t.Context(), "321", c.order)
			var pressed []string
			for _, a := range s.asked {
				if strings.HasPrefix(a, "POST") {
					pressed = append(pressed, a)
				}
			}
			if got := strings.Join(pressed, ", "); got != c.press || (err != nil) != (c.press == "" || strings.HasSuffix(c.press, "long")) {
				t.Errorf("pressed %q, error %v, want %q", got, err, c.press)
			}
		})
	}
}

func TestAHardResetStartsAServerThatDoesNotTellItsPower(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{SoftwareReset: func(*world.Machine) bool { return true }})
	s.machines[0].PowerCut()
	if err := New(s.options()).Reset(t.Context(), "321", provider.HardReset); err != nil {
		t.Fatal(err)
	}
	settle(t, func() error { // the answer comes before the effect
		if !s.machines[0].On() {
			return fleet.Errorf(fleet.Conflict, "still off")
		}
		return nil
	})
}

func TestABoardWithoutResetButtonIsSwitchedOffAndOn(t *testing.T) {
	s := &script{answers: map[string]string{"POST /reset/321": `200 {"reset":{}}`}}
	on := `200 {"reset":{"type":["power","power_long"],"operating_status":"running"}}`
	s.answers["GET /reset/321"] = on
	d := New(Options{HTTP: &http.Client{Transport: offAfter{s, "type=power_long"}}, RetryEvery: time.Millisecond})
	if err := d.Reset(t.Context(), "321", provider.PowerCycle); err != nil {
		t.Fatal(err)
	}
	if last := s.asked[len(s.asked)-1]; last != "POST /reset/321 type=power" {
		t.Errorf("asked %v", s.asked)
	}
}

// offAfter makes a server be off once its last call was this one.
type offAfter struct {
	*script
	press string
}

func (o offAfter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.script.RoundTrip(r)
	if strings.HasSuffix(o.asked[len(o.asked)-1], o.press) {
		o.answers["GET /reset/321"] = strings.Replace(o.answers["GET /reset/321"], "running", "shut off", 1)
	}
	return resp, err
}

func TestBerlinTime(t *testing.T) {
	for _, c := range []struct{ why, text, now, want string }{
		{"summer", "2026-09-08 19:09:11", "2026-09-08T17:10:00Z", "2026-09-08T17:09:11Z"},
		{"winter", "2026-11-20 10:00:00", "2026-11-20T09:01:00Z", "2026-11-20T09:00:00Z"},
		{"the hour that comes twice, first time", "2026-10-25 02:30:00", "2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z"},
		{"the hour that comes twice, second time", "2026-10-25 02:30:00", "2026-10-25T01:31:00Z", "2026-10-25T01:30:00Z"},
	} {
		t.Run(c.why, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := berlin(c.text, now)
			if err != nil || got.UTC().Format(time.RFC3339) != c.want {
				t.Errorf("got %s, %v, want %s", got.UTC(), err, c.want)
			}
		})
	}
}

func TestMoveIntoAVSwitch(t *testing.T) {
	s := open(t, 2, hetzner.RobotOptions{VSwitchTime: 2 * time.Second})
	c, d := NewClient(s.options()), New(s.options())
	var ids []string
	for _, name := range []string{"old", "new"} {
		var v VSwitch
		if err := c.post(t.Context(), "/vswitch", map[string][]string{"name": {name}, "vlan": {"4000"}}, &v); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, at("", v.ID)[1:])
	}
	for _, want := range []string{ids[0], ids[1], ids[1], "", ids[0]} {
		settle(t, func() error { return d.SetVSwitch(t.Context(), "321", want) })
		o := s.options()
		o.Members = true
		l, err := New(o).List(t.Context())
		if err != nil || l.Servers[0].VSwitch != want || l.Servers[1].VSwitch != "" || len(l.VSwitches) != 2 {
			t.Fatalf("want %q, got %+v, %v", want, l, err)
		}
	}
	if err := d.SetVSwitch(t.Context(), "321", "1"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("no such vSwitch: %v", err)
	}
	if err := d.SetVSwitch(t.Context(), "321", "lan"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("not a number: %v", err)
	}
	s.robot.Fault(func(f *hetzner.RobotFaults) { f.VSwitchFails = 1 })
	settle(t, func() error { return d.SetVSwitch(t.Context(), "321", ids[1]) })
}

// settle calls until it is no longer a conflict.
func settle(t *testing.T, call func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := call()
		if err == nil {
			return
		}
		if fleet.KindOf(err) != fleet.Conflict || ctx.Err() != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
}

func TestRefusalOfRobotCarriesItsInterval(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{Limits: map[string]int{"POST /reset": 1}})
	d := New(s.options())
	if err := d.Reset(t.Context(), "321", provider.HardReset); err != nil {
		t.Fatal(err)
	}
	err := d.Reset(t.Context(), "321", provider.HardReset)
	b, ok := errors.AsType[*provider.BudgetError](err)
	if !ok || b.Group != "robot POST /reset" || time.Until(b.Until) < 59*time.Minute {
		t.Fatalf("got %v", err)
	}
	if _, err := d.Power(t.Context(), "321"); err != nil {
		t.Errorf("another group is closed too: %v", err)
	}
}

func TestBudgetGroups(t *testing.T) {
	for _, c := range []struct {
		method, path, group string
		calls               int
	}{
		{"GET", "/server", "robot /server", 200},
		{"POST", "/server/321", "robot /server", 200},
		{"GET", "/boot/321/rescue/last", "robot /boot", 500},
		{"POST", "/boot/321/rescue", "robot /boot", 500},
		{"GET", "/reset/321", "robot /reset", 500},
		{"POST", "/reset/321", "robot POST /reset", 50},
		{"POST", "/wol/321", "robot POST /wol", 10},
		{"GET", "/key/aa:bb", "robot /key", 500},
		{"POST", "/key", "robot POST /key", 200},
		{"GET", "/vswitch/1", "robot /vswitch", 500},
		{"DELETE", "/vswitch/1/server", "robot POST /vswitch", 100},
		{"GET", "/ip/203.0.113.10", "robot /ip", 5000},
	} {
		group, limit := budgetOf(c.method, c.path)
		if group != c.group || limit.Calls != c.calls || limit.Window != time.Hour || limit.Refill {
			t.Errorf("%s %s: got %s, %+v", c.method, c.path, group, limit)
		}
	}
}

func TestIPGivesGatewayAndMask(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{})
	ip, err := NewClient(s.options()).IP(t.Context(), "203.0.113.1")
	if err != nil || ip.IP != "203.0.113.1" || ip.Gateway == "" || ip.Mask == 0 || ip.Locked {
		t.Errorf("got %+v, %v", ip, err)
	}
}

func TestBothFamiliesOfBoardsSayTheirResets(t *testing.T) {
	s := open(t, 2, hetzner.RobotOptions{SoftwareReset: func(m *world.Machine) bool { return m.Number == 322 }})
	for id, want := range map[string][]provider.Reset{
		"321": {provider.HardReset, provider.PowerCycle},
		"322": {provider.SoftReset, provider.HardReset},
	} {
		if got, err := New(s.options()).Resets(t.Context(), id); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s offers %v, %v; want %v", id, got, err, want)
		}
	}
	if err := New(s.options()).Reset(t.Context(), "321", provider.SoftReset); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a soft reset that the board lacks: %v", err)
	}
}

func TestATechnicianIsNotDisturbed(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{})
	s.robot.Inject(hetzner.Fault{Method: "POST", Path: "/reset/*", Status: 409, Code: "RESET_MANUAL_ACTIVE", Message: "manual reset is already active"})
	err := New(s.options()).Reset(t.Context(), "321", provider.HardReset)
	if !strings.Contains(fmt.Sprint(err), "a technician is at work on the server") || fleet.KindOf(err) != fleet.Refused || !strings.Contains(fleet.HintOf(err), "wait for the mail") {
		t.Errorf("got %v (%s), hint %q", err, fleet.KindOf(err), fleet.HintOf(err))
	}
}

func TestAnActivationOfSomebodyElseIsNamed(t *testing.T) {
	s := open(t, 1, hetzner.RobotOptions{})
	d, theirs, ours := New(s.options()), providertest.NewKey(t), providertest.NewKey(t)
	if err := d.EnsureKey(t.Context(), "ops of others", theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ArmRescue(t.Context(), "321", theirs); err != nil {
		t.Fatal(err)
	}
	replaced, err := d.ArmRescue(t.Context(), "321", ours)
	if err != nil || !strings.Contains(replaced, "ops of others") {
		t.Errorf("replaced %q, %v", replaced, err)
	}
	if replaced, err = d.ArmRescue(t.Context(), "321", ours); err != nil || replaced != "" {
		t.Errorf("our own was replaced by %q, %v", replaced, err)
	}
}
