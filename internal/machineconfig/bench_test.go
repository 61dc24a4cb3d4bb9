//go:build unix

package machineconfig

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/encoder"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	goalOfBare = 0.7 // of what the library does without us
	rounds     = 9
)

// BenchmarkRender prints, side by side, what the library needs to generate and encode a config with nothing else (its
// secrets parsed beforehand), what we need for the config of a server never seen before (variables, patches, strict
// validation included), and for one that was rendered before. Every core renders.
func BenchmarkRender(b *testing.B) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\tbare/s\tcold/s\tof bare\tcached/s\tbare p50\tp99\tcold p50\tp99\tcached p50\tp99\tkept/config\tof heap\t1000 cold\t\n")
	for b.Loop() {
		for _, v := range versions {
			for _, role := range []fleet.Role{fleet.Worker, fleet.ControlPlane} {
				compare(b, w, v.talos, v.kubernetes, role)
			}
		}
	}
	w.Flush()
	fmt.Fprintf(os.Stdout, "\nper second and core, on %d cores; goal: cold at least %.1f of bare; bytes as the cache counts them, and as the heap grows\n%s\n", runtime.GOMAXPROCS(0), goalOfBare, table.String())
}

func compare(b *testing.B, w *tabwriter.Writer, talos, kubernetes string, role fleet.Role) {
	in := readme(b, talos, kubernetes, role)
	cold, kept := NewCache(0), NewCache(1<<30)
	if _, err := Render(in); err != nil {
		b.Fatal(err)
	}
	var server atomic.Int64
	bare := bareOf(b, &in)
	renders := []func(){
		bare,
		func() { mustRender(b, cold, numbered(in, server.Add(1))) },
		func() { mustRender(b, kept, numbered(in, server.Add(1)%1000)) },
	}
	before := heap()
	for i := range int64(1000) {
		mustRender(b, kept, numbered(in, i))
	}
	resident := heap() - before
	var rates [3][]float64
	var times [3][]time.Duration
	var shares []float64
	for range rounds { // in turn, so that what else the machine does hits all alike
		for i, render := range renders {
			rate, took := measure(render, 60*time.Millisecond)
			rates[i], times[i] = append(rates[i], rate), append(times[i], took...)
		}
		shares = append(shares, rates[1][len(shares)]/rates[0][len(shares)])
	}
	rate := func(i int) float64 { return median(rates[i]) }
	share := median(shares)
	stats := kept.Stats()
	fmt.Fprintf(w, "%s %s\t%.0f\t%.0f\t%.2f\t%.0f\t", talos, role, rate(0), rate(1), share, rate(2))
	for i := range times {
		fmt.Fprintf(w, "%v\t%v\t", percentile(times[i], 50), percentile(times[i], 99))
	}
	fmt.Fprintf(w, "%d\t%d\t%.0fms\t\n", stats.Bytes/int64(stats.Entries), resident/int64(stats.Entries), 1000*1000/rate(1)/float64(runtime.GOMAXPROCS(0)))
	b.ReportMetric(share, fmt.Sprintf("of-bare-%s-%s(>%.1f)", talos, role, goalOfBare))
}

func mustRender(b *testing.B, c *Cache, in Input) {
	if _, err := c.Render(in); err != nil {
		b.Error(err)
	}
}

func bareOf(b *testing.B, in *Input) func() {
	contract, err := contractOf(in.TalosVersion)
	if err != nil {
		b.Fatal(err)
	}
	bundle, err := loadBundle(in.Secrets)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		p, err := in.generate(bundle, contract)
		if err != nil {
			b.Error(err)
			return
		}
		if _, err := p.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled)); err != nil {
			b.Error(err)
		}
	}
}

// measure has every core do the same for a while: how often in a second of a core's time, so that what else the
// machine does counts little, and how long each took.
func measure(do func(), d time.Duration) (rate float64, took []time.Duration) {
	all := make([][]time.Duration, runtime.GOMAXPROCS(0))
	runtime.GC()
	used, begun := cpu(), time.Now()
	var wait sync.WaitGroup
	for c := range all {
		wait.Go(func() {
			for time.Since(begun) < d {
				at := time.Now()
				do()
				all[c] = append(all[c], time.Since(at))
			}
		})
	}
	wait.Wait()
	took = slices.Concat(all...)
	return float64(len(took)) / (cpu() - used).Seconds(), took
}

// cpu is the processor time this program has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// heap is how many bytes are alive.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func median(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }

func percentile(took []time.Duration, p int) time.Duration {
	slices.Sort(took)
	return took[len(took)*p/100].Round(time.Microsecond)
}
