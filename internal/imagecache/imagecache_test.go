package imagecache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func sumOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func TestAHundredMachinesAreOneDownload(t *testing.T) {
	o := newOrigin(t, 3_000_000)
	c := start(t, t.TempDir())
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			resp, body, err := c.get(o.image(), "")
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, o.body) {
				t.Errorf("%v, %d bytes", err, len(body))
			}
		})
	}
	all.Wait()
	if n := len(o.gets()); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
}

func TestAnImageIsServedWhileItIsStillFetched(t *testing.T) {
	o := newOrigin(t, 1_000_000)
	o.gate = make(chan struct{})
	c := start(t, t.TempDir())
	resp, err := http.Get(c.Cache.URL(o.image(), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ContentLength != 1_000_000 || resp.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("length %d, headers %v", resp.ContentLength, resp.Header)
	}
	first := make([]byte, 50_000) // while the source waits for us
	if _, err := io.ReadFull(resp.Body, first); err != nil || !bytes.Equal(first, o.body[:50_000]) {
		t.Fatal("it is not served before it is there:", err)
	}
	tail := make(chan []byte, 1)
	go func() {
		_, body, _ := c.get(o.image(), "", "Range", "bytes=999000-")
		tail <- body
	}()
	close(o.gate)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(rest, o.body[50_000:]) {
		t.Errorf("the rest: %d bytes, %v", len(rest), err)
	}
	if got := <-tail; !bytes.Equal(got, o.body[999_000:]) {
		t.Errorf("a range of what had not come yet: %d bytes", len(got))
	}
}

func TestACutLinkIsResumed(t *testing.T) {
	for _, tc := range []struct {
		why      string
		noRanges bool
		etag     string
		modified time.Time
		breaks   []int
	}{
		{"at several places", false, `"one"`, time.Time{}, []int{400_000, 1, 0, 700_000, 99_999}},
		{"at a source that knows the time only", false, "", time.Unix(1e9, 0), []int{400_000}},
		{"at a source that knows no ranges", true, `"one"`, time.Time{}, []int{400_000, 600_000}},
		{"at a source that has neither", false, "", time.Time{}, []int{400_000, 1_400_000}},
		{"before the first byte", false, `"one"`, time.Time{}, []int{0, 0}},
		{"before the last byte", false, `"one"`, time.Time{}, []int{1_999_999}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			o := newOrigin(t, 2_000_000)
			o.noRanges, o.breaks, o.etag, o.modified = tc.noRanges, tc.breaks, tc.etag, tc.modified
			c := start(t, t.TempDir())
			c.has(t, o.image(), "", o.body)
			all := o.gets()
			if len(all) != len(tc.breaks)+1 {
				t.Errorf("%d requests", len(all))
			}
			if last := all[len(all)-1]; !tc.noRanges && tc.etag != "" && tc.breaks[0] > 0 && (last.Header.Get("Range") == "" || last.Header.Get("If-Range") == "") {
				t.Errorf("the last one was for %q of %q", last.Header.Get("Range"), last.Header.Get("If-Range"))
			}
		})
	}
}

func TestTwoFilesOfOneAddressAreNeverMixed(t *testing.T) {
	o := newOrigin(t, 2_000_000)
	o.breaks = []int{800_000}
	first, second := o.body, content(2_000_000, 2)
	c := start(t, t.TempDir(), func(c *Cache) { c.times.backoff = 50 * time.Millisecond })
	resp, err := http.Get(c.Cache.URL(o.image(), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begun := make([]byte, 100_000)
	if _, err := io.ReadFull(resp.Body, begun); err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.body, o.etag = second, `"two"` })
	rest, err := io.ReadAll(resp.Body)
	if err == nil || !bytes.HasPrefix(first, append(begun, rest...)) {
		t.Fatalf("a reader of the first file got %d more bytes and %v", len(rest), err)
	}
	again, body, err := c.get(o.image(), "", "Range", "bytes=100000-", "If-Range", resp.Header.Get("ETag"))
	if err != nil || again.StatusCode != http.StatusOK || !bytes.Equal(body, second) {
		t.Errorf("going on with the first one: %v, %s, %d bytes", err, again.Status, len(body))
	}
}

func TestWhatASourceSaysWronglyReachesNobodyAsAWhole(t *testing.T) {
	body := content(300_000, 1)
	answer := func(head string, n int) func(io.Writer) {
		return func(w io.Writer) { fmt.Fprintf(w, "HTTP/1.1 200 OK\r\n%s\r\n%s", head, body[:n]) }
	}
	for _, tc := range []struct {
		why, sum string
		raw      func(io.Writer)
		kind     fleet.Kind // "" if it is right
		words    string
	}{
		{"less than it says", "", answer("Content-Length: 400000\r\n", 300_000), fleet.Unavailable, "unexpected EOF"},
		{"nothing", "", answer("Content-Length: 0\r\n", 0), fleet.Refused, "is empty"},
		{"no length", "", answer("Connection: close\r\n", 300_000), fleet.Invalid, "does not say how long it is"},
		{"no length, but a checksum", sumOf(body), answer("Connection: close\r\n", 300_000), "", ""},
		{"no length, cut short, and a checksum", sumOf(body), answer("Connection: close\r\n", 200_000), fleet.Refused, "has checksum " + sumOf(body[:200_000])},
		{"another length, shorter than the file", sumOf(body), answer("Content-Length: 200000\r\n", 300_000), fleet.Refused, "expected was " + sumOf(body)},
		{"another file than the checksum's", sumOf([]byte("x")), answer("Content-Length: 300000\r\n", 300_000), fleet.Refused, "has checksum " + sumOf(body)},
		{"not HTTP", "", func(w io.Writer) { w.Write(body[:100]) }, fleet.Unavailable, "malformed HTTP"},
		{"no such file", "", func(w io.Writer) { io.WriteString(w, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") }, fleet.NotFound, "404 Not Found"},
		{"a login", "", func(w io.Writer) { io.WriteString(w, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") }, fleet.Forbidden, "403"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, 1)
			o.raw = tc.raw
			dir := t.TempDir()
			c := start(t, dir, func(c *Cache) {
				c.times.forget = time.Minute
				c.Client.Transport = &http.Transport{DisableKeepAlives: true} // or it logs what comes after an answer
			})
			resp, got, err := c.get(o.image(), tc.sum)
			if tc.kind == "" {
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%v, %d bytes", err, len(got))
				}
				return
			}
			if err == nil && resp.StatusCode == http.StatusOK {
				t.Errorf("a machine got %d bytes as a whole image", len(got))
			}
			img := newImage(dir, "") // what was told is told again
			c.mu.Lock()
			if kept := c.images[wanted{o.image(), tc.sum}.key()]; kept != nil {
				img = kept
			}
			c.mu.Unlock()
			if tc.kind != fleet.Refused {
				img.mu.Lock()
				why := img.err
				img.mu.Unlock()
				wants(t, why, tc.kind, tc.words)
			} else if text := string(got); err == nil && !strings.Contains(text, tc.words) {
				t.Errorf("%q, want %q in it", text, tc.words)
			}
			if names, _ := files(t, dir); tc.kind == fleet.Refused && len(names) > 0 {
				t.Errorf("what is wrong is kept: %v", names)
			}
		})
	}
}

// What a wrong checksum is told with: Prepare may have begun before, so an install learns it from the machine's error,
// or when it asks again.
func TestAWrongChecksumIsSaid(t *testing.T) {
	o := newOrigin(t, 1000)
	c := start(t, t.TempDir())
	until(t, "the checksum to be seen", func() bool {
		err := c.Prepare(t.Context(), o.image(), strings.Repeat("0", 64))
		return fleet.KindOf(err) == fleet.Refused && strings.Contains(err.Error(), "has checksum "+sumOf(o.body))
	})
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	o := newOrigin(t, 2_000_000)
	o.gate = make(chan struct{}, 100)
	for range 10 {
		o.gate <- struct{}{}
	}
	dir := t.TempDir()
	c := start(t, dir, func(c *Cache) { c.times.tries = 1 })
	resp, err := http.Get(c.Cache.URL(o.image(), ""))
	if err != nil {
		t.Fatal(err)
	}
	had := make([]byte, 500_000)
	if _, err := io.ReadFull(resp.Body, had); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	img := c.images[wanted{o.image(), ""}.key()]
	c.mu.Unlock()
	img.mu.Lock()
	f := img.facts // as a sync after this time would have noted
	img.mu.Unlock()
	f.Synced = 500_000
	c.stop()
	resp.Body.Close()
	if err := img.keep(f); err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.gate = nil })
	before := len(o.gets())
	c = start(t, dir)
	again, body, err := c.get(o.image(), "", "Range", "bytes=500000-", "If-Range", resp.Header.Get("ETag"))
	if err != nil || again.StatusCode != http.StatusPartialContent || !bytes.Equal(append(had, body...), o.body) {
		t.Fatalf("the machine could not go on: %v, %s, %d bytes", err, again.Status, len(body))
	}
	all := o.gets()[before:]
	if len(all) != 1 || all[0].Header.Get("Range") != "bytes=500000-" {
		t.Errorf("the source was asked %d times, for %q", len(all), all[0].Header.Get("Range"))
	}
	c.stop()
	o.set(func() { o.down = true })
	c = start(t, dir)
	c.has(t, o.image(), "", o.body)
}

func TestAHalfFileOfAnotherFileIsThrownAway(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(o *origin)
	}{
		{"another ETag", func(o *origin) { o.etag = `"two"` }},
		{"another ETag, and no ranges", func(o *origin) { o.etag, o.noRanges = `"two"`, true }},
		{"no ETag any more, and another length", func(o *origin) { o.etag, o.body = "", content(1_500_000, 2) }},
		{"shorter than the half", func(o *origin) { o.etag, o.body = `"two"`, content(300_000, 2) }},
	} {
		t.Run(tc.why, func(t *testing.T) {
			o := newOrigin(t, 2_000_000)
			dir := t.TempDir()
			half(t, dir, o, 600_000)
			tc.change(o)
			if o.body[0] == content(1, 1)[0] {
				o.body = content(len(o.body), 3)
			}
			c := start(t, dir)
			c.has(t, o.image(), "", o.body)
		})
	}
}

// half leaves a part of an image as a killed program does.
func half(t *testing.T, dir string, o *origin, n int) {
	t.Helper()
	img := newImage(dir, wanted{o.image(), ""}.key())
	if err := os.WriteFile(img.part(), o.body[:n], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := img.keep(facts{Mark: "m", Size: int64(len(o.body)), ETag: o.etag, Synced: int64(n)}); err != nil {
		t.Fatal(err)
	}
}

func TestAPowerFailureLeavesNoWrongBytes(t *testing.T) {
	o := newOrigin(t, 2_000_000)
	dir := t.TempDir()
	half(t, dir, o, 600_000)
	parts, err := filepath.Glob(filepath.Join(dir, "*.part"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	f, err := os.OpenFile(parts[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(make([]byte, 900_000)) // the length came to the disk, what was written did not
	f.Close()
	c := start(t, dir)
	c.has(t, o.image(), sumless, o.body)
	c.stop()

	whole, err := filepath.Glob(filepath.Join(dir, "*.image"))
	if err != nil || len(whole) != 1 {
		t.Fatal(whole, err)
	}
	f, err = os.OpenFile(whole[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("something else"), 1_000_000)
	f.Close()
	c = start(t, dir)
	c.has(t, o.image(), sumless, o.body)
}

const sumless = ""

func TestASourceThatIsDownStopsNobodyWhoseImageIsThere(t *testing.T) {
	o := newOrigin(t, 100_000)
	c := start(t, t.TempDir())
	c.has(t, o.image(), "", o.body)
	o.set(func() { o.down = true })
	c.has(t, o.image(), "", o.body)
	if err := c.Prepare(t.Context(), o.image(), ""); err != nil {
		t.Error(err)
	}
	wants(t, c.Prepare(t.Context(), o.URL+"/other.raw", ""), fleet.Unavailable, "503", "/other.raw")
	resp, body, err := c.get(o.URL+"/other.raw", "")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v %s %s", err, resp.Status, body)
	}
	o.set(func() { o.down = false })
	c.has(t, o.URL+"/other.raw", "", o.body)
}

func TestAReplacedFileIsSeenBeforeTheNextInstall(t *testing.T) {
	o := newOrigin(t, 100_000)
	c := start(t, t.TempDir())
	c.has(t, o.image(), "", o.body)
	first, _, err := c.get(o.image(), "")
	if err != nil {
		t.Fatal(err)
	}
	o.set(func() { o.body, o.etag = content(100_000, 2), `"two"` })
	resp, body, err := c.get(o.image(), "", "Range", "bytes=50-99", "If-Range", first.Header.Get("ETag"))
	if err != nil || resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, content(100_000, 1)[50:100]) {
		t.Errorf("who has begun the first one cannot go on: %v %s", err, resp.Status)
	}
	if err := c.Prepare(t.Context(), o.image(), ""); err != nil {
		t.Fatal(err)
	}
	c.has(t, o.image(), "", o.body)
	if len(o.gets()) != 2 {
		t.Errorf("%d downloads", len(o.gets()))
	}
}

func TestAddressesHoldTheirSource(t *testing.T) {
	c := New(Options{Dir: t.TempDir(), URL: "https://manager.example.com", Key: []byte("key"), Log: slog.New(slog.DiscardHandler)})
	for _, tc := range []struct{ source, sum, end string }{
		{"https://factory.talos.dev/image/37ab/v1.14.1/metal-amd64.raw.zst", "", "/https/factory.talos.dev/image/37ab/v1.14.1/metal-amd64.raw.zst"},
		{"http://10.0.0.1:8080/a.raw", sumOf(nil), "/" + sumOf(nil) + "/http/10.0.0.1:8080/a.raw"},
		{"https://me:pass@example.org/a.raw.xz?key=1", "", "/a.raw.xz"},
		{"https://example.org/a//../b%20c.raw.gz", sumOf(nil), "/b_c.raw.gz"},
		{"https://[2001:db8::1]/a.raw", "", "/a.raw"},
		{"https://example.org", "", "/image"},
	} {
		address := c.URL(tc.source, tc.sum)
		var got wanted
		mux := http.NewServeMux()
		mux.HandleFunc(Route, func(_ http.ResponseWriter, r *http.Request) {
			got, _ = c.read(r.PathValue("signature"), r.PathValue("source"))
		})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
		if w.Code != http.StatusOK || got.source != tc.source || got.sum != tc.sum || !strings.HasSuffix(address, tc.end) || strings.Contains(address, "pass") {
			t.Errorf("%s: %s became %+v (%d)", tc.source, address, got, w.Code)
		}
	}
}

func TestOnlyAddressesOfOursAreServed(t *testing.T) {
	o := newOrigin(t, 1000)
	c := start(t, t.TempDir())
	good := c.Cache.URL(o.image(), "")
	if !strings.HasSuffix(good, "/metal-amd64.raw.zst") || good != c.Cache.URL(o.image(), "") {
		t.Errorf("%s", good)
	}
	other := New(Options{Dir: t.TempDir(), URL: c.Options.URL, Key: []byte("another"), Log: c.Log})
	signature := strings.Split(good, "/")[4]
	for why, address := range map[string]string{
		"another key":       other.URL(o.image(), ""),
		"another signature": strings.Replace(good, signature, strings.Repeat("0", 32), 1),
		"another source":    strings.Replace(good, "metal-amd64", "secret", 1),
		"another checksum":  strings.Replace(good, "/http/", "/"+sumOf(nil)+"/http/", 1),
		"no signature":      strings.Replace(good, signature+"/", "", 1),
	} {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", why, resp.Status)
		}
	}
	if len(o.gets()) > 0 {
		t.Error("something was fetched for them")
	}
	if resp, err := http.Head(good); err != nil || resp.ContentLength != 1000 {
		t.Errorf("%v, length %d", err, resp.ContentLength)
	}
	if resp, err := http.Post(good, "text/plain", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%v, %s", err, resp.Status)
	}
}

func TestNobodyIsToldAPasswordOfASource(t *testing.T) {
	w := wanted{source: "https://me:pass@example.org/a.raw.zst?sig=key"}
	if w.String() != "https://example.org/a.raw.zst" {
		t.Error(w.String())
	}
	c := start(t, t.TempDir())
	if shown := fleet.ShownURL(c.Cache.URL(w.source, "")); !strings.HasSuffix(shown, "/base64/.../a.raw.zst") {
		t.Errorf("our address for it is shown as %s", shown)
	}
	err := c.Prepare(t.Context(), "http://me:pass@127.0.0.1:1/a.raw.zst?sig=key", "")
	wants(t, err, fleet.Unavailable, "http://127.0.0.1:1/a.raw.zst")
	if text := err.Error(); strings.Contains(text, "pass") || strings.Contains(text, "key") {
		t.Error(text)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	g := guard{sources: map[string]int{}}
	for range maxPerHost {
		if !g.enter("a") {
			t.Fatal("refused too early")
		}
	}
	if g.enter("a") {
		t.Error("one address takes all")
	}
	n := maxPerHost
	for ; g.enter(fmt.Sprint(n)); n++ {
	}
	if n != maxReaders {
		t.Errorf("%d at once", n)
	}
	g.leave("a")
	if !g.enter("a") {
		t.Error("nothing comes free")
	}
	c := New(Options{Dir: t.TempDir(), Key: []byte("key"), Log: start(t, t.TempDir()).Log})
	c.guard.all = maxReaders
	mux := http.NewServeMux()
	mux.Handle(Route, c)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.URL("http://example.org/a.raw", ""), nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
