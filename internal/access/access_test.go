package access

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

const password = "correct horse"

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// lab is an access control whose clock stands still.
type lab struct {
	*Access
	store *store.Store
	time  time.Time
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{store: storetest.SQLite(t).Open(t), time: noon}
	l.Access = l.with(t, password)
	return l
}

// with is the program started with a password.
func (l *lab) with(t *testing.T, password string) *Access {
	t.Helper()
	a, err := New(t.Context(), l.store, password, filepath.Join(t.TempDir(), "password"))
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return l.time }
	return a
}

func from(address string, change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = address
	if change != nil {
		change(r)
	}
	return r
}

func basic(password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// login gives the cookie of a session.
func (l *lab) login(t *testing.T, a *Access) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := a.Login(w, from("203.0.113.7:1", nil), password); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

func TestWhoIsKnown(t *testing.T) {
	l := newLab(t)
	_, token, err := l.NewToken(t.Context(), "admin", "ci")
	if err != nil {
		t.Fatal(err)
	}
	expired, err := l.store.CreateToken(t.Context(), store.Token{Name: "old", Hash: hash("tm_old"), ExpiresAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	session := l.login(t, l.Access)
	for _, tc := range []struct {
		why   string
		r     func(*http.Request)
		actor string
		text  string
	}{
		{"nobody", nil, "", "log in first"},
		{"the password, with any name", basic(password), "admin", ""},
		{"a wrong password", basic("wrong"), "", "password is wrong"},
		{"no password", basic(""), "", "password is wrong"},
		{"a token", bearer(token), "ci", ""},
		{"a token that was made up", bearer("tm_" + strings.Repeat("A", 26)), "", "unknown token"},
		{"something else than a token", bearer("secret"), "", "begin with tm_"},
		{"a token whose time is over", bearer("tm_old"), "", "token " + expired.Name + " has expired"},
		{"a session", func(r *http.Request) { r.AddCookie(session) }, "admin", ""},
	} {
		actor, err := l.Identify(from("203.0.113.8:1", tc.r))
		if actor != tc.actor || (err == nil) != (tc.text == "") || err != nil && (fleet.KindOf(err) != fleet.Unauthorized || !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%s: %q, %v (hint %q)", tc.why, actor, err, fleet.HintOf(err))
		}
	}
	if err := l.store.RemoveToken(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Identify(from("203.0.113.8:1", bearer(token))); fleet.KindOf(err) != fleet.Unauthorized {
		t.Errorf("a revoked token: %v", err)
	}
}

func TestATokenPassesForNobodyElse(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"admin", "machine", "talos-manager", "No label", ""} {
		if _, _, err := l.NewToken(t.Context(), "admin", name); fleet.KindOf(err) != fleet.Invalid || fleet.HintOf(err) == "" {
			t.Errorf("a token named %q: %v", name, err)
		}
	}
	kept, text, err := l.NewToken(t.Context(), "ada", "ci")
	if err != nil || strings.Contains(kept.Hash, text) || !strings.HasPrefix(text, "tm_") || len(text) < 29 || kept.Actor != "ada" {
		t.Errorf("%+v, %q, %v", kept, text, err)
	}
}

func TestASessionEndsAndCannotBeMadeUp(t *testing.T) {
	l := newLab(t)
	c := l.login(t, l.Access)
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure {
		t.Errorf("cookie %+v", c)
	}
	parts := strings.Split(c.Value, ".")
	with := func(value string) string {
		actor, _ := l.Identify(from("203.0.113.7:1", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: value}) }))
		return actor
	}
	for why, value := range map[string]string{
		"another name": "root." + parts[1] + "." + parts[2], "a longer life": parts[0] + ".9999999999." + parts[2], "another signature": parts[0] + "." + parts[1] + ".AAAA",
		"no signature": parts[0] + "." + parts[1], "nothing": "", "dots": "..",
	} {
		if actor := with(value); actor != "" {
			t.Errorf("%s: it is taken for %s", why, actor)
		}
	}
	if with(c.Value) != "admin" {
		t.Error("the real one is not taken")
	}
	if other := l.with(t, "another password"); other.session(from("", func(r *http.Request) { r.AddCookie(c) })) != "" {
		t.Error("a new password does not end the sessions of the old one")
	}
	if again := l.with(t, password); again.session(from("", func(r *http.Request) { r.AddCookie(c) })) != "admin" {
		t.Error("a restart ends sessions")
	}
	l.time = noon.Add(sessionLife)
	if with(c.Value) != "" {
		t.Error("a session does not end")
	}
	w := httptest.NewRecorder()
	l.Logout(w, from("", nil))
	if gone := w.Result().Cookies()[0]; gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("logging out leaves %+v", gone)
	}
	w = httptest.NewRecorder()
	if err := l.Login(w, from("", func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }), password); err != nil || !w.Result().Cookies()[0].Secure {
		t.Errorf("behind TLS the cookie is not for TLS only: %v", err)
	}
}

// Whoever guesses is not told when he is right, and nobody else suffers.
func TestGuessingIsSlow(t *testing.T) {
	l := newLab(t)
	guess := func(address, password string) fleet.Kind {
		_, err := l.Identify(from(address, basic(password)))
		if err == nil {
			return ""
		}
		return fleet.KindOf(err)
	}
	for i := range 10 {
		if got := guess("203.0.113.7:1000", "wrong"); got != fleet.Unauthorized {
			t.Fatalf("guess %d is %s", i, got)
		}
	}
	for _, tc := range []struct {
		why, address, password string
		want                   fleet.Kind
	}{
		{"the eleventh", "203.0.113.7:1001", "wrong", fleet.Exhausted},
		{"the right one shows nothing", "203.0.113.7:1002", password, fleet.Exhausted},
		{"somebody else", "203.0.113.8:1", password, ""},
	} {
		if got := guess(tc.address, tc.password); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.why, got, tc.want)
		}
	}
	if err := l.Login(httptest.NewRecorder(), from("203.0.113.7:1003", nil), password); fleet.KindOf(err) != fleet.Exhausted || fleet.HintOf(err) == "" {
		t.Errorf("the login page is another way: %v", err)
	}
	l.time = noon.Add(6 * time.Second)
	if got := guess("203.0.113.7:1004", password); got != "" {
		t.Errorf("after a pause: %s", got)
	}
	for range 30 { // who knows it is not slowed down
		if got := guess("203.0.113.9:1", password); got != "" {
			t.Fatal(got)
		}
	}
	for i := range 10 { // one customer, as many addresses as he likes
		guess("[2001:db8:1:2::"+string(rune('a'+i%6))+"]:1", "wrong")
	}
	if got := guess("[2001:db8:1:2::ffff]:1", "wrong"); got != fleet.Exhausted {
		t.Errorf("from the same /64: %s", got)
	}
	if got := guess("[2001:db8:1:3::1]:1", "wrong"); got != fleet.Unauthorized {
		t.Errorf("from another: %s", got)
	}
}

// Behind a proxy all requests come from its address: guesses count against whom it speaks for.
func TestGuessesAreCountedBehindAProxy(t *testing.T) {
	l := newLab(t)
	l.Source = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
	guess := func(who, password string) error {
		_, err := l.Identify(from("10.0.0.1:1", func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", who)
			r.SetBasicAuth("", password)
		}))
		return err
	}
	for range 11 {
		guess("203.0.113.7", "wrong") //nolint:errcheck // counted below
	}
	if err := guess("203.0.113.7", password); fleet.KindOf(err) != fleet.Exhausted {
		t.Errorf("who guessed: %v", err)
	}
	if err := guess("203.0.113.8", password); err != nil {
		t.Errorf("another behind the same proxy: %v", err)
	}
}

func TestAFloodOfAddressesIsForgotten(t *testing.T) {
	g := &guesses{}
	for i := range crowded + 10 {
		g.try(string(rune(i)), noon, func() bool { return false })
	}
	if len(g.by) > crowded+1 {
		t.Errorf("%d are remembered", len(g.by))
	}
}

func TestThePasswordOfTheFirstStartIsKept(t *testing.T) {
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "password")
	first, err := New(t.Context(), l.store, "", file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !first.IsPassword(strings.TrimSpace(string(text))) || len(text) < 27 || first.PasswordFile != file {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
	second, err := New(t.Context(), l.store, "", file)
	if err != nil || !second.IsPassword(strings.TrimSpace(string(text))) {
		t.Errorf("the second start has another: %v", err)
	}
	if _, err := New(t.Context(), l.store, "", filepath.Join(file, "x")); fleet.KindOf(err) != fleet.Invalid || fleet.HintOf(err) == "" {
		t.Errorf("a folder that cannot be written: %v", err)
	}
	if a, err := New(t.Context(), l.store, "mine", file); err != nil || a.PasswordFile != "" || !a.IsPassword("mine") {
		t.Errorf("a password of the operator's own: %v", err)
	}
}

func TestOnlyWhoIsKnownGetsThrough(t *testing.T) {
	l := newLab(t)
	inside := l.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(Actor(r.Context()))) }),
		func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		})
	for _, tc := range []struct {
		r    func(*http.Request)
		want string
	}{{nil, "log in first"}, {basic(password), "admin"}} {
		w := httptest.NewRecorder()
		inside.ServeHTTP(w, from("203.0.113.7:1", tc.r))
		if got := strings.TrimSpace(w.Body.String()); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	if Actor(t.Context()) != "" {
		t.Error("nobody has a name")
	}
}
