package fleet_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestAnAddressIsShownWithoutItsSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"https://factory.talos.dev/image/1/v1.14.1/metal-amd64.raw.zst":         "https://factory.talos.dev/image/1/v1.14.1/metal-amd64.raw.zst",
		"https://user:secret@example.com:8443/a.raw.zst?key=secret#x":           "https://example.com:8443/a.raw.zst",
		"https://manager.example.com/image/5ec4e7/base64/c2VjcmV0LV8/a.raw.zst": "https://manager.example.com/image/5ec4e7/base64/.../a.raw.zst",
		"https://user:secret@exa mple.com/a.raw.zst":                            "of an unusable address",
	} {
		if got := fleet.ShownURL(address); got != want {
			t.Errorf("%s is shown as %s", address, got)
		}
	}
}
