package hcloud

import (
	"net/http"
	"strconv"
	"time"

	"github.com/talos-manager/talos-manager/internal/provider"
)

// A project has 3,600 calls an hour, of which one comes back each second.
const budgetGroup = "hcloud API"

func budgetLimit() provider.Limit {
	return provider.Limit{Calls: 3600, Window: time.Hour, Refill: true}
}

// afterRefusal is how long nobody calls after a 429: RateLimit-Reset says when all calls are back, which may be
// an hour away; a minute brings sixty.
const afterRefusal = time.Minute

// meter takes every HTTP call from the budget, below hcloud-go, so that polls of actions count too.
type meter struct {
	next   http.RoundTripper
	budget provider.Budget
}

// metered is a copy of the client with a meter.
func metered(client *http.Client, budget provider.Budget) *http.Client {
	c := &http.Client{Timeout: time.Minute}
	if client != nil {
		*c = *client
	}
	if budget == nil {
		budget = &provider.MemoryBudget{}
	}
	next := c.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	c.Transport = &meter{next, budget}
	return c
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := provider.TakeOne(r.Context(), m.budget, budgetGroup, budgetLimit()); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := m.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests {
		return resp, err
	}
	resp.Body.Close()
	until := time.Now().Add(afterRefusal)
	if unix, err := strconv.ParseInt(resp.Header.Get("RateLimit-Reset"), 10, 64); err == nil {
		if reset := time.Unix(unix, 0); reset.After(time.Now()) && reset.Before(until) {
			until = reset
		}
	}
	if err := m.budget.Exhaust(r.Context(), budgetGroup, until); err != nil {
		return nil, err
	}
	return nil, &provider.BudgetError{Group: budgetGroup, Until: until}
}
