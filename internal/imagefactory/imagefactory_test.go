package imagefactory

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func start(t *testing.T, o factory.Options) (*Client, *factory.Factory) {
	t.Helper()
	w := world.New(world.Options{Speed: 1000})
	t.Cleanup(w.Close)
	f := factory.New(w, o)
	l, err := w.Net.Listen("factory.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: f}
	w.Go(func(context.Context) { srv.Serve(l) })
	t.Cleanup(func() { srv.Close() })
	c, err := New("http://factory.sim", &http.Client{Transport: &http.Transport{DialContext: w.Net.DialContext}})
	if err != nil {
		t.Fatal(err)
	}
	return c, f
}

func official(t *testing.T) *Client {
	t.Helper()
	c, err := New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASchematicIsCreatedAndReadBack(t *testing.T) {
	c, _ := start(t, factory.Options{})
	for _, c2 := range []struct{ why, yaml, id string }{
		{"nothing is the vanilla schematic", "", Vanilla},
		{"comments are nothing", "# later\n", Vanilla},
		{"an empty customization is nothing", "customization: {}\n", Vanilla},
		// The schematic of Hetzner's public Talos ISO (docs of Sidero Labs, platform hetzner).
		{
			"qemu-guest-agent", "customization:\n  systemExtensions:\n    officialExtensions: [siderolabs/qemu-guest-agent]\n",
			"ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
		},
	} {
		t.Run(c2.why, func(t *testing.T) {
			id, err := c.CreateSchematic(t.Context(), c2.yaml)
			if err != nil || id != c2.id {
				t.Fatalf("got %s, %v, want %s", id, err, c2.id)
			}
			yaml, err := c.Schematic(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := c.SchematicID(yaml); err != nil || again != id {
				t.Errorf("read back as %s, %v", again, err)
			}
		})
	}
}

func TestTheKernelArgumentIsForced(t *testing.T) {
	const arg = "talos.config=https://manager/config?uuid=${uuid}&code=${code}"
	for _, c := range []struct{ why, args, want string }{
		{"none yet", "[]", arg},
		{"others stay", "[a, -b]", "a -b " + arg},
		{"another address is replaced", "[talos.config=http://other, a]", "a " + arg},
		{"twice is once", "['" + arg + "', '" + arg + "']", arg},
		{"a longer name stays", "[talos.config.oauth.client_id=x]", "talos.config.oauth.client_id=x " + arg},
	} {
		t.Run(c.why, func(t *testing.T) {
			yaml, err := official(t).WithKernelArg("customization:\n  extraKernelArgs: "+c.args+"\n", arg)
			if err != nil {
				t.Fatal(err)
			}
			s, err := read(yaml)
			if err != nil || strings.Join(s.Customization.ExtraKernelArgs, " ") != c.want {
				t.Errorf("got %v, %v, want %s", s, err, c.want)
			}
		})
	}
	before, _ := official(t).SchematicID("")
	yaml, _ := official(t).WithKernelArg("", arg)
	if after, err := official(t).SchematicID(yaml); err != nil || after == before {
		t.Errorf("the id stays %s, %v", after, err)
	}
}

func TestACheckIsStrict(t *testing.T) {
	customization := func(s string) string { return "customization:\n  " + s + "\n" }
	for _, c := range []struct {
		why, yaml string
		kind      fleet.Kind // "" is fine
	}{
		{"an unknown field", customization("kernelArgs: [a]"), fleet.Invalid},
		{"not YAML", "customization: [", fleet.Invalid},
		{"a list", "- a", fleet.Invalid},
		{"two documents, of which the factory would lose one", customization("extraKernelArgs: [a]") + "---\n" + customization("extraKernelArgs: [b]"), fleet.Invalid},
		{"a wrong boot loader", customization("bootloader: lilo"), fleet.Invalid},
		{"a password", customization("extraKernelArgs: [foo.password=hunter2]"), fleet.Refused},
		{"a login in a URL", customization("extraKernelArgs: ['talos.config=https://me:pw@host/']"), fleet.Refused},
		{"a token in a URL", customization("extraKernelArgs: ['talos.config=https://host/?token=abc']"), fleet.Refused},
		{"a whole config", customization("extraKernelArgs: [talos.config.inline=KLUv/QQA]"), fleet.Refused},
		{"a private key in META", customization("meta: [{key: 10, value: \"links: [{wireguard: {privateKey: abc=}}]\"}]"), fleet.Refused},
		{"a tailscale key", customization("extraKernelArgs: [x=tskey-auth-k1]"), fleet.Refused},
		{"variables are no secrets", customization("extraKernelArgs: ['talos.config=https://host/config?uuid=${uuid}&token=${code}']"), ""},
		{"harmless arguments", customization("extraKernelArgs: [net.ifnames=0, console=tty1, module.sig_enforce=1]"), ""},
		{"a boot loader", customization("bootloader: grub"), ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			err := official(t).Check(c.yaml)
			if c.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fleet.KindOf(err) != c.kind || fleet.HintOf(err) == "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v (%s), want %s", err, fleet.KindOf(err), c.kind)
			}
		})
	}
}

func TestVersionsAndExtensions(t *testing.T) {
	c, _ := start(t, factory.Options{})
	versions, err := c.Versions(t.Context())
	if err != nil || !slices.Contains(versions, "v1.14.1") {
		t.Errorf("versions %v, %v", versions, err)
	}
	for _, version := range []string{"v1.14.1", "1.14.1"} {
		extensions, err := c.Extensions(t.Context(), version)
		if err != nil || !slices.ContainsFunc(extensions, func(e Extension) bool { return e.Name == "siderolabs/gvisor" && e.Digest != "" }) {
			t.Errorf("extensions %v, %v", extensions, err)
		}
	}
	for _, c2 := range []struct {
		why, version string
		kind         fleet.Kind
	}{{"not a version", "latest", fleet.Invalid}, {"not built", "v1.14.77", fleet.NotFound}} {
		if _, err := c.Extensions(t.Context(), c2.version); fleet.KindOf(err) != c2.kind {
			t.Errorf("%s: %v", c2.why, err)
		}
	}
	if _, err := c.Schematic(t.Context(), strings.Repeat("0", 64)); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("unknown schematic: %v", err)
	}
	if _, err := c.Schematic(t.Context(), "../versions"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("not an id: %v", err)
	}
}

func TestNamesOfImagesAndInstallers(t *testing.T) {
	private, err := New("https://factory.example.org:8443/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ why, got, want string }{
		{"metal", official(t).ImageURL("ID", "v1.14.1", "metal", "amd64"), "https://factory.talos.dev/image/ID/v1.14.1/metal-amd64.raw.zst"},
		{"cloud on arm64", official(t).ImageURL("ID", "1.14.1", "hcloud", "arm64"), "https://factory.talos.dev/image/ID/v1.14.1/hcloud-arm64.raw.zst"},
		{"before zstd", official(t).ImageURL("ID", "v1.7.7", "metal", "amd64"), "https://factory.talos.dev/image/ID/v1.7.7/metal-amd64.raw.xz"},
		{"own factory", private.ImageURL("ID", "v1.14.1", "metal", "amd64"), "https://factory.example.org:8443/image/ID/v1.14.1/metal-amd64.raw.zst"},
		{"installer", official(t).InstallerImage("ID", "v1.14.1", "metal"), "factory.talos.dev/metal-installer/ID:v1.14.1"},
		{"cloud installer", official(t).InstallerImage("ID", "1.10.0", "hcloud"), "factory.talos.dev/hcloud-installer/ID:v1.10.0"},
		{"one for all platforms", official(t).InstallerImage("ID", "v1.9.6", "hcloud"), "factory.talos.dev/installer/ID:v1.9.6"},
		{"own factory's", private.InstallerImage("ID", "v1.14.1", "metal"), "factory.example.org:8443/metal-installer/ID:v1.14.1"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.why, c.got, c.want)
		}
	}
	for _, wrong := range []string{"factory.talos.dev", "ftp://x", "http://", ":"} {
		if _, err := New(wrong, nil); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestAnImageIsLookedForBeforeItIsNeeded(t *testing.T) {
	c, f := start(t, factory.Options{Redirect: true})
	size, err := c.CheckImage(t.Context(), c.ImageURL(Vanilla, "v1.14.1", "metal", "amd64"))
	if err != nil || size < 1<<20 {
		t.Errorf("%d bytes, %v", size, err)
	}
	none, err := c.SchematicID("customization:\n  systemExtensions: {officialExtensions: [siderolabs/none]}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c2 := range []struct {
		why, url string
		kind     fleet.Kind
	}{
		{"no such version", c.ImageURL(Vanilla, "v1.14.77", "metal", "amd64"), fleet.NotFound},
		{"a schematic that nobody created", c.ImageURL(none, "v1.14.1", "metal", "amd64"), fleet.NotFound},
		{"no such architecture", c.ImageURL(Vanilla, "v1.14.1", "metal", "riscv64"), fleet.Invalid},
		{"no address", "http://%", fleet.Invalid},
	} {
		if _, err := c.CheckImage(t.Context(), c2.url); fleet.KindOf(err) != c2.kind {
			t.Errorf("%s: %v (%s)", c2.why, err, fleet.KindOf(err))
		}
	}
	f.Fault(func(x *factory.Faults) { x.ImageError = 1 })
	if _, err := c.CheckImage(t.Context(), c.ImageURL(Vanilla, "v1.14.1", "metal", "amd64")); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("500: %v", err)
	}
}

// page answers every call with one page.
type page struct {
	status int
	body   string
}

func (p page) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func TestOutagesAreUnavailable(t *testing.T) {
	c, f := start(t, factory.Options{Faults: factory.Faults{Outage: -1}})
	if _, err := c.Versions(t.Context()); fleet.KindOf(err) != fleet.Unavailable || fleet.HintOf(err) == "" {
		t.Errorf("503: %v", err)
	}
	f.Fault(func(x *factory.Faults) { x.Outage = 0 })
	if _, err := c.Versions(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	for _, c := range []struct {
		why    string
		answer page
		kind   fleet.Kind
	}{
		{"a page of a proxy", page{200, "<html>"}, fleet.Unavailable},
		{"half an answer", page{200, `["v1.14`}, fleet.Unavailable},
		{"no versions", page{200, `[]`}, fleet.Unavailable},
		{"too many calls", page{429, ""}, fleet.Unavailable},
		{"a private factory", page{401, ""}, fleet.Forbidden},
	} {
		client, err := New(DefaultURL, &http.Client{Transport: c.answer})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Versions(t.Context()); fleet.KindOf(err) != c.kind {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	client, err := New(DefaultURL, &http.Client{Transport: page{201, `{"id":"another"}`}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateSchematic(t.Context(), ""); fleet.KindOf(err) != fleet.Internal {
		t.Errorf("another id than ours: %v", err)
	}
}

func TestAnEndedContextEndsACall(t *testing.T) {
	c, _ := start(t, factory.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := c.CreateSchematic(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
