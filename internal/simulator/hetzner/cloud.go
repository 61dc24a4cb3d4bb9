package hetzner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Project of the Cloud. It has the cloud machines whose Spec.Project is its Token.
type Project struct {
	Token    string   // read and write; the hcloud CLI wants 64 characters, which Token makes
	ReadOnly []string // further tokens that may only read
}

// Token makes a token of 64 characters out of a name.
func Token(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// CloudOptions of the Cloud API. The zero value has no project.
type CloudOptions struct {
	Projects []Project
	Now      func() time.Time // nil: time.Now
	Limit    int              // calls an hour and project, refilled evenly; 0 is 3600, -1 no limit
	// Addresses gives a created server its addresses; nil hands out 198.18.0.0/15 and 2001:db8::/32.
	Addresses func(id int64) (netip.Addr, netip.Prefix)
	// Install puts an image on the disks of a machine that is off, for create and rebuild. nil leaves the disks empty
	// and makes created servers run an old system.
	Install func(m *world.Machine, image string)
}

// CloudFaults of the whole API. The zero value is a good one.
type CloudFaults struct {
	ActionFails int    // so many actions end in an error and do nothing
	ActionCode  string // their error; "" is unknown_error
}

// Cloud is the Cloud API. Use Inject to make single requests fail.
type Cloud struct {
	faults
	world   *world.World
	o       CloudOptions
	catalog catalog
	routes  []cloudRoute

	mu       sync.Mutex // guards all below
	trouble  CloudFaults
	projects map[string]*project // by every token
	nextID   int64
	calls    int
}

// project is what belongs to one project.
type project struct {
	Project
	counts  map[string]Count
	tokens  float64 // calls left
	filled  time.Time
	servers map[*world.Machine]*virtual
	shelves map[string][]thing // ssh_keys, networks, … by plural
	actions []*action
}

// cloudCall is one request while it is handled; Cloud.mu is held.
type cloudCall struct {
	*project
	now   time.Time
	args  []string // the variables of the path
	query url.Values
	body  []byte
}

// NewCloud makes the Cloud API of w.
func NewCloud(w *world.World, o CloudOptions) *Cloud {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limit == 0 {
		o.Limit = 3600
	}
	if o.Addresses == nil {
		o.Addresses = defaultAddresses
	}
	cl := &Cloud{world: w, o: o, catalog: newCatalog(o.Now()), projects: map[string]*project{}, nextID: 10_000}
	cl.routes = cl.allRoutes()
	for _, p := range o.Projects {
		one := &project{
			Project: p, counts: map[string]Count{}, tokens: float64(o.Limit), filled: o.Now(),
			servers: map[*world.Machine]*virtual{}, shelves: map[string][]thing{},
		}
		for _, t := range append([]string{p.Token}, p.ReadOnly...) {
			cl.projects[t] = one
		}
	}
	return cl
}

// Fault changes the faults of the API.
func (cl *Cloud) Fault(change func(*CloudFaults)) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	change(&cl.trouble)
}

// Counts gives the calls of a project by route, "POST /servers/{id}/actions/reset".
func (cl *Cloud) Counts(token string) map[string]Count {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	counts := map[string]Count{}
	if p := cl.projects[token]; p != nil {
		for k, v := range p.counts {
			counts[k] = v
		}
	}
	return counts
}

// ServeHTTP answers one call below /v1.
func (cl *Cloud) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	fault := cl.take(req.Method, strings.TrimPrefix(req.URL.Path, "/v1"))
	if !fault.wait(req.Context()) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return // the client went away
	}
	a, encoded := cl.answer(w.Header(), req, body, fault)
	a.send(w, "application/json", encoded, fault.Body)
}

// answer does all of a call that needs the lock: it encodes too, since answers point into the state.
func (cl *Cloud) answer(header http.Header, req *http.Request, body []byte, fault Fault) (answer, []byte) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.calls++
	header.Set("X-Correlation-Id", fmt.Sprintf("%016x", cl.calls))
	a := cl.handle(header, req, body, fault)
	return a, a.encode()
}

// handle goes in the API's order: is there such a route, who is it, too many calls, may they write, do it.
func (cl *Cloud) handle(header http.Header, req *http.Request, body []byte, fault Fault) answer {
	found, route, args := cl.route(req)
	if !found { // known to be so without a token too
		return refuse(http.StatusNotFound, "not_found", "api route not found")
	}
	token, bearer := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	p := cl.projects[token]
	switch {
	case !bearer || token == "":
		return refuse(http.StatusUnauthorized, "unauthorized", "token is required")
	case p == nil:
		return refuse(http.StatusUnauthorized, "unauthorized", "the token you have provided is invalid")
	case route == nil:
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "method not allowed")
	}
	now := cl.o.Now()
	group := route.method + " " + route.path
	if !cl.spend(p, now, header) {
		p.count(group, 0, 1)
		return refuse(http.StatusTooManyRequests, "rate_limit_exceeded", fmt.Sprintf("limit of %d requests per hour reached", cl.o.Limit))
	}
	p.count(group, 1, 0)
	switch {
	case fault.Status != 0 && fault.Code == "":
		return answer{status: fault.Status, html: "<html><body>" + http.StatusText(fault.Status) + "</body></html>"}
	case fault.Status != 0:
		return refuse(fault.Status, fault.Code, fault.Message)
	case token != p.Token && req.Method != http.MethodGet:
		return refuse(http.StatusUnauthorized, "token_readonly", "the token is only allowed to read")
	}
	return route.handle(&cloudCall{project: p, now: now, args: args, query: req.URL.Query(), body: body})
}

// route finds the path, and the route of the method below it, which may be nil.
func (cl *Cloud) route(req *http.Request) (found bool, of *cloudRoute, args []string) {
	path := segments(req.URL.EscapedPath())
	if len(path) == 0 || path[0] != "v1" {
		return false, nil, nil
	}
	for i, r := range cl.routes {
		a, ok := match(r.path, path[1:])
		if ok && r.method == req.Method {
			return true, &cl.routes[i], a
		}
		found = found || ok
	}
	return found, nil, nil
}

// spend takes one call of the project and tells what is left. The bucket refills evenly: one call a second.
func (cl *Cloud) spend(p *project, now time.Time, header http.Header) bool {
	limit := float64(cl.o.Limit)
	if limit < 0 {
		return true
	}
	perSecond := limit / 3600
	p.tokens = min(limit, p.tokens+now.Sub(p.filled).Seconds()*perSecond)
	p.filled = now
	good := p.tokens >= 1
	if good {
		p.tokens--
	}
	full := now.Add(time.Duration((limit - p.tokens) / perSecond * float64(time.Second)))
	header.Set("RateLimit-Limit", strconv.Itoa(cl.o.Limit))
	header.Set("RateLimit-Remaining", strconv.Itoa(int(p.tokens)))
	header.Set("RateLimit-Reset", strconv.FormatInt(full.Unix(), 10))
	return good
}

func (p *project) count(group string, calls, refused int) {
	c := p.counts[group]
	p.counts[group] = Count{c.Calls + calls, c.Refused + refused}
}

func (cl *Cloud) id() int64 {
	cl.nextID++
	return cl.nextID
}

// defaultAddresses are of the ranges for benchmarks and documentation.
func defaultAddresses(id int64) (netip.Addr, netip.Prefix) {
	v4 := netip.AddrFrom4([4]byte{198, 18 + byte(id>>16&1), byte(id >> 8), byte(id)})
	v6 := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	return v4, netip.PrefixFrom(v6, 64)
}

// stamp is a time as the API writes it.
type stamp time.Time

// MarshalJSON writes RFC 3339 with a numeric zone.
func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format(`"2006-01-02T15:04:05-07:00"`)), nil
}

// refuse is an error without details.
func refuse(status int, code, message string) answer { return refuseFor(status, code, message, nil) }

// refuseFor is an error; details must be an object or nil, since hcloud-go loses the error over anything else.
func refuseFor(status int, code, message string, details any) answer {
	return answer{status: status, body: wrap("error", map[string]any{"code": code, "message": message, "details": details})}
}

// wrongField is invalid_input for a field.
func wrongField(name, message string) answer {
	return refuseFor(http.StatusUnprocessableEntity, "invalid_input", "invalid input in field '"+name+"'", fieldDetails(name, message))
}

func notUniqueField(name string) answer {
	return refuseFor(http.StatusConflict, "uniqueness_error", name+" is already used", fieldDetails(name, "is already used"))
}

func fieldDetails(name, message string) any {
	return map[string]any{"fields": []any{map[string]any{"name": name, "messages": []string{message}}}}
}

func notFound(what string) answer {
	return refuse(http.StatusNotFound, "not_found", what+" not found")
}

// read decodes the body of a call; an absent one is the zero value.
func read[T any](c *cloudCall) (v T, refusal answer, ok bool) {
	if len(c.body) == 0 {
		return v, answer{}, true
	}
	err := json.Unmarshal(c.body, &v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return v, wrongField(wrong.Field, "has the wrong type"), false
	case err != nil:
		return v, refuse(http.StatusBadRequest, "json_error", "the request body is not valid JSON"), false
	}
	return v, answer{}, true
}

// reference is an id or a name; a name may be digits only, then it is an id.
type reference struct {
	id   int64
	name string
}

// UnmarshalJSON takes a number or a string.
func (r *reference) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &r.id); err == nil {
		return nil
	}
	if err := json.Unmarshal(b, &r.name); err != nil {
		return err
	}
	r.id, _ = strconv.ParseInt(r.name, 10, 64)
	return nil
}

func (r reference) is(id int64, name string) bool {
	return r.id == id && id != 0 || r.name == name && name != ""
}

func (r reference) empty() bool { return r.id == 0 && r.name == "" }

// number reads an id of the path, 0 if it is none.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// emptyList is a listing of what this simulator never has.
func emptyList(plural string) func(*cloudCall) answer {
	return func(c *cloudCall) answer { return list(c, plural, nil) }
}

func absent(what string) func(*cloudCall) answer {
	return func(*cloudCall) answer { return notFound(what) }
}

// gone is what /datacenters answers since 2026-10-01.
func gone(*cloudCall) answer {
	return refuseFor(http.StatusGone, "deprecated_api_endpoint", "this endpoint was removed",
		map[string]any{"announcement": "https://docs.hetzner.cloud/changelog#2026-06-02-datacenters-deprecated"})
}

// cloneLabels keeps the caller's map out of the state; labels are never null.
func cloneLabels(l map[string]string) map[string]string {
	c := map[string]string{}
	for k, v := range l {
		c[k] = v
	}
	return c
}

// has says whether the query asks for one of the values, or for none in particular.
func has(asked []string, value string) bool { return len(asked) == 0 || slices.Contains(asked, value) }
