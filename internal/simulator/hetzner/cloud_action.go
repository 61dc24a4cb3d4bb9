package hetzner

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// action is asynchronous work: running for its time, then success or error.
type action struct {
	ID       int64
	Command  string
	started  time.Time // by the clock of the API
	begun    time.Time // by the clock on the wall
	took     time.Duration
	finished time.Time
	failed   string // code of its error
	targets  []target
}

// target is what an action works on.
type target struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
}

type actionView struct {
	ID        int64    `json:"id"`
	Command   string   `json:"command"`
	Status    string   `json:"status"`
	Progress  int      `json:"progress"`
	Started   stamp    `json:"started"`
	Finished  *stamp   `json:"finished"`
	Resources []target `json:"resources"`
	Error     any      `json:"error"`
}

func (a *action) status() string {
	switch {
	case a.finished.IsZero():
		return "running"
	case a.failed != "":
		return "error"
	}
	return "success"
}

func (a *action) view() actionView {
	v := actionView{ID: a.ID, Command: a.Command, Status: a.status(), Progress: 100, Started: stamp(a.started), Resources: a.targets}
	if a.finished.IsZero() {
		v.Progress = int(min(99, 100*time.Since(a.begun)/max(a.took, 1)))
		return v
	}
	v.Finished = new(stamp(a.finished))
	if a.failed != "" {
		v.Error = map[string]string{"code": a.failed, "message": "Action failed"}
	}
	return v
}

func (a *action) item() item {
	return item{
		id: a.ID, created: a.started, view: func() any { return a.view() },
		fields: map[string]string{"id": strconv.FormatInt(a.ID, 10), "status": a.status(), "command": a.Command},
	}
}

// begin starts an action that takes its time in the world, then does its effect without the lock, then done with
// it. An action that is to fail does neither.
func (cl *Cloud) begin(c *cloudCall, command string, took time.Duration, targets []target, effect, done func()) *action {
	a := &action{ID: cl.id(), Command: command, started: c.now, begun: time.Now(), took: cl.world.Real(took), targets: targets}
	if cl.trouble.ActionFails > 0 {
		cl.trouble.ActionFails--
		a.failed = cl.trouble.ActionCode
		if a.failed == "" {
			a.failed = "unknown_error"
		}
		effect = func() {}
	}
	c.actions = append(c.actions, a)
	cl.world.Go(func(ctx context.Context) {
		if !cl.world.Sleep(ctx, took) {
			return
		}
		effect()
		cl.mu.Lock()
		defer cl.mu.Unlock()
		a.finished = cl.o.Now()
		done()
	})
	return a
}

// created answers 201 with an action, and what else the endpoint gives.
func created(a *action, more map[string]any) answer {
	body := map[string]any{"action": a.view()}
	for k, v := range more {
		body[k] = v
	}
	return answer{status: http.StatusCreated, body: body}
}

// listActions gives the actions asked for by id; all of them cannot be listed since 2025-01-30.
func (cl *Cloud) listActions(c *cloudCall) answer {
	if !c.query.Has("id") {
		return wrongField("id", "is required")
	}
	return list(c, "actions", c.actionItems(func(*action) bool { return true }))
}

func (p *project) actionItems(which func(*action) bool) []item {
	var all []item
	for _, a := range p.actions {
		if which(a) {
			all = append(all, a.item())
		}
	}
	return all
}

// listKindActions is GET /servers/actions and its like.
func (cl *Cloud) listKindActions(kind string) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		return list(c, "actions", c.actionItems(func(a *action) bool {
			return slices.ContainsFunc(a.targets, func(t target) bool { return t.Type == kind })
		}))
	}
}

func (cl *Cloud) listServerActions(c *cloudCall, v *virtual) answer {
	return list(c, "actions", c.actionItems(func(a *action) bool { return slices.Contains(a.targets, target{v.Number, "server"}) }))
}

// getAction takes the id from the last variable of the path.
func (cl *Cloud) getAction(c *cloudCall) answer {
	id := number(c.args[len(c.args)-1])
	for _, a := range c.actions {
		if a.ID == id {
			return ok(map[string]any{"action": a.view()})
		}
	}
	return notFound("action")
}
