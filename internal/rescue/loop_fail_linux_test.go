package rescue_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// foreign is the loader of an architecture that this machine is not, and what it is called.
func foreign() (own, other, name string) {
	if runtime.GOARCH == "arm64" {
		return loaderARM64, loaderX64, "amd64"
	}
	return loaderX64, loaderARM64, "arm64"
}

func TestAWriteThatCannotBeSaysWhyAndLeavesTheDiskAloneOrBlank(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	own, other, name := foreign()
	img := diskImage(t, dir, imageSize, imageData, own)
	zst := packed(t, dir, img, "zst")
	wrong := packed(t, dir, diskImage(t, dir, imageSize, imageData, other), "zst")
	flipped := bytes.Clone(zst)
	flipped[len(flipped)/2] ^= 1
	clock := expired(t)
	for i, tc := range []struct {
		why    string
		write  rescue.Write
		size   int64 // of the disk
		kind   fleet.Kind
		text   string
		intact bool
	}{
		{"no such image", rescue.Write{URL: src.URL + "/none.raw.zst"}, diskSize, fleet.Unavailable, "404: nothing was written", true},
		{"nobody serves it", rescue.Write{URL: fmt.Sprintf("http://127.0.0.1:%d/a.raw.zst", freePort(t)), Patience: time.Second}, diskSize, fleet.Unavailable, "onnect", true},
		{"no such server", rescue.Write{URL: "http://nowhere.invalid/a.raw.zst", Patience: time.Second}, diskSize, fleet.Unavailable, "resolve host", true},
		{"an error page", rescue.Write{URL: src.add("page.raw.zst", []byte("<html><body>sorry</body></html>"))}, diskSize, fleet.Unavailable, "is no zst file", true},
		{"an empty file", rescue.Write{URL: src.add("empty.raw", []byte{})}, diskSize, fleet.Unavailable, "nothing was written", true},
		{"an image larger than the disk", rescue.Write{URL: src.add("a.raw.zst", zst)}, 32 << 20, fleet.Refused, "has 33554432: nothing was written", true},
		{"a raw image larger than the disk", rescue.Write{URL: src.add("a.raw", img)}, 32 << 20, fleet.Refused, "has 33554432: nothing was written", true},
		{"an image larger than the disk, which it does not say before", rescue.Write{URL: src.add("a.raw.xz", packed(t, dir, img, "xz"))}, 32 << 20, fleet.Refused, "is larger than disk", false},
		{"an image for another architecture by its name", rescue.Write{URL: src.add("metal-"+name+".raw.zst", zst)}, diskSize, fleet.Refused, "is for " + name, true},
		{"an image for another architecture by what it boots", rescue.Write{URL: src.add("b.raw.zst", wrong)}, diskSize, fleet.Refused, "boots on " + name, false},
		{"another checksum than the expected one", rescue.Write{URL: src.URL + "/a.raw.zst", SHA256: strings.Repeat("0", 64)}, diskSize, fleet.Refused, "expected was 0000", true},
		{"a flipped bit", rescue.Write{URL: src.add("flipped.raw.zst", flipped)}, diskSize, fleet.Refused, "cannot be unpacked", false},
		{"half a file", rescue.Write{URL: src.add("half.raw.zst", zst[:len(zst)/2])}, diskSize, fleet.Refused, "cannot be unpacked", false},
		{"half a raw image is no image of that size", rescue.Write{URL: src.URL + "/none.raw"}, diskSize, fleet.Unavailable, "404", true},
		{"a clock that is far off", rescue.Write{URL: clock + "/a.raw.zst"}, diskSize, fleet.Refused, "the clock of this machine says", true},
	} {
		disk, file := loopDisk(t, dir, tc.size)
		before := sumOf(t, file)
		tc.write.Token, tc.write.Disk = fmt.Sprint("op", i), disk
		st, err := h.write(t, tc.write)
		if fleet.KindOf(err) != tc.kind || err == nil || !strings.Contains(err.Error(), tc.text) || fleet.HintOf(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %s %v; hint: %s\n%s", tc.why, fleet.KindOf(err), err, fleet.HintOf(err), st.Log)
		}
		if intact := sumOf(t, "/dev/"+disk.Name) == before; intact != tc.intact || st.Untouched() != tc.intact {
			t.Errorf("%s: the disk is as it was: %v; it ended as %+v", tc.why, intact, st)
		}
		if !tc.intact && !blank(t, "/dev/"+disk.Name, tc.size) {
			t.Errorf("%s: something half written could boot", tc.why)
		}
		if said := err != nil && (strings.Contains(err.Error(), "nothing was written") || strings.Contains(err.Error(), "nothing on it boots")); !said {
			t.Errorf("%s: what became of the disk is not said: %v", tc.why, err)
		}
	}
}

// blank says that both ends of a disk, where partition tables are, are empty.
func blank(t *testing.T, path string, size int64) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{0, size - 1<<20} {
		buf := make([]byte, 1<<20)
		if _, err := f.ReadAt(buf, at); err != nil {
			t.Fatal(err)
		}
		if len(bytes.Trim(buf, "\x00")) > 0 {
			return false
		}
	}
	return true
}

// expired is a server that lives years ago: for it, its certificate is valid.
func expired(t *testing.T) string {
	t.Helper()
	then := time.Now().AddDate(-4, 0, 0).UTC().Format(http.TimeFormat)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", then) }))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestALinkThatStaysAwayEndsTheWrite(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	own, _, _ := foreign()
	file := packed(t, dir, diskImage(t, dir, imageSize, imageData, own), "zst")
	src.add("a.raw.zst", file)
	k := newLink(t, src, 0, func(passed int64) fate {
		if passed <= int64(len(file)/2) {
			return flows
		}
		src.change(func(s *source) { s.gone = true })
		return breaks
	})
	disk, _ := loopDisk(t, dir, diskSize)
	w := rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst", Patience: 3 * time.Second}
	st, err := h.write(t, w)
	if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "nothing on it boots") || !blank(t, "/dev/"+disk.Name, diskSize) {
		t.Fatalf("it ended as %+v, %v", st, err)
	}
	src.change(func(s *source) { s.gone = false })
	w.Token, w.URL = "op1-1", src.URL+"/a.raw.zst" // as the operation does it
	if _, err := h.write(t, w); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsReplacedAfterItWasCheckedBootsNothing(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	own, _, _ := foreign()
	img := diskImage(t, dir, imageSize, imageData, own)
	file := packed(t, dir, img, "zst")
	img[30<<20]++
	second := packed(t, dir, img, "zst")
	src.add("a.raw.zst", file)
	k := newLink(t, src, 0, func(passed int64) fate {
		if passed > int64(len(file)/2) { // who fetches it now still gets the first
			src.change(func(s *source) { s.files["a.raw.zst"], s.version = second, 7 })
		}
		return flows
	})
	disk, _ := loopDisk(t, dir, diskSize)
	st, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst", SHA256: hexSum(file)})
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "has checksum "+hexSum(second)) || !strings.Contains(err.Error(), "nothing on it boots") || !blank(t, "/dev/"+disk.Name, diskSize) {
		t.Errorf("it ended as %+v, %v", st, err)
	}
}

// The device's file is on a file system that is full: the kernel reports an I/O error when it comes to write.
func TestADiskThatFailsSaysSo(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	own, _, _ := foreign()
	src.add("a.raw.zst", packed(t, dir, diskImage(t, dir, imageSize, imageData, own), "zst"))
	src.add("a.raw.gz", src.files["a.raw.zst"])
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v, %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", small).Run() })
	path := filepath.Join(small, "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, diskSize); err != nil {
		t.Fatal(err)
	}
	disk := attach(t, path, diskSize)
	st, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: src.URL + "/a.raw.zst"})
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "Input/output error") || !strings.Contains(err.Error(), "dev "+disk.Name+",") ||
		!strings.Contains(fleet.HintOf(err), "exchange it (serial number LOOP)") {
		t.Errorf("it ended as %v; hint: %s\n%s", err, fleet.HintOf(err), st.Log)
	}
}

func TestADiskThatVanishesIsSaid(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	own, _, _ := foreign()
	file := packed(t, dir, diskImage(t, dir, imageSize, imageData, own), "zst")
	src.add("a.raw.zst", file)
	real, _ := loopDisk(t, dir, diskSize)
	disk := real
	disk.Name = "talos-manager-test-" + real.Name // a node of our own, which can be taken away
	var number string
	if out, err := exec.Command("stat", "-c", "0x%t 0x%T", "/dev/"+real.Name).Output(); err == nil {
		number = strings.TrimSpace(string(out))
	}
	node := "/dev/" + disk.Name
	if out, err := exec.Command("bash", "-c", "mknod "+node+" b "+number).CombinedOutput(); err != nil {
		t.Fatalf("mknod: %v, %s", err, out)
	}
	t.Cleanup(func() { os.Remove(node) })
	k := newLink(t, src, 0, func(passed int64) fate {
		if passed > int64(len(file)/2) {
			os.Remove(node)
		}
		return flows
	})
	st, err := h.write(t, rescue.Write{Token: "op1", Disk: disk, URL: k.URL + "/a.raw.zst"})
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "disk "+node+" vanished") {
		t.Errorf("it ended as %v\n%s", err, st.Log)
	}
	if _, err := h.write(t, rescue.Write{Token: "op2", Disk: disk, URL: src.URL + "/a.raw.zst"}); !strings.Contains(fmt.Sprint(err), "there is no disk "+node+": nothing was written") {
		t.Errorf("the next one ended as %v", err)
	}
}

func TestNoMemoryForFilesIsSaid(t *testing.T) {
	h := newHost(t, nil)
	src, dir := newSource(t), t.TempDir()
	disk, file := loopDisk(t, dir, diskSize)
	before := sumOf(t, file)
	h.do(t, "dd if=/dev/zero of=/run/fill bs=4k status=none")
	w := rescue.Write{Token: "op1", Disk: disk, URL: src.URL + "/a.raw"}
	err := h.open(t).StartWrite(t.Context(), w)
	if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "no memory left for files") {
		t.Errorf("it ended as %v", err)
	}
	if sumOf(t, file) != before {
		t.Error("the disk was changed")
	}
}

func TestARealServerIsHeldToItsKeyAndToBeingARescueSystem(t *testing.T) {
	h := newHost(t, nil)
	o := h.options()
	o.Pins = []string{"SHA256:other"}
	if _, err := rescue.Open(t.Context(), o); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "host key") {
		t.Errorf("another key: %v", err)
	}
	if _, err := h.open(t).Facts(t.Context()); fleet.KindOf(err) != fleet.Refused || fleet.HintOf(err) == "" {
		t.Errorf("a machine with an installed system: %v", err)
	}
}
