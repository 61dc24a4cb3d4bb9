package web

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	rateWindow  = 30 * time.Second // a rate is the mean of so long: calm, and soon right again
	rateLeast   = time.Second      // what is nearer together says nothing
	ratesKept   = 500              // operations; more are not written to at once
	rateForgets = 10 * time.Minute
)

// rates remembers how far operations were when somebody looked, to say how fast they go. The records hold only how far
// they are.
type rates struct {
	mu  sync.Mutex
	all map[string]*rateCourse
}

// rateCourse is how a step came on. It begins anew with every step, and when the step does.
type rateCourse struct {
	step, unit string
	total      int64
	points     []ratePoint
}

type ratePoint struct {
	at   time.Time // the record's: two who look at one record see the same
	done int64
}

// rate is how fast a step goes, as of a moment; 0: nobody knows.
type rate struct {
	perSecond float64
	at        time.Time
}

// of notes where an operation stands and gives its rate.
func (rs *rates) of(op fleet.Operation) rate {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if op.State.Final() || op.Done <= 0 {
		delete(rs.all, op.ID)
		return rate{}
	}
	if rs.all == nil {
		rs.all = map[string]*rateCourse{}
	}
	c := rs.all[op.ID]
	if c == nil || c.step != op.Step || c.unit != op.Unit || c.total != op.Total || c.last().done > op.Done {
		rs.forget(op.UpdatedAt)
		c = &rateCourse{step: op.Step, unit: op.Unit, total: op.Total}
		rs.all[op.ID] = c
	}
	if c.last().done != op.Done {
		c.add(ratePoint{op.UpdatedAt, op.Done})
	}
	return c.rate(op.Standing())
}

// forget drops what nobody looked at for long, once there is much.
func (rs *rates) forget(now time.Time) {
	if len(rs.all) < ratesKept {
		return
	}
	for id, c := range rs.all {
		if now.Sub(c.last().at) > rateForgets {
			delete(rs.all, id)
		}
	}
}

func (c *rateCourse) last() ratePoint {
	if len(c.points) == 0 {
		return ratePoint{}
	}
	return c.points[len(c.points)-1]
}

func (c *rateCourse) add(p ratePoint) {
	c.points = append(c.points, p)
	for len(c.points) > 2 && p.at.Sub(c.points[1].at) >= rateWindow {
		c.points = c.points[1:]
	}
}

// rate is the mean between two looks; as long as there was only one, since the step began, if it was tried once.
func (c *rateCourse) rate(step fleet.OperationStep) rate {
	first, last := c.points[0], c.last()
	if passed := last.at.Sub(first.at); passed >= rateLeast {
		return rate{float64(last.done-first.done) / passed.Seconds(), last.at}
	}
	if passed := last.at.Sub(step.StartedAt); step.Attempts <= 1 && !step.StartedAt.IsZero() && passed >= rateLeast {
		return rate{float64(last.done) / passed.Seconds(), last.at}
	}
	return rate{at: last.at}
}

// text says the rate and the time that is left.
func (r rate) text(op fleet.Operation) string {
	if r.perSecond <= 0 {
		return ""
	}
	text := fmt.Sprintf("%.0f %s/s", r.perSecond, op.Unit)
	if op.Unit == "bytes" {
		text = diskSize(int64(r.perSecond)) + "/s"
	}
	if op.Total > op.Done {
		text += ", " + roughly(time.Duration(float64(op.Total-op.Done)/r.perSecond*float64(time.Second))) + " left"
	}
	return text
}

// roughly is a time nobody can know exactly; rounded up, and the rougher the longer it is.
func roughly(d time.Duration) string {
	up := func(to time.Duration) time.Duration { return time.Duration(math.Ceil(float64(d)/float64(to))) * to }
	switch {
	case d > 99*time.Hour:
		return "more than 99 h"
	case d <= 10*time.Second:
		return "a few seconds"
	case d <= 55*time.Second:
		return fmt.Sprintf("about %d s", int(up(5*time.Second).Seconds()))
	case d <= 5*time.Minute:
		d = up(30 * time.Second)
	default:
		d = up(time.Minute)
	}
	switch h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60; {
	case h > 0:
		return fmt.Sprintf("about %d h %d min", h, m)
	case s > 0:
		return fmt.Sprintf("about %d min %d s", m, s)
	default:
		return fmt.Sprintf("about %d min", m)
	}
}
