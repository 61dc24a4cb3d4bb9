package extension

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// keep is a registry on localhost, without TLS, that wants this login; none if it is empty.
func keep(t *testing.T, user, password string) string {
	t.Helper()
	r := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if u, p, _ := req.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestAnExtensionIsPushedAndPulled(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := keep(t, "", "")
	images := build(t, write(t, reference(t)))
	for _, c := range []struct{ why, to, tag string }{
		{"with a tag", host + "/me/hello-world:edge", "edge"},
		{"the version is the tag", host + "/me/hello-world", "v1.0.0"},
	} {
		pushed, err := images.Push(t.Context(), c.to, PushOptions{UserAgent: "talos-manager/test"})
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		digest, err := images.Index.Digest()
		if err != nil || pushed != host+"/me/hello-world@"+digest.String() {
			t.Errorf("%s: pushed as %s, %v", c.why, pushed, err)
		}
		tag, err := name.NewTag(host + "/me/hello-world:" + c.tag)
		if err != nil {
			t.Fatal(err)
		}
		// As Talos' imager pulls: by the platform.
		image, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		if content := unpack(t, image, filepath.Join(t.TempDir(), "x")); content["manifest.yaml"] == nil || content[box+"hello"] == nil {
			t.Errorf("%s: it has %v", c.why, content)
		}
	}
}

func TestTheLoginIsThatOfDocker(t *testing.T) {
	host := keep(t, "me", "hunter2")
	images := build(t, write(t, reference(t)))
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	_, err := images.Push(t.Context(), host+"/me/hello-world", PushOptions{})
	if fleet.KindOf(err) != fleet.Forbidden || !strings.Contains(fleet.HintOf(err), "docker login "+host) {
		t.Errorf("without a login: %v (%s)", err, fleet.HintOf(err))
	}
	// me:hunter2, as docker login keeps it
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"auths":{"`+host+`":{"auth":"bWU6aHVudGVyMg=="}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := images.Push(t.Context(), host+"/me/hello-world", PushOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAPushThatCannotBeSaysWhy(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	images := build(t, write(t, reference(t)))
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	t.Cleanup(broken.Close)
	for _, c := range []struct {
		why, to string
		kind    fleet.Kind
	}{
		{"no registry", "hello-world:v1", fleet.Invalid},
		{"capitals", "localhost:5000/Hello:v1", fleet.Invalid},
		{"a digest", "localhost:5000/hello@sha256:" + strings.Repeat("0", 64), fleet.Invalid},
		{"nobody there", "127.0.0.1:1/hello:v1", fleet.Unavailable},
		{"no registry there", strings.TrimPrefix(broken.URL, "http://") + "/hello:v1", fleet.NotFound},
	} {
		if _, err := images.Push(t.Context(), c.to, PushOptions{}); fleet.KindOf(err) != c.kind || fleet.HintOf(err) == "" {
			t.Errorf("%s: %v (%s)", c.why, err, fleet.KindOf(err))
		}
	}
}
