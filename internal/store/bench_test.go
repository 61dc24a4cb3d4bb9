package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/store/storetest"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// each runs a benchmark on both databases.
func each(b *testing.B, run func(b *testing.B, s *store.Store)) {
	b.Run("sqlite", func(b *testing.B) { run(b, storetest.SQLite(b).Open(b)) })
	b.Run("postgres", func(b *testing.B) { run(b, storetest.Postgres(b).Open(b)) })
}

func BenchmarkListThousandServers(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		thousand(b, s)
		for _, without := range []bool{false, true} {
			b.Run(fmt.Sprintf("facts=%v", !without), func(b *testing.B) {
				for b.Loop() {
					if n := len(must(s.Servers(b.Context(), store.ServerFilter{WithoutFacts: without}))(b)); n != 1000 {
						b.Fatal(n)
					}
				}
			})
		}
	})
}

func BenchmarkSyncThousandServers(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		var wanted []string
		for i := range 1000 {
			wanted = append(wanted, fmt.Sprintf("server-%04d", i))
		}
		fresh := 0
		b.Run("new", func(b *testing.B) {
			for b.Loop() {
				fresh++
				mustSync(b, s, mustAccount(b, s, fmt.Sprint("new-", fresh)).ID, wanted...)
			}
		})
		a := mustAccount(b, s, "same")
		mustSync(b, s, a.ID, wanted...)
		b.Run("unchanged", func(b *testing.B) {
			for b.Loop() {
				mustSync(b, s, a.ID, wanted...)
			}
		})
	})
}

// BenchmarkWriteOperations is what the journal does while 200 installs run: one write each of progress and three
// log lines. An op is one write.
func BenchmarkWriteOperations(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		const installs = 200
		var claims []workflow.Claim
		for i := range installs {
			op := mustCreate(b, s, operation(fmt.Sprint("s", i), "", "server.install"))
			claims = append(claims, mustClaim(b, s, op.ID, "r", time.Now()))
		}
		change := workflow.Change{Done: ptr(int64(1)), Log: []fleet.LogLine{{Text: "one"}, {Text: "two"}, {Text: "three"}}}
		b.ResetTimer()
		var all sync.WaitGroup
		for i, c := range claims {
			all.Go(func() {
				for range b.N/installs + min(1, max(0, b.N%installs-i)) {
					if err := s.WriteOperation(b.Context(), c.Operation.ID, c.Revision, change); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

// BenchmarkFindBySerial looks among 5,000 servers, each with the long texts of a machine, for one by the number of a disk.
func BenchmarkFindBySerial(b *testing.B) {
	each(b, func(b *testing.B, s *store.Store) {
		var wanted []string
		for i := range 5000 {
			wanted = append(wanted, fmt.Sprintf("server-%04d", i))
		}
		long := strings.Repeat("System Information\n", 400)
		for i, v := range mustSync(b, s, mustAccount(b, s, "a").ID, wanted...).Added {
			disks := []fleet.Disk{{Name: "nvme0n1", Serial: fmt.Sprintf("S4%06dA", i)}, {Name: "nvme1n1", Serial: fmt.Sprintf("S4%06dB", i)}}
			must(0, s.SetFacts(b.Context(), v.ID, fleet.Facts{At: noon, UUID: "u", Serial: fmt.Sprintf("B%06d", i), Dmidecode: long, Disks: disks}))(b)
		}
		for why, serial := range map[string]string{"one": "s4004321b", "none": "s4nothing", "many": "S4"} {
			b.Run(why, func(b *testing.B) {
				n := 0
				for b.Loop() {
					n = len(must(s.ServersBySerial(b.Context(), serial, 8))(b))
				}
				if want := map[string]int{"one": 1, "none": 0, "many": 8}[why]; n != want {
					b.Fatalf("%d servers are found, want %d", n, want)
				}
			})
		}
	})
}
