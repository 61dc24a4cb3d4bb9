package rescue_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/rescue"
)

// Goals: against the pipeline that an operator would type, against decompression to nowhere, and of what a link carries.
const (
	goalFaster = 40.0
	goalBare   = 2.0
	goalLink   = 0.95
)

// BenchmarkImage writes an image as large as Talos' dual-boot one, of which little is data, in several ways side by side.
// The disk is a loop device in memory if there is room, so that it is the ways that are measured.
func BenchmarkImage(b *testing.B) {
	h := newHost(b, nil)
	dir, kind := fastDir(b)
	size := int64(4_450_000_000) / 4096 * 4096
	raw, file := benchImage(b, b.TempDir(), size)
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	src := newSource(b)
	url := src.add("metal-amd64.raw.zst", content)
	backing := filepath.Join(dir, "disk")
	if err := os.WriteFile(backing, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(backing, 6<<30); err != nil {
		b.Fatal(err)
	}
	disk := attach(b, backing, 6<<30)
	device := "/dev/" + disk.Name
	for b.Loop() {
		fmt.Fprintf(os.Stdout, "\nimage of %d MB, its file of %d MB, %d cores, loop device on %s; seconds\n", size/1e6, len(content)/1e6, runtime.NumCPU(), kind)
		var bare, dd, written, proven []time.Duration
		var st rescue.WriteStatus
		for round := range 3 {
			bare = append(bare, shell(b, "zstd -dqc "+file+" >/dev/null"))
			w, p, status := timedWrite(b, h, rescue.Write{Token: fmt.Sprint("fast", round), Disk: disk, URL: url})
			written, proven, st = append(written, w), append(proven, p), status
			same(b, raw, device, size)
			dd = append(dd, shell(b, fmt.Sprintf("blkdiscard %[1]s && curl -fsS %[2]s | zstd -dqc | dd of=%[1]s bs=4M iflag=fullblock conv=sparse,fsync status=none", device, url)))
		}
		original := shell(b, fmt.Sprintf("wget -q -O - %s | zstd -dq | dd of=%s status=none", url, device))
		const rate = 12_500_000 // 100 Mbit/s
		k := newLink(b, src, rate, nil)
		linked, linkedProven, _ := timedWrite(b, h, rescue.Write{Token: "link", Disk: disk, URL: k.URL + "/metal-amd64.raw.zst"})
		carried := time.Duration(float64(len(content)) / rate * float64(time.Second))
		row := func(what string, all ...time.Duration) {
			fmt.Fprintf(os.Stdout, "  %-36s %6.2f   %v\n", what, middle(all).Seconds(), all)
		}
		row("wget | zstd -d | dd", original)
		row("blkdiscard; zstd -dc | dd conv=sparse", dd...)
		row("bare decompression", bare...)
		row("ours, written and flushed", written...)
		row("ours, and every byte read back", proven...)
		row("ours over 100 Mbit/s, written", linked)
		row("ours over 100 Mbit/s, and read back", linkedProven)
		faster := func(d []time.Duration) float64 { return original.Seconds() / middle(d).Seconds() }
		ratio := func(d []time.Duration) float64 { return middle(d).Seconds() / middle(bare).Seconds() }
		share := carried.Seconds() / linked.Seconds()
		fmt.Fprintf(os.Stdout, "%.1fx faster than wget | zstd -d | dd (goal: %.0fx); %.1fx with every byte read back\n", faster(written), goalFaster, faster(proven))
		fmt.Fprintf(os.Stdout, "%.2f times bare decompression (goal: %.0f); %.2f times with every byte read back\n", ratio(written), goalBare, ratio(proven))
		fmt.Fprintf(os.Stdout, "%.3f of what a link of 100 Mbit/s carries (goal: %.2f)\n", share, goalLink)
		fmt.Fprintf(os.Stdout, "%d MB of %d MB had to be written\n", st.Written/1e6, size/1e6)
		b.ReportMetric(faster(written), fmt.Sprintf("x-faster(>=%.0f)", goalFaster))
		b.ReportMetric(ratio(written), fmt.Sprintf("x-bare(<=%.0f)", goalBare))
		b.ReportMetric(share, fmt.Sprintf("of-link(>=%.2f)", goalLink))
	}
}

// fastDir is in memory if the original's 4.45 GB have room there.
func fastDir(b *testing.B) (dir, kind string) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &fs); err == nil && fs.Bavail*uint64(fs.Bsize) > 8<<30 {
		if dir, err := os.MkdirTemp("/dev/shm", "bench"); err == nil {
			b.Cleanup(func() { os.RemoveAll(dir) })
			return dir, "tmpfs"
		}
	}
	return b.TempDir(), "a file of this machine's disk"
}

// benchImage is 220 MB of data that does not compress, at the beginnings of two large partitions as in Talos' images, and
// its compressed file.
func benchImage(b *testing.B, dir string, size int64) (raw, file string) {
	b.Helper()
	raw = filepath.Join(dir, "image")
	f, err := os.Create(raw)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		b.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 20<<20)
	for _, partition := range []int64{1 << 20, 2300 << 20} {
		for left, at := 110_000_000, partition; left > 0; {
			n := min(left, []int{20 << 10, 1 << 20, 3 << 20, 20 << 20}[random.Uint64()%4])
			_, _ = random.Read(buf[:n])
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				b.Fatal(err)
			}
			at += int64(n) + []int64{4 << 10, 1 << 20, 10 << 20}[random.Uint64()%3]
			left -= n
		}
	}
	file = raw + ".zst"
	if out, err := exec.Command("zstd", "-q", "-T0", "-1", raw, "-o", file).CombinedOutput(); err != nil {
		b.Fatalf("zstd: %v, %s", err, out)
	}
	return raw, file
}

func shell(b *testing.B, command string) time.Duration {
	b.Helper()
	began := time.Now()
	if out, err := exec.Command("bash", "-c", "set -eo pipefail; "+command).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v, %s", command, err, out)
	}
	return time.Since(began).Round(10 * time.Millisecond)
}

// same compares the disk with the image, which is no part of what is measured.
func same(b *testing.B, raw, device string, size int64) {
	b.Helper()
	shell(b, fmt.Sprintf("cmp -n %d %s %s", size, raw, device))
	shell(b, "blockdev --flushbufs "+device)
}

var logLine = regexp.MustCompile(`(?m)^(\d\d:\d\d:\d\d\.\d\d\d) (checking|verifying|written):`)

// timedWrite gives how long a write took until everything was on the disk, and until it was read back: by the
// machine's own log, since looking at it takes time, too.
func timedWrite(b *testing.B, h *host, w rescue.Write) (written, proven time.Duration, st rescue.WriteStatus) {
	b.Helper()
	s := h.open(b)
	if err := s.StartWrite(b.Context(), w); err != nil {
		b.Fatal(err)
	}
	for running := true; running; running = st.Running {
		<-time.After(500 * time.Millisecond)
		var err error
		if st, err = s.WriteStatus(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := st.Err(w); err != nil || !st.Sparse {
		b.Fatalf("it ended as %+v, %v", st, err)
	}
	at := map[string]time.Time{}
	for _, m := range logLine.FindAllStringSubmatch(st.Log, -1) {
		t, err := time.Parse("15:04:05.000", m[1])
		if err != nil {
			b.Fatal(err)
		}
		at[m[2]] = t
	}
	if len(at) != 3 {
		b.Fatalf("the log lacks a phase: %s", strings.TrimSpace(st.Log))
	}
	return at["verifying"].Sub(at["checking"]), at["written"].Sub(at["checking"]), st
}

func middle(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
