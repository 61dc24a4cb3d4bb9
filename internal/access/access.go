// Package access knows who somebody is: by the password (Basic, or a session made with it on the login page), or
// by an API token. There is one role yet: who is known may do everything. It hands out tokens and refuses
// everything it cannot prove, slowly when somebody guesses.
package access

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// Access proves identities.
type Access struct {
	store    *store.Store
	password [32]byte // SHA-256; the password is long and random, or the operator's own choice
	// PasswordFile is where a generated password was written, "" if it was set.
	PasswordFile string
	// Source tells where a request comes from, behind proxies too; nil: from its peer.
	Source func(*http.Request) string

	secret  []byte // signs sessions; derived from the password, so that a new password ends them all
	guesses guesses
	now     func() time.Time
}

// work is how much a guess of the password costs whoever got hold of a session's signature.
const work = 20_000

// New makes the access control. Without a password one is generated at the first start and kept in file, which
// only its owner can read.
func New(ctx context.Context, s *store.Store, password, file string) (*Access, error) {
	a := &Access{store: s, now: time.Now}
	if password == "" {
		var err error
		if password, err = keptPassword(file); err != nil {
			return nil, err
		}
		a.PasswordFile = file
	}
	a.password = sha256.Sum256([]byte(password))
	var err error
	a.secret, err = pbkdf2.Key(sha256.New, password, []byte("talos-manager session"), work, sha256.Size)
	return a, err
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
		return a.token(r.Context(), strings.TrimSpace(token))
	}
	if _, password, ok := r.BasicAuth(); ok {
		return a.admin(r, password)
	}
	return "", fleet.Errorf(fleet.Unauthorized, "log in first").
		WithHint("send an API token as `Authorization: Bearer …`, or the password by Basic authentication")
}

// admin lets somebody in by the password. Whoever guessed wrong too often is not even compared: a right guess must not
// show itself by its answer.
func (a *Access) admin(r *http.Request, password string) (string, error) {
	switch a.guesses.try(a.from(r), a.now(), func() bool { return a.IsPassword(password) }) {
	case right:
		return "admin", nil
	case wrong:
		return "", fleet.Errorf(fleet.Unauthorized, "the password is wrong").
			WithHint("it is BASIC_AUTH_PASSWORD, or what the first start wrote into the file password of DATA_DIR")
	}
	return "", fleet.Errorf(fleet.Exhausted, "too many wrong guesses from this address").WithHint("wait a minute")
}

// from is whom guesses are counted against: an IPv4 address, or the /64 that somebody with IPv6 has for himself.
func (a *Access) from(r *http.Request) string {
	host := r.RemoteAddr
	if a.Source != nil {
		host = a.Source(r)
	} else if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
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

// taken are actors that are no tokens: no token may pass for one of them in the audit log.
var taken = []string{"admin", "machine", "talos-manager"}

// NewToken makes an API token; its text is shown once and kept only as a hash.
func (a *Access) NewToken(ctx context.Context, actor, name string) (store.Token, string, error) {
	if err := fleet.CheckName("token", name); err != nil {
		return store.Token{}, "", err
	}
	if slices.Contains(taken, name) {
		return store.Token{}, "", fleet.Errorf(fleet.Invalid, "token %s would pass for somebody else in the audit log", name).WithHint("choose another name")
	}
	text := tokenPrefix + rand.Text()
	t, err := a.store.CreateToken(ctx, store.Token{ID: fleet.NewID(), Name: name, Hash: hash(text), Actor: actor, CreatedAt: a.now()})
	return t, text, err
}

// token finds out whose token it is. Nothing is counted: a token has 128 bits of chance.
func (a *Access) token(ctx context.Context, text string) (string, error) {
	if !strings.HasPrefix(text, tokenPrefix) {
		return "", fleet.Errorf(fleet.Unauthorized, "that is no API token: they begin with %s", tokenPrefix)
	}
	t, err := a.store.UseToken(ctx, hash(text), a.now())
	if fleet.KindOf(err) == fleet.Unauthorized {
		return "", fleet.Errorf(fleet.Unauthorized, "the API token is not taken: %w; it may have been revoked", err)
	}
	return t.Name, err
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
