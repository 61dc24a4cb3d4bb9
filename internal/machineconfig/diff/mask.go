package diff

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
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
// they stand. Each gets a label, by which one that differs is seen to.
type mask struct {
	key      []byte
	numbers  map[string]int // without a key: in the order in which they are met
	redactor *Redactor
}

func newMask(key []byte, sides ...[]document) *mask {
	var c collector
	for _, docs := range sides {
		for _, d := range docs {
			c.document(d)
		}
	}
	m := &mask{key: key, numbers: map[string]int{}}
	m.redactor = newRedactor(c.found, m.label)
	return m
}

// label stands for a secret: its number within the diff, or by the key its fingerprint.
func (m *mask) label(secret string) string {
	name := ""
	if len(m.key) > 0 {
		mac := hmac.New(sha256.New, m.key)
		mac.Write([]byte(strings.TrimSpace(secret)))
		name = hex.EncodeToString(mac.Sum(nil)[:4])
	} else {
		n, known := m.numbers[strings.TrimSpace(secret)]
		if !known {
			n = len(m.numbers) + 1
			m.numbers[strings.TrimSpace(secret)] = n
		}
		name = strconv.Itoa(n)
	}
	return labelled + name + "]"
}

// labelled is how a label begins.
const labelled = "[secret-"

func isLabel(s string) bool {
	return s == Secret || len(s) < 20 && strings.HasPrefix(s, labelled) && strings.HasSuffix(s, "]")
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
	c.Old, c.New = m.value(c.Old), m.value(c.New)
	c.Secret = isMasked(c.Old) || isMasked(c.New)
}

func isMasked(v any) bool {
	text, ok := v.(string)
	return ok && isLabel(text)
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
		return m.whole(v.plain())
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
		return m.whole(plain)
	}
	if text, ok := plain.(string); ok {
		return m.text(text)
	}
	if m.text(v.text()) != v.text() {
		return m.whole(plain) // a number that is a secret
	}
	return plain
}

// whole gives the label of a value that is a secret in all.
func (m *mask) whole(v any) string {
	if text, ok := v.(string); ok {
		return m.label(text)
	}
	text, _ := json.Marshal(v) // plain values always can be; maps in the order of their keys
	return m.label(string(text))
}
