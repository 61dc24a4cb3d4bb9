package hetzner

import (
	"net/http"
	"time"
)

// window counts the calls of a group in its current hour, which starts with its first call.
type window struct {
	start time.Time
	calls int
}

// robotLimits are the documented calls per hour. Groups are a method and the first part of the path, except
// /boot, which counts all methods together.
func robotLimits() map[string]int {
	return map[string]int{
		"GET /": 500, "GET /server": 200, "POST /server": 200, "DELETE /server": 200, "/boot": 500,
		"GET /reset": 500, "POST /reset": 50, "GET /wol": 500, "POST /wol": 10,
		"GET /key": 500, "POST /key": 200, "DELETE /key": 200,
		"GET /vswitch": 500, "POST /vswitch": 100, "DELETE /vswitch": 100,
		"/ip": 5000, "/subnet": 5000, "/rdns": 500, "/firewall": 500,
		"GET /failover": 100, "POST /failover": 50, "DELETE /failover": 50, "/traffic": 200, "/order": 500,
	}
}

// spend takes one call of a group, or gives the refusal: a 403, unlike everywhere else in the world. The
// documentation calls the number max_request, real answers max_requests; clients read either.
func (r *Robot) spend(acc *account, group string) (answer, bool) {
	const interval = time.Hour
	limit, known := r.o.Limits[group]
	if !known {
		limit = robotLimits()[group]
	}
	w, now := acc.windows[group], r.o.Now()
	if w == nil || !now.Before(w.start.Add(interval)) {
		w = &window{start: now}
		acc.windows[group] = w
	}
	count := acc.counts[group]
	defer func() { acc.counts[group] = count }()
	if limit < 0 || w.calls < limit {
		w.calls++
		count.Calls++
		return answer{}, true
	}
	count.Refused++
	type body struct {
		robotError
		MaxRequests int `json:"max_requests"`
		MaxRequest  int `json:"max_request"`
		Interval    int `json:"interval"`
	}
	e := body{robotError{http.StatusForbidden, "RATE_LIMIT_EXCEEDED", "rate limit exceeded"}, limit, limit, int(interval.Seconds())}
	return answer{status: http.StatusForbidden, body: map[string]any{"error": e}}, false
}
