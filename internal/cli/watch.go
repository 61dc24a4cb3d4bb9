package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/talos-manager/talos-manager/client"
)

// watched is an operation to follow, from after the line of this number.
type watched struct {
	client.Operation
	after int64
}

// watch follows operations until all are over, showing on stderr what happens, and leaves in them how they ended.
func (p *program) watch(ctx context.Context, c *client.Client, ops []watched) error {
	s := newScreen(p.err)
	for _, o := range ops {
		s.width = max(s.width, len(o.Subject()))
	}
	problems := make([]error, len(ops))
	var followers sync.WaitGroup
	for i := range ops {
		followers.Go(func() {
			id, subject := ops[i].ID, ops[i].Subject()
			problems[i] = c.Follow(ctx, id, ops[i].after, func(e client.Event) {
				if e.Operation != nil {
					ops[i].Operation = *e.Operation
				}
				s.event(id, subject, e)
			})
		})
	}
	followers.Wait()
	s.close()
	if err := ctx.Err(); err != nil {
		fmt.Fprintf(p.err, "no longer following; what was begun goes on: talos-manager operation list --state active\n")
		return context.Cause(ctx)
	}
	return errors.Join(problems...)
}

// screen shows what happens to operations: lines that stay, and on a terminal one line below them that changes.
type screen struct {
	w     io.Writer
	live  bool
	width int // of the names

	mu      sync.Mutex
	seen    map[string]client.Operation
	order   []string
	status  string // what stands on the changing line
	columns func() int
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, seen: map[string]client.Operation{}, columns: func() int { return 80 }}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.live = true
		s.columns = func() int {
			if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 20 {
				return n
			}
			return 80
		}
	}
	return s
}

// event shows one thing that happened to one operation.
func (s *screen) event(id, subject string, e client.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Line != nil:
		s.line(e.Line.At, subject, level(e.Line.Level)+e.Line.Text)
	case e.Lost != nil:
		s.line(time.Now(), subject, "connection lost, trying again: "+e.Lost.Error())
	case e.Operation != nil:
		s.change(id, subject, *e.Operation)
	}
	s.redraw()
}

// level names what is not usual.
func level(l string) string {
	if l == "info" || l == "" {
		return ""
	}
	return l + ": "
}

// change tells what is new about an operation.
func (s *screen) change(id, subject string, o client.Operation) {
	was, known := s.seen[id]
	if !known {
		s.order = append(s.order, id)
	}
	if o.State == client.Running && o.Step == was.Step && o.WaitingFor == "" {
		o.WaitingFor = was.WaitingFor // it looks whether the wait is over; the changing line would flicker
	}
	s.seen[id] = o
	at := o.UpdatedAt
	if o.Step != "" && o.Step != was.Step && !o.Final() {
		s.line(at, subject, "— "+o.Step)
	}
	switch {
	case o.State == client.Asking && (was.State != o.State || was.Question != o.Question):
		s.line(at, subject, "asks: "+o.Question)
		s.line(at, subject, "answer with: talos-manager operation approve "+o.ID+" --answer …")
	case o.Final() && was.State != o.State:
		s.line(at, subject, o.State+" after "+short(o.FinishedAt.Sub(o.CreatedAt)))
	}
}

func (s *screen) line(at time.Time, subject, text string) {
	s.wipe()
	fmt.Fprintf(s.w, "%s  %-*s  %s\n", at.Local().Format(time.TimeOnly), s.width, subject, strings.ReplaceAll(strings.TrimRight(printable(text), "\n"), "\n", "\n          "))
}

func (s *screen) wipe() {
	if s.status != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.status = ""
	}
}

// redraw writes the changing line: how many are under way, and what the first of them does.
func (s *screen) redraw() {
	if !s.live {
		return
	}
	var parts []string
	for _, id := range s.order {
		if o := s.seen[id]; !o.Final() {
			parts = append(parts, strings.TrimSpace(o.Subject()+" "+doing(o)))
		}
	}
	if len(parts) == 0 {
		s.wipe()
		return
	}
	text := []rune(printable(fmt.Sprintf("%d of %d under way: %s", len(parts), len(s.order), strings.Join(parts, " · "))))
	if most := s.columns() - 1; len(text) > most {
		text = append(text[:most-1], '…')
	}
	if s.status != string(text) {
		s.wipe()
		s.status = string(text)
		fmt.Fprint(s.w, s.status)
	}
}

// doing says in a few words what an operation does now.
func doing(o client.Operation) string {
	switch {
	case o.State == client.Asking:
		return "asks a question"
	case percent(o) != "" && o.WaitingFor != "" && !o.Final(): // it says how fast it is, and how long it will take
		return percent(o) + ", waits for " + o.WaitingFor
	case percent(o) != "" && !o.Final():
		return o.Step + " " + percent(o)
	case o.WaitingFor != "" && (o.State == client.Waiting || o.State == client.Running):
		return "waits for " + o.WaitingFor
	case o.Step != "":
		return o.Step
	}
	return o.State
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}
