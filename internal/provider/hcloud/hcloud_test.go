package hcloud

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/providertest"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
)

// always answers every call the same.
type always func(*http.Request) *http.Response

func (a always) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func answer(r *http.Request, status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

func scripted(status int, contentType, body string) *Driver {
	return New(Options{Token: "x", PollEvery: time.Millisecond, HTTP: &http.Client{Transport: always(func(r *http.Request) *http.Response {
		return answer(r, status, contentType, body)
	})}})
}

func apiError(code string) string {
	return `{"error":{"code":"` + code + `","message":"it says","details":null}}`
}

func TestErrorsAreOfTheirKind(t *testing.T) {
	const j = "application/json"
	for _, c := range []struct {
		why    string
		status int
		ctype  string
		body   string
		kind   fleet.Kind
	}{
		{"deleted token", 401, j, apiError("unauthorized"), fleet.Unauthorized},
		{"a token that may only read", 401, j, apiError("token_readonly"), fleet.Forbidden},
		{"over the quota is no rate limit", 403, j, apiError("resource_limit_exceeded"), fleet.Invalid},
		{"maintenance", 403, j, apiError("maintenance"), fleet.Unavailable},
		{"locked", 423, j, apiError("locked"), fleet.Conflict},
		{"changed meanwhile", 409, j, apiError("conflict"), fleet.Conflict},
		{"protected", 423, j, apiError("protected"), fleet.Invalid},
		{"name taken", 409, j, apiError("uniqueness_error"), fleet.Conflict},
		{"wrong field", 422, j, `{"error":{"code":"invalid_input","message":"x","details":{"fields":[]}}}`, fleet.Invalid},
		{"removed call", 410, j, apiError("deprecated_api_endpoint"), fleet.Internal},
		{"a code nobody knows yet, theirs", 500, j, apiError("new_error"), fleet.Unavailable},
		{"a code nobody knows yet, ours", 422, j, apiError("new_error"), fleet.Invalid},
		{"rate limit", 429, j, apiError("rate_limit_exceeded"), fleet.Exhausted},
		{"rate limit without a body", 429, "", "", fleet.Exhausted},
		{"a proxy", 502, "text/html", "<html>", fleet.Unavailable},
		{"a page instead of the API", 200, "text/html", "<html>", fleet.Unavailable},
		{"half an answer", 200, j, `{"server":{"id":4`, fleet.Unavailable},
		{"another server", 200, j, `{"server":{"id":4}}`, fleet.Unavailable},
		{"no server", 200, j, `{}`, fleet.Unavailable},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := scripted(c.status, c.ctype, c.body).Server(t.Context(), "4711")
			if fleet.KindOf(err) != c.kind || !strings.Contains(err.Error(), "hcloud: read server 4711") {
				t.Errorf("got %q (%s), want %s", err, fleet.KindOf(err), c.kind)
			}
		})
	}
}

func TestAListingThatDoesNotAddUpIsAnError(t *testing.T) {
	for _, c := range []struct{ why, body string }{
		{"no list at all", `{}`},
		{"no word of pages", `{"servers":[]}`},
		{"fewer than it says", `{"servers":[{"id":1}],"meta":{"pagination":{"page":1,"per_page":50,"next_page":null,"total_entries":2}}}`},
		{"a server twice", `{"servers":[{"id":1},{"id":1}],"meta":{"pagination":{"page":1,"per_page":50,"next_page":null,"total_entries":2}}}`},
		{"a server without id", `{"servers":[{}],"meta":{"pagination":{"page":1,"per_page":50,"next_page":null,"total_entries":1}}}`},
		{"pages in a circle", `{"servers":[],"meta":{"pagination":{"page":1,"per_page":50,"next_page":1,"total_entries":0}}}`},
	} {
		t.Run(c.why, func(t *testing.T) {
			l, err := scripted(200, "application/json", c.body).List(t.Context())
			if fleet.KindOf(err) != fleet.Unavailable || len(l.Servers) != 0 {
				t.Errorf("got %v, %d servers", err, len(l.Servers))
			}
		})
	}
}

func TestAPartialPageIsAnError(t *testing.T) {
	s := open(t, 60, hetzner.CloudOptions{})
	s.cloud.Inject(hetzner.Fault{Path: "/servers", Times: -1, Body: hetzner.PartialPage})
	if l, err := New(s.options()).List(t.Context()); fleet.KindOf(err) != fleet.Unavailable || len(l.Servers) != 0 {
		t.Errorf("got %v, %d servers", err, len(l.Servers))
	}
}

func TestAServerOfBareNecessities(t *testing.T) {
	d := scripted(200, "application/json", `{"server":{"id":4711,"name":"a","status":"off","created":null,
		"public_net":{"ipv4":null,"ipv6":null},"server_type":{"name":"cax11","architecture":"arm"},"location":{"name":"hel1"}}}`)
	got, err := d.Server(t.Context(), "4711")
	want := provider.Server{
		ProviderID: "4711", Name: "a", Product: "cax11", Location: "hel1", Architecture: fleet.ARM64,
		Status: "off", Power: fleet.PowerOff,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAReadOnlyTokenIsSaid(t *testing.T) {
	s := open(t, 1, hetzner.CloudOptions{})
	o := s.options()
	o.Token = hetzner.Token("read-only") + "\n" // as pasted
	d := New(o)
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := d.Rename(t.Context(), "4711", "x")
	if fleet.KindOf(err) != fleet.Forbidden || !strings.Contains(fleet.HintOf(err), "Read & Write") {
		t.Errorf("got %v, hint %q", err, fleet.HintOf(err))
	}
}

func TestATokenThatCannotBeSent(t *testing.T) {
	if err := New(Options{Token: "two\nlines"}).Check(t.Context()); fleet.KindOf(err) != fleet.Unauthorized {
		t.Errorf("got %v", err)
	}
}

func TestRenameToATakenNameIsAConflict(t *testing.T) {
	s := open(t, 2, hetzner.CloudOptions{})
	if err := New(s.options()).Rename(t.Context(), "4711", "node-2"); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestEveryPollIsTakenFromTheBudget(t *testing.T) {
	s, budget := open(t, 1, hetzner.CloudOptions{}), &provider.MemoryBudget{}
	o := s.options()
	o.Budget = budget
	if _, err := New(o).ArmRescue(t.Context(), "4711", providertest.NewKey(t)); err != nil {
		t.Fatal(err)
	}
	asked, used := int(s.requests.Load()), budget.Used(budgetGroup)
	if asked < 5 || asked != used { // key, upload, server, enable, poll
		t.Errorf("%d calls made, %d counted", asked, used)
	}
}

func TestAFailedActionIsSaid(t *testing.T) {
	s := open(t, 1, hetzner.CloudOptions{})
	d, key := New(s.options()), providertest.NewKey(t)
	for _, c := range []struct {
		why, code string
		kind      fleet.Kind
	}{{"a failure of theirs", "", fleet.Unavailable}, {"locked, found too late", "locked", fleet.Conflict}} {
		s.cloud.Fault(func(f *hetzner.CloudFaults) { f.ActionFails, f.ActionCode = 1, c.code })
		if _, err := d.ArmRescue(t.Context(), "4711", key); fleet.KindOf(err) != c.kind {
			t.Errorf("%s: arm: %v", c.why, err)
		}
		s.cloud.Fault(func(f *hetzner.CloudFaults) { f.ActionFails, f.ActionCode = 1, c.code })
		if err := d.Reset(t.Context(), "4711", provider.HardReset); fleet.KindOf(err) != c.kind {
			t.Errorf("%s: reset: %v", c.why, err)
		}
	}
}

func TestAnAcceptedResetIsNotGivenUp(t *testing.T) {
	s := open(t, 1, hetzner.CloudOptions{})
	s.cloud.Inject(hetzner.Fault{Path: "/actions", Times: -1, Status: 503, Code: "unavailable"})
	if err := New(s.options()).Reset(t.Context(), "4711", provider.HardReset); err != nil {
		t.Errorf("the poll failed, not the reset: %v", err)
	}
}

func TestAnActionThatTakesLongIsAConflict(t *testing.T) {
	running := `{"server":{"id":4711,"status":"running"},"ssh_keys":[{"id":1,"fingerprint":"FP"}],
		"actions":[{"id":7,"status":"running"}],"action":{"id":7,"status":"running"},"meta":{"pagination":{"page":1}}}`
	key := providertest.NewKey(t)
	d := scripted(201, "application/json", strings.Replace(running, "FP", ssh.FingerprintLegacyMD5(key), 1))
	if _, err := d.ArmRescue(t.Context(), "4711", key); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("got %v", err)
	}
	if err := d.Reset(t.Context(), "4711", provider.HardReset); err != nil {
		t.Errorf("reset: %v", err)
	}
}

func TestNoVSwitches(t *testing.T) {
	if err := New(Options{Token: "x"}).SetVSwitch(t.Context(), "4711", "1"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestRefusalEndsWithinAMinute(t *testing.T) {
	d := scripted(429, "application/json", apiError("rate_limit_exceeded"))
	b, ok := errors.AsType[*provider.BudgetError](d.Check(t.Context()))
	if !ok || time.Until(b.Until) > time.Minute || time.Until(b.Until) < 50*time.Second {
		t.Errorf("got %+v", b)
	}
}

// A reset would end what Hetzner does with the server in the middle.
func TestAServerThatHetznerWorksOnIsNotReset(t *testing.T) {
	s := open(t, 1, hetzner.CloudOptions{})
	d := New(s.options())
	if _, err := d.Server(t.Context(), "4711"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status string
		kind   fleet.Kind
	}{{"migrating", fleet.Conflict}, {"rebuilding", fleet.Conflict}, {"initializing", fleet.Conflict}, {"deleting", fleet.NotFound}} {
		s.cloud.Hold(s.machines[0], c.status, time.Hour)
		if _, err := d.Resets(t.Context(), "4711"); fleet.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.status) && c.status != "deleting" || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", c.status, err, fleet.HintOf(err))
		}
		if err := d.Reset(t.Context(), "4711", provider.HardReset); fleet.KindOf(err) != c.kind {
			t.Errorf("reset while %s: %v", c.status, err)
		}
	}
	s.cloud.Hold(s.machines[0], "", time.Hour) // it runs, and is locked
	if err := d.Reset(t.Context(), "4711", provider.HardReset); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("locked: %v", err)
	}
}
