package hetzner

import (
	"crypto/subtle"
	"net"
	"net/http"
	"sync"
	"time"
	_ "time/tzdata" // Robot shows times of Europe/Berlin, on machines without a zone database too

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Login is a webservice user. It has the dedicated machines whose Spec.Project is its User.
type Login struct {
	User     string // "#ws+XXXXXXXX"
	Password string
}

// BlockedAnswer is what a source gets that is blocked for wrong passwords; Hetzner does not document it.
type BlockedAnswer int

// The answers to a blocked source.
const (
	BlockedUnauthorized BlockedAnswer = iota // 401, with a good password too
	BlockedForbidden                         // 403 without a body
	BlockedDropped                           // the connection breaks
)

// RobotOptions of the webservice. The zero value has no login.
type RobotOptions struct {
	Logins []Login
	Now    func() time.Time // nil: time.Now
	// Blocked is what a source gets for ten minutes after three wrong passwords.
	Blocked BlockedAnswer
	// DocumentedEmptyLists answers 404 for every empty list, as documented; without it /server, /vswitch and /rdns
	// answer 200 [], as seen.
	DocumentedEmptyLists bool
	// AlreadyEnabled refuses a second activation with 409 BOOT_ALREADY_ENABLED; without it the second replaces the
	// first. Nobody has measured it.
	AlreadyEnabled bool
	// SoftwareReset names the machines whose reset types are sw, hw and man, without a power state. The others have
	// power, power_long, hw and man.
	SoftwareReset func(*world.Machine) bool
	// Limits replaces the calls per hour of groups like "POST /reset"; -1 is no limit.
	Limits map[string]int
	// VSwitchTime and FirewallTime are how long changes take, in the world; 0 is 20 s and 30 s.
	VSwitchTime, FirewallTime time.Duration
}

// RobotFaults of the whole webservice. The zero value is a good one.
type RobotFaults struct {
	Maintenance  bool // everything answers 503
	VSwitchFails int  // so many servers end as "failed" when they enter a vSwitch
}

// Robot is the webservice for dedicated servers. Use Inject to make single requests fail.
type Robot struct {
	faults
	world  *world.World
	o      RobotOptions
	berlin *time.Location
	routes []robotRoute

	mu       sync.Mutex // guards all below
	trouble  RobotFaults
	accounts map[string]*account
	sources  map[string]*source
}

// account is what belongs to one login.
type account struct {
	Login
	windows   map[string]*window
	counts    map[string]Count
	servers   map[*world.Machine]*dedicated
	keys      []*robotKey
	vswitches []*vswitch
	pointers  map[string]string // address -> PTR
	nextID    int64
}

// source is an address calls come from.
type source struct {
	failed  int
	blocked time.Time // until
}

// robotCall is one request while it is handled; Robot.mu is held.
type robotCall struct {
	*account
	now  time.Time
	args []string // the variables of the path
	form form
}

// NewRobot makes the webservice of w.
func NewRobot(w *world.World, o RobotOptions) *Robot {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SoftwareReset == nil {
		o.SoftwareReset = func(*world.Machine) bool { return false }
	}
	if o.VSwitchTime == 0 {
		o.VSwitchTime = 20 * time.Second
	}
	if o.FirewallTime == 0 {
		o.FirewallTime = 30 * time.Second
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // tzdata is in the program
	}
	r := &Robot{world: w, o: o, berlin: berlin, accounts: map[string]*account{}, sources: map[string]*source{}}
	r.routes = r.allRoutes()
	for _, l := range o.Logins {
		r.accounts[l.User] = &account{
			Login: l, windows: map[string]*window{}, counts: map[string]Count{},
			servers: map[*world.Machine]*dedicated{}, pointers: map[string]string{}, nextID: 4321,
		}
	}
	return r
}

// Fault changes the faults of the webservice.
func (r *Robot) Fault(change func(*RobotFaults)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.trouble)
}

// Counts gives the calls of a login by group, "POST /reset".
func (r *Robot) Counts(user string) map[string]Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]Count{}
	if a := r.accounts[user]; a != nil {
		for k, v := range a.counts {
			counts[k] = v
		}
	}
	return counts
}

// ServeHTTP answers one call.
func (r *Robot) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	fault := r.take(req.Method, req.URL.Path)
	if !fault.wait(req.Context()) {
		return
	}
	w.Header().Set("Server", "Apache")
	a, encoded := r.answer(req, fault)
	defer func() { // also when the connection breaks: the effect happens all the same
		if a.after != nil {
			a.after()
		}
	}()
	a.send(w, "application/json; charset=utf-8", encoded, fault.Body)
}

// answer does all of a call that needs the lock: it encodes too, since answers point into the state.
func (r *Robot) answer(req *http.Request, fault Fault) (answer, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.handle(req, fault)
	return a, a.encode()
}

// handle goes in Robot's order: maintenance, who is it, does it exist, too many calls, do it.
func (r *Robot) handle(req *http.Request, fault Fault) answer {
	if r.trouble.Maintenance {
		return answer{status: http.StatusServiceUnavailable, html: "<html><body><h1>Service Temporarily Unavailable</h1></body></html>"}
	}
	acc, refusal := r.login(req)
	if acc == nil {
		return refusal
	}
	if fault.Status != 0 {
		return faulty(fault)
	}
	route, args := r.route(req)
	if route == nil {
		return fail(http.StatusNotFound, "NOT_FOUND", "Not Found")
	}
	if refused, ok := r.spend(acc, route.group); !ok {
		return refused
	}
	f, err := readForm(req)
	if err != nil {
		return invalid(nil, []string{"body"})
	}
	return route.handle(&robotCall{account: acc, now: r.o.Now(), args: args, form: f})
}

// login checks the source and the credentials, before anything is looked up.
func (r *Robot) login(req *http.Request) (*account, answer) {
	host, _, _ := net.SplitHostPort(req.RemoteAddr)
	from := r.sources[host]
	if from == nil {
		from = &source{}
		r.sources[host] = from
	}
	if r.o.Now().Before(from.blocked) {
		switch r.o.Blocked {
		case BlockedForbidden:
			return nil, answer{status: http.StatusForbidden}
		case BlockedDropped:
			panic(http.ErrAbortHandler)
		}
		return nil, unauthorized()
	}
	user, pass, given := req.BasicAuth()
	acc := r.accounts[user]
	if acc != nil && subtle.ConstantTimeCompare([]byte(pass), []byte(acc.Password)) == 1 {
		from.failed = 0
		return acc, answer{}
	}
	if given {
		from.failed++
	}
	if from.failed >= 3 {
		from.failed, from.blocked = 0, r.o.Now().Add(10*time.Minute)
	}
	return nil, unauthorized()
}

func (r *Robot) route(req *http.Request) (*robotRoute, []string) {
	path := segments(req.URL.EscapedPath())
	for i, route := range r.routes {
		if args, ok := match(route.path, path); ok && route.method == req.Method {
			return &r.routes[i], args
		}
	}
	return nil, nil
}

// clock writes a time as Robot does: of Berlin, without saying so.
func (r *Robot) clock(t time.Time) string { return t.In(r.berlin).Format(time.DateTime) }

// robotError is the body of an error.
type robotError struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func fail(status int, code, message string) answer {
	return answer{status: status, body: map[string]any{"error": robotError{status, code, message}}}
}

func unauthorized() answer {
	a := fail(http.StatusUnauthorized, "UNAUTHORIZED", "Unauthorized")
	a.header = map[string]string{"WWW-Authenticate": `Basic realm="Robot Webservice"`}
	return a
}

// invalid names parameters that are missing or wrong; a list of none is null.
func invalid(missing, wrong []string) answer {
	type body struct {
		robotError
		Missing []string `json:"missing"`
		Invalid []string `json:"invalid"`
	}
	e := body{robotError{http.StatusBadRequest, "INVALID_INPUT", "invalid input"}, missing, wrong}
	return answer{status: http.StatusBadRequest, body: map[string]any{"error": e}}
}

func faulty(f Fault) answer {
	if f.Code == "" {
		return answer{status: f.Status, html: "<html><body>" + http.StatusText(f.Status) + "</body></html>"}
	}
	return fail(f.Status, f.Code, f.Message)
}
