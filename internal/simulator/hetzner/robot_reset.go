package hetzner

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// resetView: type lists the choices, or names the one that was done.
type resetView struct {
	serverRef
	Type any `json:"type"`
}

type resetStateView struct {
	resetView
	OperatingStatus string `json:"operating_status"`
}

// resets are the two families of boards.
func (r *Robot) resets(s *dedicated) []string {
	if r.o.SoftwareReset(s.Machine) {
		return []string{"sw", "hw", "man"}
	}
	return []string{"power", "power_long", "hw", "man"}
}

func (r *Robot) operating(s *dedicated) string {
	switch {
	case r.o.SoftwareReset(s.Machine):
		return "not supported"
	case s.On():
		return "running"
	}
	return "shut off"
}

func (r *Robot) listResets(c *robotCall) answer {
	var all []any
	for _, s := range r.all(c) {
		all = append(all, wrap("reset", resetView{s.ref(), r.resets(s)}))
	}
	return r.list("/reset", all)
}

func (r *Robot) getReset(_ *robotCall, s *dedicated) answer {
	return ok(wrap("reset", resetStateView{resetView{s.ref(), r.resets(s)}, r.operating(s)}))
}

// reset answers at once, with the state from before; the board follows.
func (r *Robot) reset(c *robotCall, s *dedicated) answer {
	how := c.form.get("type")
	switch {
	case how == "":
		return invalid([]string{"type"}, nil)
	case !slices.Contains(r.resets(s), how):
		return invalid(nil, []string{"type"})
	case c.now.Before(s.manual):
		return fail(http.StatusConflict, "RESET_MANUAL_ACTIVE", "a manual reset is already active")
	}
	effects := map[string]func(){"hw": s.Reset, "power": s.Button, "power_long": s.PowerCut, "sw": s.CtrlAltDel}
	a := ok(wrap("reset", resetStateView{resetView{s.ref(), how}, r.operating(s)}))
	if how == "man" {
		s.manual = c.now.Add(time.Hour)
		return a
	}
	a.after = r.soon(effects[how])
	return a
}

// soon does something a second after the answer.
func (r *Robot) soon(effect func()) func() {
	return func() {
		r.world.Go(func(ctx context.Context) {
			if r.world.Sleep(ctx, time.Second) {
				effect()
			}
		})
	}
}

func (r *Robot) getWake(_ *robotCall, s *dedicated) answer { return ok(wrap("wol", s.ref())) }

func (r *Robot) wake(c *robotCall, s *dedicated) answer {
	a := r.getWake(c, s)
	a.after = r.soon(s.PowerOn)
	return a
}
