package bootconfig_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
)

const (
	stormMachines = 10_000
	stormRounds   = 3 // the figures are those of the median one
)

// A boot storm: as many machines as a large fleet has ask for their config at once, each with a code and a UUID of its
// own, over a few connections that are kept alive or over many. The program is the whole one, on a real listener; the
// plain server beside it answers the same bytes from memory, to the same client, which takes its part of the
// processors too. Every commit is on disk before its config goes out, on Postgres too.
func BenchmarkStorm(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchmarkStorm(b, map[string]string{"data-dir": b.TempDir()})
	})
	b.Run("postgres", func(b *testing.B) {
		d := storetest.PostgresOn(b, storetest.OwnServer(b, "fsync=on", "synchronous_commit=on", "full_page_writes=on"))
		benchmarkStorm(b, map[string]string{"data-dir": b.TempDir(), "database-url": d.Options.DatabaseURL})
	})
}

func benchmarkStorm(b *testing.B, settings map[string]string) {
	f := newFleet(b, settings, stormMachines)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			cold(b, f)
		}
		b.ReportMetric(0, "ns/op")
	})
	for _, conns := range []int{256, 1024} {
		b.Run(fmt.Sprintf("warm-%d-connections", conns), func(b *testing.B) {
			for b.Loop() {
				warm(b, f, conns)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cold: the program has just started, and not one config was rendered yet.
func cold(b *testing.B, f *booting) {
	a := f.start(b)
	f.arm(b)
	address := serve(b, func(ctx context.Context, l net.Listener) error {
		return httpd.Serve(ctx, l, httpd.Options{Handler: a.Handler, Log: quiet}) // Run would begin to render at once
	})
	got := f.ask(b, address, 256, nil)
	f.checkServed(b)
	report(b, "", got)
	b.ReportMetric(resident(b), "MB-resident")
}

// warm: every config was rendered before its machine came. The two servers are measured in turns.
func warm(b *testing.B, f *booting, conns int) {
	a := f.start(b)
	address := serve(b, a.Run)
	plain := serve(b, func(ctx context.Context, l net.Listener) error {
		server := &http.Server{Handler: http.HandlerFunc(f.answerPlain)}
		context.AfterFunc(ctx, func() { server.Close() })
		_ = server.Serve(l)
		return nil
	})
	var ours, theirs []figures
	for range stormRounds {
		f.arm(b)
		f.waitUntilReady(b, a)
		configs := f.render(b, a)
		runtime.GC()
		theirs = append(theirs, f.ask(b, plain, conns, configs))
		runtime.GC()
		ours = append(ours, f.ask(b, address, conns, configs))
		f.checkServed(b)
	}
	f.checkRefused(b, address)
	us, them := median(ours), median(theirs)
	report(b, "", us)
	report(b, "plain-", them)
	b.ReportMetric(us.perSecond/them.perSecond, "of-plain(>0.5)")
	b.ReportMetric(resident(b), "MB-resident")
}

// answerPlain is what a program could do at best that does nothing but answer.
func (f *booting) answerPlain(w http.ResponseWriter, r *http.Request) {
	config := f.plain[r.URL.RawQuery]
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.Itoa(len(config)))
	_, _ = w.Write(config) // the client says what is missing
}

// figures of one storm.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
}

func median(all []figures) figures {
	slices.SortFunc(all, func(a, b figures) int { return int(a.perSecond - b.perSecond) })
	return all[len(all)/2]
}

func report(b *testing.B, whose string, f figures) {
	b.ReportMetric(f.perSecond, whose+"req/s")
	b.ReportMetric(float64(f.p50.Microseconds())/1000, whose+"ms-p50")
	b.ReportMetric(float64(f.p99.Microseconds())/1000, whose+"ms-p99")
}

// serve runs a server on a port of its own until the benchmark ends.
func serve(b *testing.B, run func(context.Context, net.Listener) error) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}
