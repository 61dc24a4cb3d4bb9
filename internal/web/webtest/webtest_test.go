package webtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// told notes what a tab reports.
type told struct {
	testing.TB
	errors []string
}

func (t *told) Helper() {}

func (t *told) Errorf(format string, args ...any) {
	t.errors = append(t.errors, fmt.Sprintf(format, args...))
}

func (b *Tab) complained() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.faults) > 0
}

// What the other tests rely on: a page that complains, asks another server or cannot be read fails its test.
func TestAPageWithFaultsFails(t *testing.T) {
	pages := map[string]string{
		"/good":    `<h1>Good</h1><p>Nothing to say.</p><button>Go on</button>`,
		"/console": `<h1>Loud</h1><script>console.error("something broke")</script>`,
		"/throws":  `<h1>Throws</h1><script>throw new Error("not caught")</script>`,
		"/foreign": `<h1>Foreign</h1><img alt="" src="http://127.0.0.1:1/picture.png">`,
		"/unread":  `<h1>Unread</h1><img src="/good"><input name="nameless"><p><a href="/good"></a></p>`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><head><title>t</title></head><body><main>%s</main></body></html>`, pages[r.URL.Path])
	}))
	defer server.Close()
	for path, want := range map[string][]string{
		"/good": nil, "/console": {"something broke"}, "/throws": {"not caught"}, "/foreign": {"http://127.0.0.1:1/picture.png"},
		"/unread": {"image-alt", "label", "link-name"},
	} {
		t.Run(strings.TrimPrefix(path, "/"), func(t *testing.T) {
			n := &told{TB: t}
			b := Open(t, server.URL, Options{})
			b.Go(path)
			b.t = n
			b.Axe()
			for deadline := time.Now().Add(5 * time.Second); path != "/good" && path != "/unread" && !b.complained() && time.Now().Before(deadline); {
				<-time.After(10 * time.Millisecond) // they come a moment after the page
			}
			b.Quiet()
			for _, w := range want {
				if !slices.ContainsFunc(n.errors, func(e string) bool { return strings.Contains(e, w) }) {
					t.Errorf("%s is not told of: %q", w, n.errors)
				}
			}
			if want == nil && len(n.errors) > 0 {
				t.Errorf("a good page is complained of: %q", n.errors)
			}
		})
	}
}
