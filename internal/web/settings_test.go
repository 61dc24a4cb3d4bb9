package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSettingsShowNothingSecret(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.get(t, "/settings", http.StatusOK)
	p.has(t, "https://manager.example.com", "ssh-ed25519", "SHA256:", "SQLite", "factory.sim", "seal.key", "admin", "test", "Accounts and budgets", "Audit log")
	if strings.Contains(p.source, password) {
		t.Error("the password is shown")
	}
}

// The address is tested when somebody asks, and what is wrong is said.
func TestThePublicAddressIsTestedOnRequest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.app.Operations.URL = l.server.URL
	p := l.get(t, "/settings", http.StatusOK)
	p.hasNot(t, "What this cannot know")
	p = l.submit(t, p, "/settings", nil, http.StatusOK)
	p.has(t, "/healthz answers there", "where machines fetch their configs, answers there", "It is plain HTTP", "What this cannot know")
	p.hasNot(t, "Fails")
	l.app.Operations.URL = ""
	l.submit(t, p, "/settings", nil, http.StatusOK).has(t, "Fails", "HOST")
}

// A token's text is on the page that made it, opens the API, and is nowhere after; revoked, it opens nothing.
func TestATokenIsShownOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.submit(t, l.get(t, "/settings", http.StatusOK), "/settings/tokens", url.Values{"name": {"CI job"}}, http.StatusUnprocessableEntity)
	p.has(t, "is not a DNS label")
	p = l.submit(t, p, "/settings/tokens", url.Values{"name": {"ci"}}, http.StatusOK)
	text := textOf(p.byID("made-token"))
	if !strings.HasPrefix(text, "tm_") {
		t.Fatalf("the token is %q", text)
	}
	use := func() int {
		req, err := http.NewRequest(http.MethodGet, l.server.URL+"/api/v1/version", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+text)
		r, err := http.DefaultClient.Do(req)
		must(t, err)
		r.Body.Close()
		return r.StatusCode
	}
	if got := use(); got != http.StatusOK {
		t.Errorf("the token opens nothing: %d", got)
	}
	p = l.get(t, "/settings", http.StatusOK)
	if p.has(t, "ci"); strings.Contains(p.source, text) {
		t.Error("the token is shown again")
	}
	tokens, err := l.store.Tokens(t.Context())
	must(t, err)
	at := "/settings/tokens/" + tokens[0].ID + "/revoke"
	l.submit(t, p, at, one("confirm", "wrong"), http.StatusUnprocessableEntity).has(t, "its name was not typed")
	if got := use(); got != http.StatusOK {
		t.Errorf("revoked without its name: %d", got)
	}
	l.submit(t, p, at, one("confirm", "ci"), http.StatusOK).has(t, "Revoked ci")
	if got := use(); got != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", got)
	}
	l.get(t, "/events", http.StatusOK).has(t, "revoked ci")
}
