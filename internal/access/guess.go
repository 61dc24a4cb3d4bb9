package access

import (
	"sync"
	"time"
)

// verdict on a guess.
type verdict int

const (
	refused verdict = iota // not looked at: too many wrong ones before
	wrong
	right
)

// Ten wrong guesses at once are a person's; after them, one every six seconds.
const (
	atOnce     = 10
	afterwards = 6 * time.Second
)

// crowded is how many addresses are remembered. A flood from more is forgotten rather than kept.
const crowded = 10_000

// guesses counts wrong guesses by where they come from. The zero value is ready.
type guesses struct {
	mu sync.Mutex
	by map[string]*patience
}

// patience is how many wrong guesses are left to somebody.
type patience struct {
	left float64
	at   time.Time
}

// try looks at a guess unless patience with its source is at an end. Guesses are looked at one after the other, so that
// many at once are no way around.
func (g *guesses) try(source string, now time.Time, isRight func() bool) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.of(source, now)
	switch {
	case p.left < 1:
		return refused
	case isRight():
		return right
	}
	p.left--
	return wrong
}

func (g *guesses) of(source string, now time.Time) *patience {
	if g.by == nil || len(g.by) > crowded {
		g.by = map[string]*patience{}
	}
	p := g.by[source]
	if p == nil {
		p = &patience{left: atOnce, at: now}
		g.by[source] = p
	}
	p.left = min(atOnce, p.left+now.Sub(p.at).Seconds()/afterwards.Seconds())
	p.at = now
	return p
}
