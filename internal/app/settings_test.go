package app

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestSettingsComeFromFlagsThenEnvironmentThenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("listen: :1\nlog-format: json\nsync-every: 5m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"LISTEN": ":2", "SYNC_EVERY": "7m", "HOST": "talos.example.com", "BASIC_AUTH_PASSWORD": "p", "TALOS_ARM64_IMAGE_URL": "https://e.org/a.raw.xz"}
	s, err := Read(map[string]string{"listen": ":3"}, func(k string) string { return env[k] }, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ why, got, want string }{
		{"the flag wins", s.Listen, ":3"},
		{"the environment wins over the file", s.SyncEvery.String(), "7m0s"},
		{"the file wins over the default", s.LogFormat, "json"},
		{"the default stands", s.LogLevel, "info"},
		{"a bare host gets https", s.URL, "https://talos.example.com"},
		{"the reference's image variable", s.Images[fleet.ARM64], "https://e.org/a.raw.xz"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", tc.why, tc.got, tc.want)
		}
	}
}

func TestPlatformsThatSetPORT(t *testing.T) {
	s, err := Read(nil, func(k string) string { return map[string]string{"PORT": "5000"}[k] }, "")
	if err != nil || s.Listen != ":5000" {
		t.Errorf("%q, %v", s.Listen, err)
	}
}

func TestAnUnusableSettingIsNamed(t *testing.T) {
	for _, tc := range []struct{ why, name, value string }{
		{"no URL", "robot-url", "robot"},
		{"no URL", "talos-amd64-image-url", "/images/talos.raw"},
		{"another database", "database-url", "mysql://x"},
		{"another adapter", "db-adapter", "oracle"},
		{"an adapter without address", "db-adapter", "postgresql"},
		{"no key", "ssh-private-key", "-----BEGIN nothing"},
		{"half a login", "hetzner-webservice-user", "#ws+x"},
		{"a key without certificate", "tls-key", "key.pem"},
		{"no duration", "sync-every", "often"},
		{"more often than Robot allows", "sync-every", "1s"},
		{"no port", "rescue-ssh-port", "ssh"},
		{"a pace that stands still", "pace", "0"},
		{"no network", "trusted-proxies", "10.0.0.0/99"},
		{"no format", "log-format", "xml"},
	} {
		_, err := Read(map[string]string{tc.name: tc.value}, func(string) string { return "" }, "")
		if fleet.KindOf(err) != fleet.Invalid || fleet.HintOf(err) == "" {
			t.Errorf("%s (%s=%s): %v, hint %q", tc.why, tc.name, tc.value, err, fleet.HintOf(err))
		}
	}
	file := filepath.Join(t.TempDir(), "settings.yaml")
	os.WriteFile(file, []byte("listn: :1\n"), 0o600)
	if _, err := Read(nil, func(string) string { return "" }, file); err == nil || !strings.Contains(err.Error(), `"listn"`) {
		t.Errorf("a key that is no setting: %v", err)
	}
	if _, err := Read(nil, func(string) string { return "" }, "/nonexistent/settings.yaml"); err == nil || !strings.Contains(err.Error(), "/nonexistent/settings.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// The annotated sample is the documentation of the settings: it is made from them, and can be read by them.
func TestTheSampleIsTheDocumentation(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "talos-manager.sample.yaml")
	if *update {
		if err := os.WriteFile(file, []byte(Sample()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != Sample() {
		t.Errorf("docs/talos-manager.sample.yaml is not what the settings say (%v): run go test ./internal/app -update", err)
	}
	uncommented := strings.ReplaceAll(string(have), "#listen:", "listen:")
	copied := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(copied, []byte(uncommented), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Read(nil, func(string) string { return "" }, copied); err != nil || s.Listen != ":8080" {
		t.Errorf("the sample cannot be used: %v", err)
	}
}
