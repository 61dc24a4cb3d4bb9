package diff

import (
	"encoding/base64"
	"strings"

	"go.yaml.in/yaml/v4"
)

// collector gathers the secrets of configs.
type collector struct {
	seen  map[string]bool
	found []string
}

func (c *collector) add(secret string) {
	secret = strings.TrimSpace(secret)
	if worthless[strings.ToLower(secret)] || c.seen[secret] {
		return
	}
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	c.seen[secret] = true
	c.found = append(c.found, secret)
}

// worthless is what stands where a secret might: nothing, or one that was taken out already.
var worthless = map[string]bool{
	"": true, "null": true, "true": true, "false": true, "~": true, "|": true, ">": true, "|-": true, ">-": true, "{}": true, "[]": true,
	"redacted": true, "******": true, "** redacted **": true, "[redacted]": true, strings.ToLower(Secret): true,
}

// document gathers from one document, of any kind.
func (c *collector) document(d document) { c.value(shapes()[d.kind], "", d.root) }

// value gathers from a value that is called name.
func (c *collector) value(s *shape, name string, v *value) {
	if v.isNull() {
		return
	}
	switch v.nature {
	case list:
		for _, item := range v.items {
			c.value(s.field(""), name, item)
		}
	case dict:
		c.registry(v)
		if suspect(v.get("name").text()) {
			c.add(v.get("value").text()) // the environment of a container
		}
		for _, key := range v.keys {
			c.value(s.field(key), key, v.dict[key])
		}
	case scalar:
		c.text(s, name, v.text())
	}
}

func (c *collector) text(s *shape, name, text string) {
	if s != nil && s.secret || s.plain() && suspect(name) {
		c.add(text)
		return
	}
	formed(text, c.add)
	if variable, value, ok := strings.Cut(text, "="); ok && suspect(strings.TrimLeft(variable, "-")) && !strings.ContainsAny(variable, " \n") {
		c.add(value)
	}
	if strings.Contains(text, "\n") {
		assigned(text, c.add)
		if secretManifest.MatchString(text) {
			c.manifests(text)
		}
	}
}

// registry gathers what a user and password become in a header.
func (c *collector) registry(v *value) {
	user, password := v.get("username").text(), v.get("password").text()
	if user != "" && password != "" {
		c.add(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
	}
}

// manifests gathers the data of Kubernetes Secrets in an inline manifest.
func (c *collector) manifests(text string) {
	reader := yaml.NewDecoder(strings.NewReader(text))
	for {
		var manifest struct {
			Kind       string         `yaml:"kind"`
			Data       map[string]any `yaml:"data"`
			StringData map[string]any `yaml:"stringData"`
		}
		if err := reader.Decode(&manifest); err != nil {
			return
		}
		if manifest.Kind != "Secret" {
			continue
		}
		for _, data := range []map[string]any{manifest.Data, manifest.StringData} {
			for _, item := range data {
				if text, ok := item.(string); ok {
					c.add(text)
				}
			}
		}
	}
}
