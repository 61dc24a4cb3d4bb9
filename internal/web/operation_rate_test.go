package web

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// writing is an operation that stands at a step, some time after that began, with so many bytes done.
func writing(after time.Duration, done int64, change ...func(*fleet.Operation)) fleet.Operation {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	op := fleet.Operation{
		ID: "op", State: fleet.Waiting, Step: "write the image", Done: done, Total: 1000e6, Unit: "bytes", UpdatedAt: begun.Add(after),
		Steps: []fleet.OperationStep{{Name: "write the image", State: fleet.Waiting, Attempts: 1, StartedAt: begun}},
	}
	for _, c := range change {
		c(&op)
	}
	return op
}

func TestARateIsThatOfTheLastHalfMinute(t *testing.T) {
	t.Parallel()
	at := func(seconds int, done int64) fleet.Operation {
		return writing(time.Duration(seconds)*time.Second, done)
	}
	tried := func(op *fleet.Operation) { op.Steps[0].Attempts = 2 }
	for _, c := range []struct {
		why   string
		looks []fleet.Operation
		want  string // after the last look
	}{
		{"nothing is done yet", []fleet.Operation{at(5, 0)}, ""},
		{"the first look counts from the start of the step", []fleet.Operation{at(10, 100e6)}, "10 MB/s, about 1 min 30 s left"},
		{"a step that has only begun says nothing", []fleet.Operation{writing(500*time.Millisecond, 100e6)}, ""},
		{"what an earlier attempt took says nothing of this one", []fleet.Operation{writing(10*time.Second, 100e6, tried)}, ""},
		{"two looks make a rate, whatever was before", []fleet.Operation{writing(10*time.Second, 100e6, tried), writing(20*time.Second, 300e6, tried)}, "20 MB/s, about 35 s left"},
		{"two looks within a second do not", []fleet.Operation{writing(10*time.Second, 100e6, tried), writing(10500*time.Millisecond, 300e6, tried)}, ""},
		{"two who look at one record see the same", []fleet.Operation{at(10, 100e6), at(20, 300e6), at(20, 300e6)}, "20 MB/s, about 35 s left"},
		{
			"what was more than half a minute ago is forgotten",
			[]fleet.Operation{at(10, 10e6), at(20, 20e6), at(60, 60e6), at(70, 260e6), at(90, 660e6)},
			"20 MB/s, about 20 s left",
		},
		{"a record without news keeps the rate that was measured", []fleet.Operation{at(10, 100e6), at(20, 300e6), at(80, 300e6)}, "20 MB/s, about 35 s left"},
		{"a step that begins anew has no rate of before", []fleet.Operation{at(10, 500e6), at(20, 700e6), writing(21*time.Second, 1e6, tried)}, ""},
		{"another step has no rate of this one", []fleet.Operation{at(10, 500e6), at(20, 700e6), writing(21*time.Second, 800e6, func(op *fleet.Operation) { op.Step = "verify" })}, ""},
		{"another total is another work", []fleet.Operation{at(10, 500e6), at(20, 700e6), writing(21*time.Second, 800e6, tried, func(op *fleet.Operation) { op.Total = 2000e6 })}, ""},
		{"nobody knows how much is to be done", []fleet.Operation{writing(10*time.Second, 100e6, func(op *fleet.Operation) { op.Total = 0 })}, "10 MB/s"},
		{"all is done", []fleet.Operation{at(10, 500e6), at(20, 1000e6)}, "50 MB/s"},
		{"another unit", []fleet.Operation{writing(10*time.Second, 40, func(op *fleet.Operation) { op.Unit, op.Total = "nodes", 80 })}, "4 nodes/s, a few seconds left"},
		{"it is over", []fleet.Operation{at(10, 500e6), writing(20*time.Second, 900e6, func(op *fleet.Operation) { op.State = fleet.Failed })}, ""},
	} {
		var rs rates
		var got string
		for _, op := range c.looks {
			got = rs.of(op).text(op)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// The moment that is said with a rate is the one of the record that it was measured by.
func TestARateSaysWhenItWasMeasured(t *testing.T) {
	t.Parallel()
	var rs rates
	first, last := writing(10*time.Second, 100e6), writing(20*time.Second, 300e6)
	rs.of(first)
	rs.of(last)
	quiet := writing(50*time.Second, 300e6)
	if got := rs.of(quiet); !got.at.Equal(last.UpdatedAt) || got.perSecond != 20e6 {
		t.Errorf("%.0f/s as of %s, want as of %s", got.perSecond, got.at, last.UpdatedAt)
	}
}

func TestRatesAreForgotten(t *testing.T) {
	t.Parallel()
	var rs rates
	named := func(i int, after time.Duration) fleet.Operation {
		return writing(after, 100e6, func(op *fleet.Operation) { op.ID = fmt.Sprint("op", i) })
	}
	for i := range ratesKept {
		rs.of(named(i, 10*time.Second))
	}
	rs.of(named(ratesKept, 10*time.Second+rateForgets)) // not long enough ago
	if n := len(rs.all); n != ratesKept+1 {
		t.Errorf("%d are kept, want all %d", n, ratesKept+1)
	}
	rs.of(named(ratesKept+1, 20*time.Second+rateForgets))
	if n := len(rs.all); n != 2 {
		t.Errorf("%d are kept, want the 2 that were looked at lately", n)
	}
	rs.of(writing(time.Hour, 200e6, func(op *fleet.Operation) { op.ID, op.State = fmt.Sprint("op", ratesKept), fleet.Succeeded }))
	if n := len(rs.all); n != 1 {
		t.Errorf("%d are kept after the end of one, want 1", n)
	}
}

func TestManyLookAtOnce(t *testing.T) {
	t.Parallel()
	var rs rates
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				rs.of(writing(time.Duration(i+1)*time.Second, int64(i+1)*10e6))
			}
		})
	}
	wg.Wait()
	last := writing(60*time.Second, 600e6)
	if got := rs.of(last); got.perSecond < 1e6 || got.perSecond > 20e6 {
		t.Errorf("%.0f/s", got.perSecond)
	}
}

func TestTimesThatNobodyKnowsAreRough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "a few seconds"},
		{10 * time.Second, "a few seconds"},
		{10*time.Second + 1, "about 15 s"},
		{55 * time.Second, "about 55 s"},
		{56 * time.Second, "about 1 min"},
		{61 * time.Second, "about 1 min 30 s"},
		{5 * time.Minute, "about 5 min"},
		{5*time.Minute + time.Second, "about 6 min"},
		{59*time.Minute + time.Second, "about 1 h 0 min"},
		{99 * time.Hour, "about 99 h 0 min"},
		{99*time.Hour + time.Second, "more than 99 h"},
	} {
		if got := roughly(c.d); got != c.want {
			t.Errorf("%s: %q, want %q", c.d, got, c.want)
		}
	}
}
