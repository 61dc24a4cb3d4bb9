package workflow

import (
	"maps"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// ApplyTo does to op what the change does to its record; log lines, values and the lease are no part of it. An
// implementation of Journal without SQL can use it, and must set UpdatedAt itself.
func (c Change) ApplyTo(op *fleet.Operation) {
	if c.State != "" {
		op.State = c.State
	}
	set(&op.Step, c.Step)
	set(&op.WaitingFor, c.WaitingFor)
	set(&op.WaitUntil, c.WaitUntil)
	set(&op.Question, c.Question)
	set(&op.Answer, c.Answer)
	set(&op.Error, c.Error)
	set(&op.Hint, c.Hint)
	set(&op.Done, c.Done)
	set(&op.Total, c.Total)
	set(&op.Unit, c.Unit)
	set(&op.FinishedAt, c.Finished)
	if len(c.Steps) > 0 {
		op.Steps = slices.Clone(op.Steps) // others may read the old list
	}
	for _, s := range c.Steps {
		upsertStep(&op.Steps, s)
	}
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

func upsertStep(steps *[]fleet.OperationStep, s fleet.OperationStep) {
	i := slices.IndexFunc(*steps, func(o fleet.OperationStep) bool { return o.Name == s.Name })
	if i < 0 {
		*steps = append(*steps, s)
		return
	}
	(*steps)[i] = s
}

// then is one change that does what c does and after it what d does.
func (c Change) then(d Change) Change {
	out := c
	if d.State != "" {
		out.State = d.State
	}
	later(&out.Step, d.Step)
	later(&out.WaitingFor, d.WaitingFor)
	later(&out.WaitUntil, d.WaitUntil)
	later(&out.Question, d.Question)
	later(&out.Answer, d.Answer)
	later(&out.Error, d.Error)
	later(&out.Hint, d.Hint)
	later(&out.Done, d.Done)
	later(&out.Total, d.Total)
	later(&out.Unit, d.Unit)
	later(&out.Finished, d.Finished)
	out.Release = c.Release || d.Release
	out.Log = slices.Concat(c.Log, d.Log)
	out.Steps = slices.Clone(c.Steps)
	for _, s := range d.Steps {
		upsertStep(&out.Steps, s)
	}
	if len(c.Values)+len(d.Values) > 0 {
		out.Values = map[string][]byte{}
		maps.Copy(out.Values, c.Values)
		maps.Copy(out.Values, d.Values)
	}
	return out
}

func later[T any](field **T, v *T) {
	if v != nil {
		*field = v
	}
}

// empty says that there is nothing to write.
func (c Change) empty() bool {
	return c.State == "" && len(c.Log) == 0 && len(c.Steps) == 0 && len(c.Values) == 0 && !c.Release &&
		c.Step == nil && c.WaitingFor == nil && c.WaitUntil == nil && c.Question == nil && c.Answer == nil &&
		c.Error == nil && c.Hint == nil && c.Done == nil && c.Total == nil && c.Unit == nil && c.Finished == nil
}
