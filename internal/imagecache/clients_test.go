package imagecache

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// The rescue systems have curl and wget: what they do with a part they have must work with us, whole or still coming.
func TestCurlAndWgetGoOnWithWhatTheyHave(t *testing.T) {
	for _, tool := range [][]string{
		{"curl", "-fsS", "-C", "-", "-O"},
		{"wget", "-q", "--continue"},
	} {
		for _, still := range []bool{false, true} {
			name := tool[0]
			if still {
				name += ", while it is fetched"
			}
			t.Run(name, func(t *testing.T) {
				need(t, tool[0])
				o := newOrigin(t, 2_000_000)
				c := start(t, t.TempDir())
				address := c.Cache.URL(o.image(), "")
				if still {
					o.gate = make(chan struct{})
					begun(t, address)
				} else {
					c.has(t, o.image(), "", o.body)
				}
				here := t.TempDir()
				file := filepath.Join(here, "metal-amd64.raw.zst")
				if err := os.WriteFile(file, o.body[:700_000], 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(tool[0], append(tool[1:], address)...)
				cmd.Dir = here
				var said strings.Builder
				cmd.Stderr = &said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if still {
					close(o.gate)
				}
				if err := cmd.Wait(); err != nil {
					t.Fatalf("%v: %s", err, said.String())
				}
				got, err := os.ReadFile(file)
				if err != nil || !bytes.Equal(got, o.body) {
					t.Errorf("%v, %d bytes", err, len(got))
				}
			})
		}
	}
}

func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		skip.UnlessCI(t, "%v: install %s", err, tool)
	}
}

// begun has somebody read the first bytes, so that the rest is still to come.
func begun(t *testing.T, address string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
}

func TestCurlSeesACutConnection(t *testing.T) {
	need(t, "curl")
	o := newOrigin(t, 2_000_000)
	o.breaks = []int{900_000, 0, 0, 0, 0, 0, 0}
	c := start(t, t.TempDir())
	out, err := exec.Command("curl", "-fsS", "-o", filepath.Join(t.TempDir(), "f"), c.Cache.URL(o.image(), "")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "(18)") { // transfer closed with bytes remaining
		t.Errorf("%v: %s", err, out)
	}
}
