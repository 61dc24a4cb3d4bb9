package rescue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	adv "github.com/siderolabs/go-adv/adv/talos"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

const (
	imageSize = 40<<20 + 512*3
	imageData = 6 << 20
	diskSize  = 56 << 20
)

// amd64 boots on the machines that run these tests; see also loaders.
const loaderX64, loaderARM64 = "BOOTX64 EFI", "BOOTAA64EFI"

// holds fails unless a file or device begins with the image.
func holds(t testing.TB, path string, img []byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for off := 0; off < len(img); off += len(buf) {
		want := img[off:min(off+len(buf), len(img))]
		if _, err := io.ReadFull(f, buf[:len(want)]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf[:len(want)], want) {
			at := 0
			for buf[at] == want[at] {
				at++
			}
			t.Fatalf("%s differs from the image at byte %d", path, off+at)
		}
	}
}

func sumOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestEveryByteOfAnImageArrivesAndNoOtherDiskChanges(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, imageData, loaderX64)
	_, neighbour := loopDisk(t, dir, 8<<20)
	before := sumOf(t, neighbour)
	for i, tc := range []struct {
		form, suffix string
		cut          int64 // bytes that the image is shorter by, so that it ends in the middle of a sector
		most         int64 // bytes that may be written
	}{
		{"zst", ".raw.zst", 0, imageData + 1<<20},
		{"zst", ".raw.zst", 600, imageData + 1<<20},
		{"zst without a checksum", ".raw.zst", 0, imageSize * 2 / 3},
		{"zst of unknown size", ".raw.zst", 0, imageSize * 2 / 3},
		{"zst in two frames", ".raw.zst", 0, 2 * imageSize}, // the first is taken for all of it, and the proof fails
		{"xz", ".raw.xz", 0, imageSize * 2 / 3},
		{"gz", ".raw.gz", 0, imageSize * 2 / 3},
		{"raw", ".raw", 0, imageSize * 2 / 3},
		{"raw", ".raw", 600, imageSize * 2 / 3},
	} {
		want := img[:int64(len(img))-tc.cut]
		file := packed(t, dir, want, tc.form)
		disk, _ := loopDisk(t, dir, diskSize)
		w := rescue.Write{Token: fmt.Sprint("op", i), Disk: disk, URL: src.add("metal-amd64"+tc.suffix, file), SHA256: hexSum(file)}
		st, err := h.write(t, w)
		if err != nil {
			t.Fatalf("%s: %v\n%s", tc.form, err, st.Log)
		}
		holds(t, "/dev/"+disk.Name, want)
		if st.Written > tc.most || st.Written < imageData || st.Size != int64(len(want)) || st.Done != int64(len(file)) || st.Total != st.Done || st.SHA256 != w.SHA256 {
			t.Errorf("%s: it ended as %+v", tc.form, st)
		}
	}
	if sumOf(t, neighbour) != before {
		t.Error("another disk changed")
	}
}

// Whoever trusts that a range reads as zero because the disk was told so leaves old data in the image.
func TestWhatADiskKeepsIsOverwritten(t *testing.T) {
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, imageData, loaderX64)
	for _, tc := range []struct {
		why, fallocate, said string
		form                 string
	}{
		{"the disk says that it forgot, and did not", "exit 0", "once more, with every zero", "zst"},
		{"the disk says that it forgot, and did not", "exit 0", "once more, with every zero", "xz"},
		{"the disk says that it cannot forget", `[ "$1" != --punch-hole ] || exit 1`, "written", "zst"},
	} {
		h := newHost(t, map[string]string{"fallocate": tc.fallocate})
		disk, _ := loopDisk(t, dir, diskSize)
		st, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: src.add("a.raw."+tc.form, packed(t, dir, img, tc.form))})
		if err != nil {
			t.Fatal(err)
		}
		holds(t, "/dev/"+disk.Name, img)
		if st.Sparse || st.Written < int64(len(img)) || !strings.Contains(st.Log, tc.said) {
			t.Errorf("%s: it ended as %+v", tc.why, st)
		}
	}
}

// The link is cut, and the manager killed, ten times each in the middle of a write.
func TestNeitherACutLinkNorADeadManagerSpoilsAWrite(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, imageData, loaderX64)
	file := packed(t, dir, img, "zst")
	src.add("metal-amd64.raw.zst", file)
	next, cuts := int64(len(file)/25), 0
	k := newLink(t, src, 2<<20, func(passed int64) fate {
		if cuts < 10 && passed >= next {
			cuts++
			next = int64(len(file)) / 25 * int64(1+(cuts*7)%5) / 3
			return breaks
		}
		return flows
	})
	disk, _ := loopDisk(t, dir, diskSize)
	w := rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/metal-amd64.raw.zst", SHA256: hexSum(file)}
	var last int64
	for killed := 0; killed < 10; killed++ { // each manager starts the write, looks at it until it moved, and dies
		s := h.open(t)
		if err := s.StartWrite(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		until(t, "the write to move", func(ctx context.Context) (bool, error) {
			st, err := s.WriteStatus(ctx)
			moved := st.Done > last || st.Phase == "verifying" || !st.Running
			last = st.Done
			return moved, err
		})
		s.Close()
	}
	st, err := h.finish(t, w)
	if err != nil {
		t.Fatalf("%v\n%s", err, st.Log)
	}
	holds(t, "/dev/"+disk.Name, img)
	if k.broke() != 10 || st.Restarts != 0 || strings.Count(st.Log, "the link broke at byte") < 9 {
		t.Errorf("the link was cut %d times; it ended as %+v", k.broke(), st)
	}
}

func TestALinkThatIsSilentIsGivenUp(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, 4<<20, loaderX64)
	file := packed(t, dir, img, "gz")
	src.add("a.raw.gz", file)
	silent := false
	k := newLink(t, src, 0, func(passed int64) fate {
		if !silent && passed > int64(len(file)/2) {
			silent = true
			return stalls
		}
		return flows
	})
	disk, _ := loopDisk(t, dir, diskSize)
	st, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.gz"})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "/dev/"+disk.Name, img)
	if !strings.Contains(st.Log, "too slow") || st.Restarts != 0 {
		t.Errorf("it ended as %+v", st)
	}
}

func TestAFileThatCannotBeGoneOnWithIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	img := diskImage(t, dir, imageSize, 4<<20, loaderX64)
	other := bytes.Clone(img)
	copy(other[38<<20:], "another image of the same length")
	file, second := packed(t, dir, img, "zst"), packed(t, dir, other, "zst")
	for _, tc := range []struct {
		why  string
		then func(*source)
		want []byte
	}{
		{"the server gives no parts of files", func(s *source) { s.noRanges = true }, img},
		{"the file is another one when the link is back", func(s *source) { s.files["a.raw.zst"], s.version = second, 7 }, other},
	} {
		h, src := newHost(t, nil), newSource(t)
		src.add("a.raw.zst", file)
		cut := false
		k := newLink(t, src, 0, func(passed int64) fate {
			if !cut && passed > int64(len(file)/2) {
				cut = true
				src.change(tc.then)
				return breaks
			}
			return flows
		})
		disk, _ := loopDisk(t, dir, diskSize)
		w := rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst"}
		st, err := h.write(t, w)
		if err != nil {
			t.Fatalf("%s: %v\n%s", tc.why, err, st.Log)
		}
		holds(t, "/dev/"+disk.Name, tc.want)
		if st.Restarts != 1 {
			t.Errorf("%s: it ended as %+v", tc.why, st)
		}
	}
}

func TestAWriterThatIsKilledIsSaidToBeAndTheNextOneBeginsAnew(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, 6<<20, loaderX64)
	src.add("a.raw.zst", packed(t, dir, img, "zst"))
	k := newLink(t, src, 1<<20, nil) // slower than we are, on the busiest machine
	disk, _ := loopDisk(t, dir, diskSize)
	w := rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst"}
	s := h.open(t)
	if err := s.StartWrite(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	other := rescue.Write{Token: "op2", Disk: disk, URL: src.URL + "/a.raw.zst"}
	if err := s.StartWrite(t.Context(), other); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second writer: %v", err)
	}
	until(t, "the write to be under way", func(ctx context.Context) (bool, error) {
		st, err := s.WriteStatus(ctx)
		return st.Phase == "writing", err
	})
	kill(t, "bash\x00/run/talos-manager/write-image.sh\x00op1\x00/dev/"+disk.Name+"\x00")
	st, err := h.finish(t, w)
	if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "was killed while writing") {
		t.Fatalf("it ended as %+v, %v", st, err)
	}
	if _, err := h.write(t, other); err != nil {
		t.Fatal(err)
	}
	holds(t, "/dev/"+disk.Name, img)
}

// kill ends the processes of a command line that begins so.
func kill(t *testing.T, command string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, path := range found {
		text, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && strings.HasPrefix(string(text), command) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("there is nobody to kill")
	}
}

// META is read by the library that Talos reads it with, and what that library wrote is read by us.
func TestMetaIsTalos(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, 4<<20, loaderX64)
	disk, _ := loopDisk(t, dir, diskSize)
	if _, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: src.add("a.raw", img)}); err != nil {
		t.Fatal(err)
	}
	const at = 1<<20 + 16<<20 // where diskImage has META
	s := h.open(t)
	if _, err := s.WriteMeta(t.Context(), disk, rescue.Meta{rescue.MetaDownloadURLCode: "one-time"}); err != nil {
		t.Fatal(err)
	}
	dev, err := os.OpenFile("/dev/"+disk.Name, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	theirs, err := adv.NewADV(io.NewSectionReader(dev, at, adv.Size))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := theirs.ReadTag(rescue.MetaDownloadURLCode); got != "one-time" {
		t.Errorf("Talos would read %q", got)
	}
	theirs.SetTag(rescue.MetaUUIDOverride, "4c4c4544-0042-3510-8050-b4c04f384833")
	raw, err := theirs.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.WriteAt(raw, at); err != nil {
		t.Fatal(err)
	}
	ours, err := s.ReadMeta(t.Context(), disk)
	if err != nil || ours[rescue.MetaUUIDOverride] != "4c4c4544-0042-3510-8050-b4c04f384833" || ours[rescue.MetaDownloadURLCode] != "one-time" {
		t.Errorf("we read %v, %v", ours, err)
	}
	rest := bytes.Clone(img)
	copy(rest[at:], raw)
	holds(t, "/dev/"+disk.Name, rest)
}

func TestProgressIsSeenWhileItGoesOn(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	img := diskImage(t, dir, imageSize, 10<<20, loaderX64)
	file := packed(t, dir, img, "zst")
	src.add("a.raw.zst", file)
	k := newLink(t, src, 2<<20, nil)
	disk, _ := loopDisk(t, dir, diskSize)
	s := h.open(t)
	if err := s.StartWrite(t.Context(), rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst"}); err != nil {
		t.Fatal(err)
	}
	until(t, "a rate and a time to be told", func(ctx context.Context) (bool, error) {
		st, err := s.WriteStatus(ctx)
		if !st.Running && st.Exit >= 0 {
			return false, fmt.Errorf("it ended as %+v", st)
		}
		return st.Phase == "writing" && st.Done > 0 && st.Total == int64(len(file)) && st.Rate() > 0 && st.Left() > 0 && st.Left() < time.Minute, err
	})
}
