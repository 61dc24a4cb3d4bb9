package diff_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// bundleText is the secrets bundle as `talosctl gen secrets` writes it.
func bundleText(t testing.TB) []byte {
	t.Helper()
	text, err := yaml.Marshal(secretsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// secretsIn lists the secrets of the bundle, and the lines of its keys.
func secretsIn(t testing.TB) []string {
	t.Helper()
	b := secretsOf(t)
	out := []string{
		b.Cluster.ID, b.Cluster.Secret, b.Secrets.BootstrapToken, b.Secrets.SecretboxEncryptionSecret, b.TrustdInfo.Token,
	}
	for _, key := range [][]byte{b.Certs.OS.Key, b.Certs.K8s.Key, b.Certs.K8sAggregator.Key, b.Certs.Etcd.Key, b.Certs.K8sServiceAccount.Key} {
		out = append(out, base64.StdEncoding.EncodeToString(key))
		for line := range strings.Lines(string(key)) {
			if line = strings.TrimSpace(line); len(line) >= 16 && !strings.HasPrefix(line, "-----") {
				out = append(out, line)
			}
		}
	}
	if len(out) < 40 || len(b.Secrets.SecretboxEncryptionSecret) == 0 {
		t.Fatal("the bundle lacks secrets")
	}
	return out
}

func mustNotLeak(t *testing.T, what, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s holds %.8s… (%d letters):\n%.600s", what, s, len(s), text)
			return
		}
	}
}

func TestARedactorFindsTheSecretsOfABundleInEveryForm(t *testing.T) {
	r, err := diff.NewRedactor(bundleText(t))
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsIn(t)
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	for form, write := range map[string]func(string) string{
		"as it is":        func(s string) string { return s },
		"in a line":       func(s string) string { return "2026-11-20 level=error msg=refused token=" + s + " attempt=2" },
		"in JSON":         func(s string) string { return `{"error":` + quoted("bad "+s+"\n") + "}" },
		"in JSON in JSON": func(s string) string { return quoted(quoted("bad " + s)) },
		"quoted by Go":    func(s string) string { return fmt.Sprintf("parse %q: no", s) },
		"in a URL":        func(s string) string { return "https://x/?a=" + url.QueryEscape(s) + "&b=" + url.PathEscape(s) },
		"in a page":       func(s string) string { return "<td>" + html.EscapeString(s) + "</td>" },
		"in a template": func(s string) string {
			return "<td>" + strings.ReplaceAll(html.EscapeString(s), "+", "&#43;") + "</td>"
		},
		"in YAML":           func(s string) string { b, _ := yaml.Marshal(map[string]string{"a": s}); return string(b) },
		"in base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"in base64 of more": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("{a: " + s + "}, 1")) },
	} {
		for _, s := range secrets {
			text := r.String(write(s))
			if strings.Contains(text, s) || !strings.Contains(text, "secret") {
				t.Fatalf("%s: %.12s… of %d letters is in %.300s", form, s, len(s), text)
			}
			if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && strings.Contains(string(raw), s) {
				t.Fatalf("%s: %.12s… can be decoded", form, s)
			}
		}
	}
}

func TestARedactorFindsDecodedKeysAndOneKeyLine(t *testing.T) {
	r, err := diff.NewRedactor(controlPlane(t, "v1.13.9"))
	if err != nil {
		t.Fatal(err)
	}
	key := string(secretsOf(t).Certs.K8s.Key)
	lines := strings.Split(strings.TrimSpace(key), "\n")
	for what, text := range map[string]string{
		"the PEM":              key,
		"the PEM, indented":    "    " + strings.ReplaceAll(key, "\n", "\n    "),
		"the PEM on one line":  strings.Join(lines[1:len(lines)-1], ""),
		"a line of it":         "tls: bad " + lines[1],
		"with Windows lines":   strings.ReplaceAll(key, "\n", "\r\n"),
		"the PEM, escaped":     strconv.Quote(key),
		"base64 of the PEM":    base64.StdEncoding.EncodeToString([]byte(key)),
		"base64 of base64":     base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(key)))),
		"in a YAML of another": "data:\n  ca.key: " + base64.StdEncoding.EncodeToString([]byte(key)),
	} {
		mustNotLeak(t, what, r.String(text), secretsIn(t))
		if r.String(text) == text {
			t.Errorf("%s stays", what)
		}
	}
}

const leaky = `version: v1alpha1
machine:
  type: worker
  token: abcdef.0123456789abcdef
  env:
    HTTPS_PROXY: http://proxyuser:proxy-pass-1@proxy:3128
    DB_PASSWORD: env-pass-2
  files:
    - path: /etc/key.pem
      op: create
      content: |
        -----BEGIN OPENSSH PRIVATE KEY-----
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB
        -----END OPENSSH PRIVATE KEY-----
    - path: /etc/app.conf
      op: create
      content: |
        # app
        api_token = file-token-3
        "password": "file-pass-4",
        listen: 0.0.0.0:80
  kubelet:
    extraArgs:
      api-key: arg-key-5
  install:
    extraKernelArgs:
      - talos.config=https://u:kernel-pass-6@host/config
      - siderolink.api=https://sl/?jointoken=join-token-7
  pods:
    - metadata: {name: p}
      spec: {containers: [{name: c, env: [{name: DB_PASSWORD, value: pod-pass-8}]}]}
  registries:
    config:
      r.example:
        auth: {username: someone, password: "pass with 'quotes' & <more> 9"}
  network:
    interfaces:
      - interface: wg0
        wireguard: {privateKey: ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789wgprivate10=}
  systemDiskEncryption:
    state:
      provider: luks2
      keys: [{slot: 0, static: {passphrase: a phrase of several words which is folded somewhere when it is written in a long line 11}}]
cluster:
  extraManifestHeaders: {X-Anything: header-12}
  inlineManifests:
    - name: s
      contents: |
        apiVersion: v1
        kind: Secret
        metadata: {name: s}
        stringData:
          some: inline-13
        data:
          other: aW5saW5lLTE0
---
apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: tailscale
environment: [TS_AUTHKEY=tskey-auth-15, TS_ROUTES=10.0.0.0/8]
configFiles: [{mountPath: /c, content: "token: conf-16\nname: x\n"}]
---
apiVersion: v1alpha1
kind: EnvironmentConfig
variables: {API_TOKEN: env-17, http_proxy: "http://a:proxy-18@b/"}
---
apiVersion: v1alpha1
kind: SideroLinkConfig
apiUrl: https://siderolink.api/?jointoken=join-19
uniqueToken: unique-20
---
apiVersion: v1alpha1
kind: KmsgLogConfig
name: r
url: tcp://user:kmsg-21@10.5.0.1:5140/
---
apiVersion: v1alpha1
kind: VolumeConfig
name: STATE
encryption: {provider: luks2, keys: [{slot: 0, static: {passphrase: volume-22}}]}
---
apiVersion: v1alpha1
kind: WireguardConfig
name: wg1
privateKey: wgkey-23
peers: [{publicKey: open, presharedKey: psk-24}]
---
apiVersion: v1alpha1
kind: RegistryAuthConfig
name: r2.example
username: other
password: registry-25
auth: registry-26
identityToken: registry-27
---
apiVersion: v9
kind: FutureConfig
clientSecret: future-28
nested: {list: [{token: 99887766554433}]}
---
apiVersion: v1alpha1
kind: KubeExternalManifestConfig
name: m
url: https://x/
headers: {Authorization: Bearer header-30}
---
apiVersion: v1alpha1
kind: KubeEtcdEncryptionConfig
config: {resources: [{providers: [{aescbc: {keys: [{name: k, secret: etcd-31}]}}]}]}
`

// leaked are the secrets of the config above.
var leaked = []string{
	"0123456789abcdef", "proxy-pass-1", "env-pass-2", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB", "file-token-3", "file-pass-4",
	"arg-key-5", "kernel-pass-6", "join-token-7", "pod-pass-8", "pass with", "wgprivate10", "a phrase of several", "long line 11", "header-12",
	"inline-13", "aW5saW5lLTE0", "tskey-auth-15", "conf-16", "env-17", "proxy-18", "join-19", "unique-20", "kmsg-21", "volume-22", "wgkey-23",
	"psk-24", "registry-25", "registry-26", "registry-27", "future-28", "99887766554433", "header-30", "etcd-31",
}

func TestNoSecretOfAnyDocumentLeaves(t *testing.T) {
	changed := leaky
	for _, s := range leaked {
		changed = strings.ReplaceAll(changed, s, s[:len(s)/2]+"X"+s[len(s)/2:])
	}
	both := append([]string{}, leaked...)
	for _, s := range leaked {
		both = append(both, s[:len(s)/2]+"X"+s[len(s)/2:])
	}
	for _, key := range [][]byte{nil, []byte("k")} {
		for what, sides := range map[string][2]string{
			"added": {"", leaky}, "removed": {leaky, ""}, "changed": {leaky, changed}, "to another": {leaky, head + "machine: {type: worker}"},
		} {
			d, err := diff.Compare([]byte(sides[0]), []byte(sides[1]), key)
			if err != nil {
				t.Fatal(err)
			}
			v, err := diff.Apply(d, "v1.13.9")
			if err != nil {
				t.Fatal(err)
			}
			asJSON, err := json.Marshal(struct{ D, V any }{d, v})
			if err != nil {
				t.Fatal(err)
			}
			unified, err := diff.Unified([]byte(sides[0]), []byte(sides[1]))
			if err != nil {
				t.Fatal(err)
			}
			for form, text := range map[string]string{"text": diff.Text(d, v), "JSON": string(asJSON), "unified": unified} {
				mustNotLeak(t, what+" as "+form, text, both)
				if text == "" {
					t.Errorf("%s as %s is empty", what, form)
				}
			}
		}
	}
	text, err := diff.Redact([]byte(leaky))
	if err != nil {
		t.Fatal(err)
	}
	mustNotLeak(t, "the redacted config", text, leaked)
	for _, open := range []string{"TS_ROUTES=10.0.0.0/8", "listen: 0.0.0.0:80", "username: someone", "tcp://user:", "HTTPS_PROXY"} {
		if !strings.Contains(text, open) {
			t.Errorf("%q is gone from\n%s", open, text)
		}
	}
	r, err := diff.NewRedactor([]byte(leaky))
	if err != nil {
		t.Fatal(err)
	}
	mustNotLeak(t, "a log", r.String(leaky), leaked)
}

func TestEverySecretThatChangesIsSeenToChange(t *testing.T) {
	for _, s := range leaked {
		changed := strings.ReplaceAll(leaky, s, s[:len(s)/2]+"X"+s[len(s)/2:])
		d := compare(t, leaky, changed)
		if len(d.Documents) != 1 || len(d.Documents[0].Changes) != 1 || !d.Documents[0].Changes[0].Secret && !strings.Contains(fmt.Sprint(d.Documents[0].Changes[0].Old), "[secret-") {
			t.Errorf("%s: %s", s, diff.Text(d, nil))
		}
		if text, err := diff.Unified([]byte(leaky), []byte(changed)); err != nil || text == "" {
			t.Errorf("%s: unified %q, %v", s, text, err)
		}
	}
}

func TestAFingerprintTellsWhichSecretItIsToWhoHasTheKey(t *testing.T) {
	config := func(token string) []byte { return []byte(head + "machine: {type: worker, token: " + token + "}") }
	print := func(key, token string) string {
		d, err := diff.Compare(config("old-token"), config(token), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(d.Documents[0].Changes[0].New)
	}
	first := print("k", "a-token")
	if print("k", "a-token") != first || print("k", "b-token") == first || print("l", "a-token") == first {
		t.Error("fingerprints do not tell secrets apart")
	}
	if print("", "a-token") != "[secret-2]" {
		t.Errorf("without a key: %s", print("", "a-token"))
	}
}

func TestARedactorLeavesWordsThatOnlyHoldAShortSecret(t *testing.T) {
	r, err := diff.NewRedactor([]byte(head + "machine: {registries: {config: {r: {auth: {password: abc}}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.String("password abc of abcdef: abc-d"); got != "password [secret] of abcdef: [secret]-d" {
		t.Error(got)
	}
}

func TestARedactorOfNothingKnowsWhatLooksLikeASecret(t *testing.T) {
	var none *diff.Redactor
	for _, r := range []*diff.Redactor{none, {}} {
		for text, want := range map[string]string{
			"GET https://user:hunter2@host/path?x=1: 401":               "GET https://user:[secret]@host/path?x=1: 401",
			"Authorization: Bearer abcdefghijkl":                        "Authorization: Bearer [secret]",
			"https://h/config?uuid=1&token=abcd&x=1":                    "https://h/config?uuid=1&token=[secret]&x=1",
			"a server at 10.0.0.1:50000 said: no":                       "a server at 10.0.0.1:50000 said: no",
			"time 12:30:01 https://host:6443/api":                       "time 12:30:01 https://host:6443/api",
			"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----": "-----BEGIN PRIVATE KEY-----[secret]-----END PRIVATE KEY-----",
		} {
			if got := r.String(text); got != want {
				t.Errorf("%s\n%s", got, want)
			}
		}
	}
}

func TestARedactedErrorKeepsItsKind(t *testing.T) {
	r, err := diff.NewRedactor(bundleText(t))
	if err != nil {
		t.Fatal(err)
	}
	token, cause := secretsOf(t).TrustdInfo.Token, errors.New("no such host")
	bad := fmt.Errorf("server a: %w", fleet.Errorf(fleet.Unavailable, "token %s: %w", token, cause).WithHint("try without %s", token))
	got := r.Error(bad)
	mustNotLeak(t, "the error", got.Error()+fleet.HintOf(got)+fmt.Sprintf("%+v %#v", got, got.Error()), []string{token})
	if fleet.KindOf(got) != fleet.Unavailable || !errors.Is(got, cause) || !strings.HasPrefix(got.Error(), "server a: token [secret]: no such host") || fleet.HintOf(got) != "try without [secret]" {
		t.Errorf("%v, hint %q", got, fleet.HintOf(got))
	}
	if r.Error(nil) != nil || r.Error(cause) != cause {
		t.Error("an error without a secret changes")
	}
}

func TestARedactorIsNotMadeOfWhatCannotBeRead(t *testing.T) {
	if _, err := diff.NewRedactor([]byte("a: [")); fleet.KindOf(err) != fleet.Invalid || err == nil {
		t.Error(err)
	}
}
