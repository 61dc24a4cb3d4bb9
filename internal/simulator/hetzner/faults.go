package hetzner

import (
	"context"
	"encoding/json"
	"path"
	"sync"
	"time"
)

// Damage is what happens to the body of an answer whose effect did happen.
type Damage int

// The kinds of damage.
const (
	Whole        Damage = iota
	Malformed           // not JSON any more, all else as it should be
	Truncated           // the connection breaks in the middle of the body
	Dropped             // the connection breaks before the answer
	PartialPage         // a listing lacks its second half, and its totals do not tell
	EmptyListing        // a listing says that there is nothing
)

// Fault changes the answers to some requests. The zero value of each field changes nothing.
type Fault struct {
	Method string        // "" is every method
	Path   string        // as path.Match: "/boot/*/rescue", at the Cloud without /v1; "" is every path
	Times  int           // so many requests; 0 is one, -1 all until Clear
	Delay  time.Duration // before the answer, by the clock on the wall

	Status  int    // this error instead of doing anything
	Code    string // of the error; "" gives an error without the protocol's body
	Message string

	Body Damage
}

// faults is a list of them, first match wins.
type faults struct {
	mu  sync.Mutex
	all []*Fault
}

// Inject adds a fault.
func (f *faults) Inject(add Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if add.Times == 0 {
		add.Times = 1
	}
	f.all = append(f.all, &add)
}

// Clear ends all faults.
func (f *faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = nil
}

// take gives the fault of a request, a zero one if it has none.
func (f *faults) take(method, at string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		if x.Times == 0 || x.Method != "" && x.Method != method {
			continue
		}
		if matched, err := path.Match(x.Path, at); x.Path != "" && (err != nil || !matched) {
			continue
		}
		if x.Times > 0 {
			x.Times--
		}
		return *x
	}
	return Fault{}
}

// wait lets the delay pass, false if the client went away.
func (f Fault) wait(ctx context.Context) bool {
	if f.Delay <= 0 {
		return true
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// apply damages an encoded body.
func (d Damage) apply(body []byte) []byte {
	switch d {
	case Malformed:
		return append([]byte(`{"oops":[`), body...)
	case PartialPage:
		return cutLists(body, func(n int) int { return n / 2 })
	case EmptyListing:
		return cutLists(body, func(int) int { return 0 })
	}
	return body
}

// cutLists shortens the listing that a body is (Robot) or has in one of its fields (Cloud).
func cutLists(body []byte, keep func(n int) int) []byte {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && list != nil {
		short, _ := json.Marshal(list[:keep(len(list))])
		return short
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return body
	}
	for k, v := range object {
		if json.Unmarshal(v, &list) == nil && list != nil {
			object[k], _ = json.Marshal(list[:keep(len(list))])
		}
	}
	short, _ := json.Marshal(object)
	return short
}
