package recipe

import (
	"fmt"
	"strings"
	"testing"
)

// Secrets are in the patches' text, and nowhere else: not in what is shown, the notes, the schematic or errors.
func TestSecretsAreInThePatchesOnly(t *testing.T) {
	const one, two = `hunter"2 \ä`, "correct-horse"
	for _, tc := range []struct {
		recipe string
		params Params
		secret string
	}{
		{"disk-encryption", Params{"ephemeral": "static", "passphrase": one}, one},
		{"disk-encryption", Params{"ephemeral": "nodeID", "state": "static", "state_passphrase": two}, two},
		{"disk-encryption-rotation", Params{"volume": "EPHEMERAL", "step": "add", "old_key": "static", "old_passphrase": one, "new_key": "nodeID"}, one},
		{"disk-encryption-rotation", Params{"volume": "EPHEMERAL", "step": "remove", "old_key": "tpm", "new_key": "static", "new_passphrase": two}, two},
		{"registry-auth", Params{"registry": "ghcr.io", "username": "a", "password": one}, one},
		{"registry-auth", Params{"registry": "ghcr.io", "auth": two}, two},
		{"registry-auth", Params{"registry": "ghcr.io", "identity_token": two}, two},
		{"harbor-mirror", Params{"url": "https://harbor", "username": "a", "password": two}, two},
		{"extension-service-config", Params{"service": "a", "environment": map[string]any{"KEY": one}}, one},
		{"extension-service-config", Params{"service": "a", "mount_path": "/a", "content": "a\n" + two + "\n"}, two},
	} {
		for _, release := range releases {
			r, err := Get(tc.recipe)
			if err != nil {
				t.Fatal(err)
			}
			if !r.has(minor(t, release.talos)) {
				continue
			}
			result := mustApply(t, tc.recipe, release.talos, tc.params)
			said, shown := "", fmt.Sprint(result.Notes, result.Schematic, result.Recipe)
			for _, p := range result.Patches {
				said += p.Text
				shown += p.Shown + p.Name
				if !strings.Contains(p.Shown, Masked) {
					t.Errorf("%s on %s: nothing is redacted in\n%s", tc.recipe, release.talos, p.Shown)
				}
			}
			quoted := strings.Trim(quote(tc.secret), `"`)
			if !strings.Contains(said, quoted) {
				t.Errorf("%s on %s: the secret is not in the patch\n%s", tc.recipe, release.talos, said)
			}
			if strings.Contains(shown, tc.secret) || strings.Contains(shown, quoted) {
				t.Errorf("%s on %s: the secret is shown in\n%s", tc.recipe, release.talos, shown)
			}
		}
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	for _, tc := range []struct {
		recipe string
		params Params
	}{
		{"registry-auth", Params{"registry": "ghcr.io", "username": "a", "password": "hunter2\nx"}},
		{"registry-auth", Params{"registry": "ghcr.io", "auth": "hunter2", "identity_token": "hunter2"}},
		{"registry-auth", Params{"registry": "ghcr.io", "password": "hunter2"}},
		{"harbor-mirror", Params{"url": "https://a:hunter2@harbor"}},
		{"disk-encryption", Params{"passphrase": "hunter2"}},
		{"extension-service-config", Params{"service": "a", "environment": "hunter2"}},
		{"extension-service-config", Params{"service": "a", "environment": "A=1\x01hunter2"}},
		{"extension-service-config", Params{"service": "a", "environment": map[string]any{"A": []any{"hunter2"}}}},
		{"extension-service-config", Params{"service": "a", "content": "hunter2"}},
	} {
		r, err := Get(tc.recipe)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Apply("v1.14.1", tc.params); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", tc.recipe, err)
		}
	}
}

// Every secret-like parameter is marked; a test of names, for whoever adds the next.
func TestWhatLooksLikeASecretIsMarked(t *testing.T) {
	for _, r := range List() {
		for _, p := range r.Parameters {
			looks := false
			for _, word := range []string{"password", "passphrase", "secret", "token", "auth", "private"} {
				looks = looks || strings.Contains(p.Name, word)
			}
			if looks && !p.Secret {
				t.Errorf("%s: parameter %s is no secret", r.Name, p.Name)
			}
		}
	}
}
