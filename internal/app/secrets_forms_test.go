package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"
)

// secret is what must not be said.
type secret struct {
	what, value string
	elsewhere   bool // it is in no machine config and no patch
}

// forms lists how a text may hold it. They are made by those who write such texts, not by what takes secrets out of them.
func (s secret) forms() []string {
	quoted, _ := json.Marshal(s.value)
	twice, _ := json.Marshal(string(quoted))
	out := []string{
		s.value, inner(string(quoted), 1), inner(string(twice), 3), inner(fmt.Sprintf("%q", s.value), 1), strings.ReplaceAll(s.value, "'", "''"),
		html.EscapeString(s.value), template.HTMLEscapeString(s.value), template.JSEscapeString(s.value), url.QueryEscape(s.value), url.PathEscape(s.value),
		hex.EncodeToString([]byte(s.value)),
	}
	for shift := range 3 { // as base64 of a longer text holds it
		text := base64.StdEncoding.EncodeToString([]byte("000"[:shift] + s.value))
		from, to := (shift*8+5)/6, len(strings.TrimRight(text, "="))
		if (shift+len(s.value))%3 != 0 {
			to--
		}
		out = append(out, text[from:to], strings.NewReplacer("+", "-", "/", "_").Replace(text[from:to]))
	}
	if raw, err := base64.StdEncoding.DecodeString(s.value); err == nil && len(raw) >= 16 {
		out = append(out, hex.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func inner(text string, n int) string { return text[n : len(text)-n] }

// bundleSecrets lists the secrets of a secrets bundle: of keys each line.
func bundleSecrets(t *testing.T, name string, text []byte) (out []secret) {
	t.Helper()
	var bundle struct {
		Cluster struct{ ID, Secret string }
		Secrets map[string]string
		Trust   struct{ Token string } `yaml:"trustdinfo"`
		Certs   map[string]struct{ Key string }
	}
	if err := yaml.Unmarshal(text, &bundle); err != nil {
		t.Fatal(err)
	}
	add := func(what, value string) {
		if len(value) < 16 {
			t.Fatalf("%s of %s: %q is no secret", what, name, value)
		}
		out = append(out, secret{what: what + " of " + name, value: value, elsewhere: true})
	}
	add("id", bundle.Cluster.ID)
	add("secret", bundle.Cluster.Secret)
	add("token", bundle.Trust.Token)
	for what, value := range bundle.Secrets {
		add(what, value)
	}
	for what, pair := range bundle.Certs {
		add("key "+what, pair.Key)
		key, err := base64.StdEncoding.DecodeString(pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(key)), "\n") {
			if !strings.HasPrefix(line, "-----") && len(line) >= 24 {
				add(fmt.Sprintf("line %d of key %s", i, what), line)
			}
		}
	}
	for i := range out { // what every machine config of a control plane has proves that they are found; keys, line by line
		out[i].elsewhere = strings.HasPrefix(out[i].what, "key ")
	}
	if len(out) < 30 {
		t.Fatalf("a bundle of %d secrets", len(out))
	}
	return out
}

// corpus is all that was said, each line once, with who said it first.
type corpus struct {
	mu    sync.Mutex
	lines map[string]string
	texts int
}

func (c *corpus) add(source, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		c.lines = map[string]string{}
	}
	c.texts++
	for line := range strings.Lines(text) {
		if _, known := c.lines[line]; !known {
			c.lines[line] = source
		}
	}
}

// search fails for each secret that was said, once for each who said it.
func (c *corpus) search(t *testing.T, secrets []secret) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all strings.Builder
	for line := range c.lines {
		all.WriteString(line)
		all.WriteByte('\n')
	}
	text := all.String()
	for _, s := range secrets {
		for i, form := range s.forms() {
			if len(form) < 8 {
				t.Fatalf("%s: form %d is too short to look for", s.what, i)
			}
			if strings.Contains(text, form) {
				c.blame(t, s, form)
				break
			}
		}
	}
}

func (c *corpus) blame(t *testing.T, s secret, form string) {
	t.Helper()
	said := map[string]bool{}
	for line, source := range c.lines {
		if at := strings.Index(line, form); at >= 0 && !said[source] {
			said[source] = true
			t.Errorf("%s is in %s: %.300q", s.what, source, line[max(0, at-120):])
		}
	}
}
