package robot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Robot blocks a source address for ten minutes after three failed logins.
const (
	blockAfter = 3
	blockFor   = 10 * time.Minute
)

// Logins remembers what became of each login (a user and password at one address), so that none is refused
// twice. The zero value is ready. All accounts of a process should share one: they share the source address.
type Logins struct {
	mu       sync.Mutex
	known    map[[sha256.Size]byte]*login
	failures []time.Time // refusals within the last blockFor
}

// login is one user and password. Until it has worked once its calls go one by one, then two at a time: fewer
// than block the address, should the password be changed while they run.
type login struct {
	user  string
	slots *semaphore.Weighted

	// Guarded by Logins.mu.
	proven  bool
	refused time.Time       // zero: not refused
	blocked bool            // it worked before and others failed: not it is wrong, the address seems blocked
	denied  map[string]bool // resources that a good login may not use; each refusal may count as a failed login
}

// visit is one call under a login.
type visit struct {
	all      *Logins
	login    *login
	weight   int64
	resource string
}

// enter lets a call through, or says why not without asking Robot.
func (l *Logins) enter(ctx context.Context, c *Client, r request) (*visit, error) {
	g := l.login(c)
	resource := resourceOf(r.path)
	for {
		weight := l.weight(g)
		if err := g.slots.Acquire(ctx, weight); err != nil {
			return nil, fmt.Errorf("%s: wait for earlier calls: %w", r, context.Cause(ctx))
		}
		err := l.check(g, resource, r.probe)
		if err == nil && l.weight(g) <= weight {
			return &visit{l, g, weight, resource}, nil
		}
		g.slots.Release(weight)
		if err != nil {
			return nil, err
		}
	}
}

func (l *Logins) login(c *Client) *login {
	key := sha256.Sum256([]byte(c.base + "\x00" + c.user + "\x00" + c.password))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[[sha256.Size]byte]*login{}
	}
	if l.known[key] == nil {
		l.known[key] = &login{user: c.user, slots: semaphore.NewWeighted(blockAfter - 1), denied: map[string]bool{}}
	}
	return l.known[key]
}

func (l *Logins) weight(g *login) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.proven {
		return 1
	}
	return blockAfter - 1
}

// check refuses what Robot refused before. A probe may try again once a block would be over, so that a login
// which was only refused because its address was blocked finds its way back.
func (l *Logins) check(g *login, resource string, probe bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if probe {
		clear(g.denied)
	}
	if g.denied[resource] {
		return denied(g.user, resource)
	}
	if g.refused.IsZero() || ((probe || g.blocked) && time.Since(g.refused) >= blockFor) {
		return nil
	}
	return g.refusal("was refused at " + g.refused.Format("15:04:05") + " and is not tried again")
}

func (v *visit) leave() { v.login.slots.Release(v.weight) }

// proved notes that the login works.
func (v *visit) proved() {
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	v.login.proven, v.login.blocked, v.login.refused = true, false, time.Time{}
}

// saw looks at Robot's error answer and remembers a refused login. A good login is also answered UNAUTHORIZED by
// resources it has no right to (/order, /vswitch): that is no failure of the login.
func (v *visit) saw(err error) error {
	e, ok := errors.AsType[*APIError](err)
	if !ok {
		return err
	}
	if e.Status != 401 && e.Code != "UNAUTHORIZED" {
		if fleet.KindOf(err) != fleet.Forbidden && fleet.KindOf(err) != fleet.Unavailable {
			v.proved() // 401 comes before everything else
		}
		return err
	}
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	if v.login.proven && v.resource == "vswitch" {
		v.login.denied[v.resource] = true
		return denied(v.login.user, v.resource)
	}
	now := time.Now()
	earlier := v.all.recent(now)
	v.all.failures = append(earlier, now)
	v.login.blocked = v.login.proven && len(earlier) >= blockAfter
	v.login.refused, v.login.proven = now, false
	return v.login.refusal("was refused")
}

// suspect adds to an error that follows failed logins what may be behind it: what a blocked address gets is not
// documented.
func (v *visit) suspect(err error) error {
	kind := fleet.KindOf(err)
	if kind != fleet.Unavailable && kind != fleet.Forbidden {
		return err
	}
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	recent := v.all.recent(time.Now())
	if len(recent) == 0 {
		return err
	}
	last := recent[len(recent)-1]
	return &fleet.Error{
		Kind: kind, Err: err,
		Text: fmt.Sprintf("robot may have blocked this address after %d failed logins", len(recent)),
		Hint: fmt.Sprintf("wait until %s, then `talos-manager account check`", last.Add(blockFor).Format("15:04:05")),
	}
}

// recent lists the refusals that still count. The caller holds the lock.
func (l *Logins) recent(now time.Time) []time.Time {
	var last []time.Time
	for _, at := range l.failures {
		if now.Sub(at) < blockFor {
			last = append(last, at)
		}
	}
	return last
}

// refusal is the error of a refused login. The caller holds the lock.
func (g *login) refusal(what string) error {
	over := g.refused.Add(blockFor).Format("15:04:05")
	if g.blocked {
		return fleet.Errorf(fleet.Unavailable, "robot: the login of webservice user %s %s, though it worked before", g.user, what).
			WithHint("Robot seems to have blocked this address for ten minutes, for failed logins of other accounts: it goes on after %s", over)
	}
	return fleet.Errorf(fleet.Unauthorized, "robot: the login of webservice user %s %s", g.user, what).
		WithHint("give the account the right webservice user and password (https://robot.hetzner.com/preferences/index); "+
			"three failed logins block this address for ten minutes, so these are not tried again by themselves; if they are "+
			"right, `talos-manager account check` tries them after %s", over)
}

func denied(user, resource string) error {
	return fleet.Errorf(fleet.Forbidden, "robot: webservice user %s may not use /%s", user, resource).
		WithHint("give the user this right at https://robot.hetzner.com/preferences/index, then `talos-manager account check`")
}
