// Package access knows who somebody is: by the password (Basic, or a session made with it on the login page), or
// by an API token. There is one role yet: who is known may do everything. It hands out tokens and refuses
// everything it cannot prove, slowly when somebody guesses.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Access proves identities.
type Access struct {
	store    *store.Store
	password [32]byte // SHA-256; the password is long and random, or the operator's own choice
	// PasswordFile is where a generated password was written, "" if it was set.
	PasswordFile string
	secret       []byte // signs sessions; derived from the password, so that a new password ends them all
	guesses      *guesses
}

// New makes the access control. Without a password one is generated at the first start and kept in file, which
// only its owner can read.
func New(ctx context.Context, s *store.Store, password, file string) (*Access, error) {
	a := &Access{store: s, guesses: &guesses{by: map[string]*rate.Limiter{}}}
	if password == "" {
		var err error
		if password, err = keptPassword(file); err != nil {
			return nil, err
		}
		a.PasswordFile = file
	}
	a.password = sha256.Sum256([]byte(password))
	secret := sha256.Sum256([]byte("session:" + password))
	a.secret = secret[:]
	return a, nil
}

func keptPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	password := rand.Text()
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "password: %w", err).WithHint("set BASIC_AUTH_PASSWORD, or let DATA_DIR be writable")
	}
	return password, nil
}

type actorKey struct{}

// Actor names who makes the request of ctx, "" if nobody is known.
func Actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// As gives a context of somebody who is known.
func As(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Identify finds out who makes a request: fleet.Unauthorized if nobody known does, fleet.Exhausted after too many
// wrong guesses from one address.
func (a *Access) Identify(r *http.Request) (string, error) {
	if actor := a.session(r); actor != "" {
		return actor, nil
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		actor, err := a.token(r.Context(), strings.TrimSpace(token))
		if fleet.KindOf(err) != fleet.NotFound {
			return actor, err
		}
		return "", a.wrong(r, "the API token is not known, or was revoked")
	}
	if _, password, ok := r.BasicAuth(); ok {
		if a.IsPassword(password) {
			return "admin", nil
		}
		return "", a.wrong(r, "the password is wrong")
	}
	return "", fleet.Errorf(fleet.Unauthorized, "log in first").
		WithHint("send an API token as `Authorization: Bearer …`, or the password by Basic authentication")
}

// IsPassword compares in constant time.
func (a *Access) IsPassword(password string) bool {
	sum := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(sum[:], a.password[:]) == 1
}

// Require lets only known people through; refuse answers the others.
func (a *Access) Require(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := a.Identify(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(As(r.Context(), actor)))
	})
}

// tokenPrefix makes tokens recognisable to people and to secret scanners.
const tokenPrefix = "tm_"

// NewToken makes an API token; its text is shown once and kept only as a hash.
func (a *Access) NewToken(ctx context.Context, actor, name string) (store.Token, string, error) {
	if err := fleet.CheckName("token", name); err != nil {
		return store.Token{}, "", err
	}
	text := tokenPrefix + rand.Text()
	t, err := a.store.CreateToken(ctx, store.Token{ID: fleet.NewID(), Name: name, Hash: hash(text), Actor: actor, CreatedAt: time.Now()})
	return t, text, err
}

func (a *Access) token(ctx context.Context, text string) (string, error) {
	if !strings.HasPrefix(text, tokenPrefix) {
		return "", fleet.Errorf(fleet.NotFound, "no such token")
	}
	t, err := a.store.UseToken(ctx, hash(text), time.Now())
	if err != nil {
		return "", err
	}
	return t.Name, nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// wrong counts a wrong guess against its address.
func (a *Access) wrong(r *http.Request, why string) error {
	if !a.guesses.allow(r.RemoteAddr) {
		return fleet.Errorf(fleet.Exhausted, "too many wrong guesses from this address").WithHint("wait a minute")
	}
	return fleet.Errorf(fleet.Unauthorized, "%s", why)
}

// guesses limits wrong guesses by address: ten at once, then one every six seconds.
type guesses struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func (g *guesses) allow(address string) bool {
	host := address
	if i := strings.LastIndex(address, ":"); i > 0 {
		host = address[:i]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.by) > 10000 {
		clear(g.by) // a flood from everywhere: forget rather than grow
	}
	l := g.by[host]
	if l == nil {
		l = rate.NewLimiter(rate.Every(6*time.Second), 10)
		g.by[host] = l
	}
	return l.Allow()
}
