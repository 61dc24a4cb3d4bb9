package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// trouble is something wrong with an API, and what a person is told about it at the shell.
type trouble struct {
	why   string
	robot bool
	fault hetzner.Fault
	code  int    // exit code of `server sync`
	says  string // what it says
	calls int64  // how many calls `account check` and two times `server sync` may make together
}

func troubles() []trouble {
	status := func(status int, code string) hetzner.Fault {
		return hetzner.Fault{Status: status, Code: code, Message: "words of the API"}
	}
	body := func(d hetzner.Damage) hetzner.Fault { return hetzner.Fault{Body: d} }
	all := []trouble{
		{"a token that was revoked", false, status(401, "unauthorized"), 7, "words of the API (unauthorized", 3},
		{"a token that may not read", false, status(403, "forbidden"), 7, "words of the API (forbidden", 3},
		{"429", false, status(429, "rate_limit_exceeded"), 9, "used up until", 1},
		{"409", false, status(409, "conflict"), 5, "words of the API (conflict", 3},
		{"500", false, status(500, "server_error"), 8, "words of the API (server_error", 3},
		{"503", false, status(503, "maintenance"), 8, "words of the API (maintenance", 3},
		{"500 of a proxy", false, status(500, ""), 8, "status code 500", 3},
		{"401", true, status(401, "UNAUTHORIZED"), 7, "the login of webservice user #ws+case7 was refused", 1},
		{"rate limit", true, status(403, "RATE_LIMIT_EXCEEDED"), 9, "used up until", 3}, // budgets are of a part of the API
		{"409", true, status(409, "CONFLICT"), 5, "409 CONFLICT", 3},
		{"500", true, status(500, "INTERNAL_ERROR"), 8, "500 INTERNAL_ERROR", 3},
		{"503", true, status(503, "MAINTENANCE"), 8, "503 MAINTENANCE", 3},
		{"500 of a proxy", true, status(500, ""), 8, "500 Internal Server Error", 3},
	}
	for _, robot := range []bool{false, true} {
		all = append(all,
			trouble{"no JSON", robot, body(hetzner.Malformed), 8, "JSON", 3},
			trouble{"JSON that ends in the middle", robot, body(hetzner.Truncated), 8, "unexpected EOF", 3},
			trouble{"no answer", robot, body(hetzner.Dropped), 8, "EOF", 6}) // net/http itself tries again on a kept connection
	}
	return append(all,
		trouble{"nothing is listed any more", false, body(hetzner.EmptyListing), 8, "incomplete: 0 of 4 servers", 3},
		trouble{"half of the servers are listed", false, body(hetzner.PartialPage), 8, "incomplete: 2 of 4 servers", 3},
		trouble{"nothing is listed any more", true, body(hetzner.EmptyListing), 6, "lists no servers, though some are known: nothing was changed", 5})
}

// Each trouble lasts while the account is checked and its servers are listed, twice. What is said names the account
// and the next step; the servers are the same as before; nobody hammers.
func TestTroubleWithAForeignAPIIsToldAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newForeign(t, len(troubles()))
	for i, c := range troubles() {
		t.Run(map[bool]string{false: "cloud ", true: "robot "}[c.robot]+c.why, func(t *testing.T) {
			account := f.account(t, c.robot, i)
			before, _, _ := f.p.run("server", "list", "--account", account)
			calls := f.calls.Load()
			if c.fault.Times = -1; c.fault.Status == 0 {
				c.fault.Path = map[bool]string{false: "/servers", true: "/server"}[c.robot]
			}
			f.inject(c.robot, c.fault)
			if c.fault.Status != 0 {
				_, stderr, code := f.p.run("account", "check", account)
				told(t, "account check", code, stderr, c.code, c.says)
			}
			for range 2 {
				_, stderr, code := f.p.run("server", "sync", "--account", account)
				told(t, "server sync", code, stderr, c.code, c.says)
				if !strings.Contains(stderr, account) {
					t.Errorf("whose servers? %s", stderr)
				}
			}
			if n := f.calls.Load() - calls; n > c.calls {
				t.Errorf("%d calls were made, want %d at most", n, c.calls)
			}
			if after, _, _ := f.p.run("server", "list", "--account", account); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if problem, _, _ := f.p.run("account", "show", account); !strings.Contains(problem, c.says) {
				t.Errorf("the account does not show its problem:\n%s", problem)
			}
		})
		f.robot.Clear()
		f.cloud.Clear()
	}
}

func told(t *testing.T, command string, code int, stderr string, want int, says string) {
	t.Helper()
	if code != want || !strings.Contains(stderr, says) || !strings.Contains(stderr, "hint: ") || strings.Contains(stderr, "TALOS_MANAGER_TOKEN") {
		t.Errorf("%s: exit code %d, want %d:\n%s", command, code, want, stderr)
	}
}

// Robot does not tell how long a listing should be. Servers that one lacks are missing, not forgotten, and they are
// back with the next one.
func TestServersThatARobotListingLacksAreNotForgotten(t *testing.T) {
	t.Parallel()
	f := newForeign(t, 1)
	account := f.account(t, true, 0)
	before, _, _ := f.p.run("server", "list", "--account", account)
	f.inject(true, hetzner.Fault{Path: "/server", Body: hetzner.PartialPage})
	stdout, stderr, code := f.p.run("server", "sync")
	if code != 0 || !strings.Contains(stdout, "dedicated-0-2") || !strings.Contains(stdout, "dedicated-0-3") {
		t.Errorf("%d: it does not say which servers are missing: %s%s", code, stdout, stderr)
	}
	if list, _, _ := f.p.run("server", "list", "--missing"); strings.Count(list, "missing for") != 2 || strings.Count(list, "dedicated-0-") != 4 {
		t.Errorf("while they are missing:\n%s", list)
	}
	f.p.run("server", "sync")
	if after, _, _ := f.p.run("server", "list", "--account", account); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// Three wrong passwords block an address at Robot for ten minutes. A good login is told so, and until when.
func TestABlockedAddressAtRobotIsSaid(t *testing.T) {
	t.Parallel()
	f := newForeign(t, 5)
	good := f.account(t, true, 4)
	calls := f.calls.Load()
	add := func(i int, password string) (stderr string, code int) {
		_, stderr, code = f.p.run("account", "add", "--name", fmt.Sprintf("new-%d", i), "--user", f.users[i].User, "--password", password)
		return stderr, code
	}
	for i := range 3 {
		stderr, code := add(i, "guess")
		told(t, "account add", code, stderr, 7, "was refused")
	}
	stderr, code := add(3, f.users[3].Password) // nobody knows whether it is right
	told(t, "account add", code, stderr, 7, "if they are right, `talos-manager account check` tries them after ")
	for range 3 {
		_, stderr, code = f.p.run("account", "check", good) // this one has worked before
		told(t, "account check", code, stderr, 8, "blocked this address")
	}
	if n := f.calls.Load() - calls; n > 5 {
		t.Errorf("%d calls for five logins", n)
	}
	if list, _, _ := f.p.run("account", "list"); strings.Contains(list, "new-") {
		t.Errorf("accounts were kept that do not work:\n%s", list)
	}
}

// foreign is a manager whose calls of Hetzner's APIs are counted, failed ones too.
type foreign struct {
	p     *program
	robot *hetzner.Robot
	cloud *hetzner.Cloud
	calls atomic.Int64
	users []hetzner.Login
	token []string
}

// newForeign has an account of each sort for each case: what one case spoils must not disturb the next.
func newForeign(t *testing.T, cases int) *foreign {
	t.Helper()
	f := &foreign{}
	o := simulator.Options{World: world.Options{Speed: pace}}
	for i := range cases {
		f.users = append(f.users, hetzner.Login{User: fmt.Sprintf("#ws+case%d", i), Password: "good"})
		f.token = append(f.token, hetzner.Token(fmt.Sprintf("case %d", i)))
		o.Cloud.Projects = append(o.Cloud.Projects, hetzner.Project{Token: f.token[i]})
	}
	o.Robot.Logins = f.users
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	f.robot, f.cloud = sim.Robot, sim.Cloud
	for i := range cases {
		for n := range 4 {
			sim.AddDedicated(f.users[i].User, fmt.Sprintf("dedicated-%d-%d", i, n))
			sim.AddCloud(f.token[i], fmt.Sprintf("cloud-%d-%d", i, n))
		}
	}
	counted := func(h http.Handler) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.calls.Add(1)
			h.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	f.p = serve(t, &lab{sim: sim}, "ROBOT_URL="+counted(sim.Robot), "HCLOUD_ENDPOINT="+counted(sim.Cloud)+"/v1", "FACTORY_URL=http://127.0.0.1:1")
	f.p.start()
	return f
}

func (f *foreign) inject(robot bool, fault hetzner.Fault) {
	if robot {
		f.robot.Inject(fault)
	} else {
		f.cloud.Inject(fault)
	}
}

// account adds the account of a case, while all is well, and lists it.
func (f *foreign) account(t *testing.T, robot bool, i int) string {
	t.Helper()
	n := client.NewAccount{Name: fmt.Sprintf("case-%d", i), Provider: "hetzner_cloud", Token: f.token[i]}
	if robot {
		n = client.NewAccount{Name: n.Name, Provider: "hetzner_robot", User: f.users[i].User, Password: f.users[i].Password}
	}
	if _, err := f.p.client.AddAccount(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := f.p.client.SyncAccount(t.Context(), n.Name); err != nil {
		t.Fatal(err)
	}
	return n.Name
}
