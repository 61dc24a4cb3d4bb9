package diff

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
)

// held is a value of a change before secrets are taken out of it.
type held struct {
	shape *shape
	value *value
}

func hold(s *shape, v *value) any {
	if v.isNull() {
		return nil
	}
	return held{s, v}
}

// mask takes secrets out of what leaves the package: fields that are secrets as a whole, and any of them wherever else
// they stand.
type mask struct {
	key      []byte
	redactor *Redactor
}

func newMask(key []byte, sides ...[]document) *mask {
	var c collector
	for _, docs := range sides {
		for _, d := range docs {
			c.document(d)
		}
	}
	return &mask{key, newRedactor(c.found)}
}

// diff masks every text of a diff.
func (m *mask) diff(d *Diff) {
	for i := range d.Documents {
		doc := &d.Documents[i]
		doc.Kind, doc.APIVersion, doc.Name = m.text(doc.Kind), m.text(doc.APIVersion), m.text(doc.Name)
		for j := range doc.Changes {
			m.change(&doc.Changes[j])
		}
	}
	for i, unit := range d.V1Alpha1 {
		d.V1Alpha1[i] = m.text(unit)
	}
}

func (m *mask) change(c *Change) {
	c.Path, c.Field = m.text(c.Path), m.text(c.Field)
	before, after := c.Old, c.New
	c.Old, c.New = m.value(before), m.value(after)
	c.Secret = isMasked(c.Old) || isMasked(c.New)
	if c.Op != Changed || c.Secret || !reflect.DeepEqual(c.Old, c.New) {
		return
	}
	// all that differs is a secret within
	c.Secret, c.Old, c.New = true, m.print(before), m.print(after)
}

func isMasked(v any) bool {
	text, ok := v.(string)
	return ok && strings.HasPrefix(text, strings.TrimSuffix(Secret, "]")) && strings.HasSuffix(text, "]")
}

func (m *mask) text(s string) string { return m.redactor.String(s) }

// value makes a held value plain, without secrets.
func (m *mask) value(v any) any {
	switch v := v.(type) {
	case held:
		return m.shaped(v.shape, "", v.value)
	case []any:
		for i, item := range v {
			v[i] = m.value(item)
		}
	case string:
		return m.text(v)
	}
	return v
}

func (m *mask) shaped(s *shape, name string, v *value) any {
	switch {
	case v.isNull():
		return nil
	case s != nil && s.secret && v.nature == scalar && v.text() == "":
		return ""
	case s != nil && s.secret:
		return m.fingerprint(v.plain())
	case v.nature == list:
		out := make([]any, len(v.items))
		for i, item := range v.items {
			out[i] = m.shaped(s.field(""), name, item)
		}
		return out
	case v.nature == dict:
		out := make(map[string]any, len(v.dict))
		for key, item := range v.dict {
			out[m.text(key)] = m.shaped(s.field(key), key, item)
		}
		return out
	}
	plain := v.plain()
	if s.plain() && suspect(name) && !worthless[strings.ToLower(v.text())] {
		return m.fingerprint(plain)
	}
	if text, ok := plain.(string); ok {
		return m.text(text)
	}
	if m.text(v.text()) != v.text() {
		return m.fingerprint(plain) // a number that is a secret
	}
	return plain
}

// print is a fingerprint of a value before it was masked.
func (m *mask) print(v any) any {
	if h, ok := v.(held); ok {
		return m.fingerprint(h.value.plain())
	}
	return Secret
}

// fingerprint stands for a secret: without a key it says no more than that there is one.
func (m *mask) fingerprint(v any) string {
	if len(m.key) == 0 {
		return Secret
	}
	mac := hmac.New(sha256.New, m.key)
	text, _ := json.Marshal(v) // plain values always can be; maps in the order of their keys
	mac.Write(text)
	return strings.TrimSuffix(Secret, "]") + " " + hex.EncodeToString(mac.Sum(nil)[:4]) + "]"
}
