package factory

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/siderolabs/image-factory/pkg/client"
	"github.com/siderolabs/image-factory/pkg/schematic"
	"github.com/ulikunitz/xz"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func start(t *testing.T, o Options) (*Factory, string) {
	t.Helper()
	w := world.New(world.Options{Speed: 1000})
	t.Cleanup(w.Close)
	f := New(w, o)
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.opts.URL = s.URL
	return f, s.URL
}

func get(t *testing.T, url string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func TestTheOfficialClientIsServed(t *testing.T) {
	_, url := start(t, Options{})
	c, _ := client.New(url)
	id, err := c.SchematicCreate(t.Context(), schematic.Schematic{})
	if err != nil || id != Vanilla {
		t.Errorf("the empty schematic is %s, %v", id, err)
	}
	s := schematic.Schematic{Customization: schematic.Customization{ExtraKernelArgs: []string{"a=b"}}}
	if id, err = c.SchematicCreate(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	back, err := c.SchematicGet(t.Context(), id)
	if err != nil || !slices.Equal(back.Customization.ExtraKernelArgs, []string{"a=b"}) {
		t.Errorf("read back %+v, %v", back, err)
	}
	versions, err := c.Versions(t.Context())
	if err != nil || !slices.Contains(versions, "v1.14.1") || !slices.Contains(versions, "v1.10.0") {
		t.Errorf("versions %v, %v", versions, err)
	}
	ext, err := c.ExtensionsVersions(t.Context(), "1.14.1")
	if err != nil || !slices.ContainsFunc(ext, func(e client.ExtensionInfo) bool { return e.Name == "siderolabs/qemu-guest-agent" }) {
		t.Errorf("extensions %v, %v", ext, err)
	}
	if o, err := c.OverlaysVersions(t.Context(), "v1.14.1"); err != nil || len(o) == 0 {
		t.Errorf("overlays %v, %v", o, err)
	}
}

func TestWrongRequestsAreRefusedAsByTheRealFactory(t *testing.T) {
	f, url := start(t, Options{})
	unavailable, _ := f.Put(Schematic{Customization: Customization{
		SystemExtensions: SystemExtensions{OfficialExtensions: []string{"siderolabs/none"}},
	}})
	for _, c := range []struct {
		why, path string
		status    int
		text      string
	}{
		{"unknown schematic", "/image/" + strings.Repeat("0", 64) + "/v1.14.1/metal-amd64.raw.zst", 404, "not found"},
		{"unknown schematic read", "/schematics/x", 404, "schematic not found"},
		{"malformed version", "/image/" + Vanilla + "/latest/metal-amd64.raw.zst", 500, "internal server error"},
		{"malformed version of extensions", "/version/one/extensions/official", 500, "internal server error"},
		{"version that does not exist", "/image/" + Vanilla + "/v1.14.77/metal-amd64.raw.zst", 404, "version 1.14.77 is not available"},
		{"path that means nothing", "/image/" + Vanilla + "/v1.14.1/metal.zip", 400, "invalid profile path"},
		{"wrong architecture", "/image/" + Vanilla + "/v1.14.1/metal-riscv64.raw.xz", 400, "invalid architecture"},
		{"extension not offered", "/image/" + unavailable + "/v1.14.1/metal-amd64.raw.zst", 400, "not available for Talos version"},
		{"checksums are sold", "/image/" + Vanilla + "/v1.14.1/metal-amd64.raw.zst.sha256", 402, "enterprise"},
	} {
		t.Run(c.why, func(t *testing.T) {
			res, body, _ := get(t, url+c.path)
			if res.StatusCode != c.status || !strings.Contains(string(body), c.text) {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
	res, err := http.Post(url+"/schematics", "application/yaml", strings.NewReader("customization:\n  kernelArgs: [a]\n"))
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown field gives %v, %v", res, err)
	}
}

func TestEveryFormatIsTheSameBootableImage(t *testing.T) {
	f, url := start(t, Options{Redirect: true})
	id, _ := f.Put(Schematic{Customization: Customization{
		ExtraKernelArgs:  []string{"talos.config=http://manager/config"},
		Meta:             []MetaValue{{Key: world.MetaDownloadURLCode, Value: "c"}},
		SystemExtensions: SystemExtensions{OfficialExtensions: []string{"siderolabs/gvisor"}},
	}})
	want, err := f.ImageSpec(id, "v1.14.1", "metal", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	img, _ := world.BuildImage(want)
	raw, _ := io.ReadAll(img.Reader())
	for format, open := range unpackers() {
		t.Run("raw"+format, func(t *testing.T) {
			res, body, err := get(t, url+"/image/"+id+"/v1.14.1/metal-amd64.raw"+format)
			if err != nil || res.StatusCode != 200 || res.ContentLength != int64(len(body)) || res.Header.Get("ETag") == "" {
				t.Fatalf("%v %v %v", res.Status, res.Header, err)
			}
			r, err := open(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.LimitReader(r, 4<<20)) // all of it takes long; TestPackedIsWhole
			if err != nil || !bytes.Equal(got, raw[:4<<20]) {
				t.Errorf("%d bytes differ, %v", len(got), err)
			}
		})
	}
	d := &world.Disk{Name: "sda", SizeBytes: 1 << 30}
	_, _ = d.WriteAt(raw, 0)
	info, err := world.ReadBoot(d)
	if err != nil || info.Version != "v1.14.1" || info.Meta[world.MetaDownloadURLCode] != "c" || !slices.Equal(info.Extensions, want.Extensions) {
		t.Errorf("boots %+v, %v", info, err)
	}
	_, cmdline, _ := get(t, url+"/image/"+id+"/v1.14.1/cmdline-metal-amd64")
	if string(cmdline) != info.Cmdline || !strings.HasSuffix(info.Cmdline, "talos.config=http://manager/config") {
		t.Errorf("cmdline %q, booted with %q", cmdline, info.Cmdline)
	}
}

func unpackers() map[string]func(io.Reader) (io.Reader, error) {
	return map[string]func(io.Reader) (io.Reader, error){
		"":     func(r io.Reader) (io.Reader, error) { return r, nil },
		".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		".xz":  func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) },
		".zst": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
}

func TestPackedIsWhole(t *testing.T) {
	want := make([]byte, 1<<20) // data, zeroes, and pieces of both
	for i := range want {
		if i < 200_000 || i > 900_000 {
			want[i] = byte(i * i >> 7)
		}
	}
	for format, open := range unpackers() {
		if format == "" {
			continue
		}
		packed, err := pack(bytes.NewReader(want), format)
		if err != nil {
			t.Fatal(err)
		}
		r, err := open(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s gives %d bytes, %v", format, len(got), err)
		}
	}
}

func TestDownloadsResume(t *testing.T) {
	_, url := start(t, Options{})
	url += "/image/" + Vanilla + "/v1.14.1/hcloud-arm64.raw.zst"
	head, err := http.Head(url)
	if err != nil || head.ContentLength < 1<<20 {
		t.Fatalf("%v %v", head, err)
	}
	_, all, _ := get(t, url)
	res, tail, _ := get(t, url, "Range", "bytes=1000-", "If-Range", head.Header.Get("ETag"))
	if res.StatusCode != http.StatusPartialContent || !bytes.Equal(tail, all[1000:]) || int64(len(all)) != head.ContentLength {
		t.Errorf("%s with %d bytes of %d", res.Status, len(tail), len(all))
	}
}

func TestFaultsHappenAsOftenAsAskedFor(t *testing.T) {
	f, base := start(t, Options{})
	url := base + "/image/" + Vanilla + "/v1.14.1/metal-amd64.raw.zst"
	_, good, _ := get(t, url)
	for _, c := range []struct {
		why    string
		faults Faults
		check  func(res *http.Response, body []byte, err error) bool
	}{
		{"outage", Faults{Outage: 1}, func(r *http.Response, _ []byte, _ error) bool { return r.StatusCode == 503 }},
		{"404", Faults{ImageMissing: 1}, func(r *http.Response, _ []byte, _ error) bool { return r.StatusCode == 404 }},
		{"500", Faults{ImageError: 1}, func(r *http.Response, _ []byte, _ error) bool { return r.StatusCode == 500 }},
		{"corrupt", Faults{Corrupt: 1}, func(r *http.Response, b []byte, err error) bool {
			return err == nil && len(b) == len(good) && !bytes.Equal(b, good)
		}},
		{"truncated", Faults{Truncated: 1}, func(r *http.Response, b []byte, err error) bool {
			return err != nil && len(b) == len(good)/2 && r.ContentLength == int64(len(good))
		}},
		{"slow but whole", Faults{BytesPerSecond: 100 << 10}, func(_ *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Equal(b, good)
		}},
	} {
		t.Run(c.why, func(t *testing.T) {
			f.Fault(func(x *Faults) { *x = c.faults })
			res, body, err := get(t, url)
			if !c.check(res, body, err) {
				t.Errorf("got %s, %d bytes, %v", res.Status, len(body), err)
			}
			if res, body, err = get(t, url); res.StatusCode != 200 || !bytes.Equal(body, good) || err != nil {
				t.Errorf("afterwards: %s, %d bytes, %v", res.Status, len(body), err)
			}
		})
	}
}
