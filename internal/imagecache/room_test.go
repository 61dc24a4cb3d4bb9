package imagecache

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/skip"
)

func TestTheLongestUnusedMakesWay(t *testing.T) {
	o := newOrigin(t, 1_000_000)
	dir := t.TempDir()
	c := start(t, dir, func(c *Cache) { c.MaxBytes = 3_500_000 })
	source := func(n string) string { return o.URL + "/" + n + ".raw.zst" }
	for _, n := range []string{"a", "b", "c", "a", "d"} {
		c.has(t, source(n), "", o.body)
	}
	if _, n := files(t, dir); n > 3_500_000 {
		t.Errorf("%d bytes are kept", n)
	}
	before := len(o.gets())
	c.has(t, source("a"), "", o.body)
	if len(o.gets()) != before {
		t.Error("what was just used has gone")
	}
	c.has(t, source("b"), "", o.body)
	if len(o.gets()) != before+1 {
		t.Error("what was unused for longest is still there")
	}
	wants(t, prepare(t, c, o, 4_000_000), fleet.Exhausted, "4.0 MB", "3.5 MB")
}

func prepare(t *testing.T, c *running, o *origin, size int) error {
	t.Helper()
	o.set(func() { o.body = content(size, 9) })
	return c.Prepare(t.Context(), o.URL+"/large.raw.zst", "")
}

func TestWhatIsReadStays(t *testing.T) {
	o := newOrigin(t, 30_000_000)
	dir := t.TempDir()
	c := start(t, dir, func(c *Cache) { c.MaxBytes = 40_000_000 })
	resp, err := http.Get(c.Cache.URL(o.image(), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	until(t, "the image to be whole", func() bool { whole, _ := filepath.Glob(dir + "/*.image"); return len(whole) == 1 })
	wants(t, prepare(t, c, o, 20_000_000), fleet.Exhausted, "in use")
	if n, err := io.Copy(io.Discard, resp.Body); n != 30_000_000 || err != nil {
		t.Errorf("its reader got %d bytes: %v", n, err)
	}
	until(t, "the image to be free", func() bool { return c.Prepare(t.Context(), o.URL+"/large.raw.zst", "") == nil })
}

func TestNoSpaceIsSaidBeforeAnythingIsFetched(t *testing.T) {
	o := newOrigin(t, 1_000_000)
	dir := t.TempDir()
	left := int64(reserve + 1_500_000)
	c := start(t, dir, func(c *Cache) {
		c.free = func(string) (int64, bool) { _, used := files(t, dir); return left - used, true }
	})
	c.has(t, o.image(), "", o.body)
	c.has(t, o.URL+"/other.raw", "", o.body) // the first one makes way
	left = reserve
	err := c.Prepare(t.Context(), o.URL+"/third.raw", "")
	wants(t, err, fleet.Exhausted, "no space left in "+dir, "third.raw", "1.0 MB")
	resp, body, err := c.get(o.URL+"/third.raw", "")
	if err != nil || resp.StatusCode != http.StatusInsufficientStorage || !strings.Contains(string(body), "no space left") {
		t.Errorf("%v %s %s", err, resp.Status, body)
	}
}

// A disk that fills up in the middle: others may write to it, too.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		skip.UnlessCI(t, "mounting a small disk: %v: run as root", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := newOrigin(t, 1_200_000)
	c := start(t, dir, func(c *Cache) { c.free = func(string) (int64, bool) { return 0, false } })
	c.has(t, o.image(), "", o.body)
	c.has(t, o.URL+"/other.raw", "", o.body) // the first one makes way in the middle of writing
	if err := os.WriteFile(filepath.Join(dir, "somebody-elses"), make([]byte, 600_000), 0o600); err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.body = content(1_900_000, 3) })
	resp, body, err := c.get(o.URL+"/third.raw", "")
	if err == nil && resp.StatusCode == http.StatusOK {
		t.Fatalf("%d bytes as a whole image", len(body))
	}
	until(t, "the sentence", func() bool {
		err := c.Prepare(t.Context(), o.URL+"/third.raw", "")
		return fleet.KindOf(err) == fleet.Exhausted && strings.Contains(err.Error(), "no space left in "+dir)
	})
	if err := os.Remove(filepath.Join(dir, "somebody-elses")); err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.body = content(1_200_000, 3); o.etag = `"three"` })
	c.has(t, o.URL+"/fourth.raw", "", o.body)
}

func TestAFolderThatCannotBeUsedIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, file)
	wants(t, c.Prepare(t.Context(), "http://example.org/a.raw", ""), fleet.Invalid, "no images can be kept", file)
}

func TestOnlyFilesOfOursAreRemovedAtAStart(t *testing.T) {
	dir := t.TempDir()
	key := wanted{source: "x"}.key()
	for _, n := range []string{"letter.json", "photo-1.part", "photo-2.image", key + "-abcdefgh.part", key + "-abcdefgh.json.new"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, dir)
	if names, _ := files(t, dir); strings.Join(names, " ") != "letter.json photo-1.part photo-2.image" {
		t.Error(names)
	}
}
