package recipe

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Type says what a parameter holds, and what its template sees.
type Type string

// The types. Where not said otherwise a template sees a string, "" where nothing was given.
const (
	TypeString       Type = "string"       // one line
	TypeText         Type = "text"         // several lines
	TypeSecret       Type = "secret"       // one line that is never shown; ${ in it means itself
	TypeInt          Type = "int"          // digits, or one ${variable}
	TypeBool         Type = "bool"         // a template sees a bool
	TypeEnum         Type = "enum"         // one of Values
	TypeList         Type = "list"         // of Of; a template sees []string
	TypeMap          Type = "map"          // keys like Key, values of Of; a template sees []Pair by key
	TypeAddress      Type = "address"      // IP address
	TypePrefix       Type = "prefix"       // IP address with prefix length
	TypeURL          Type = "url"          // with one of Schemes
	TypeCertificates Type = "certificates" // PEM
	TypeMAC          Type = "mac"          // hardware address
	TypeDisk         Type = "disk"         // expression of Talos' (CEL) that matches disks
	TypeMember       Type = "member"       // expression that matches disks and volumes for an array
)

// Parameter is what somebody may say about how a recipe is to be made.
type Parameter struct {
	Name     string   `json:"name"`
	Type     Type     `json:"type"`
	Of       Type     `json:"of,omitempty"` // of the elements of a list and the values of a map; string where it says nothing
	Help     string   `json:"help"`
	Default  any      `json:"default,omitempty"`
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"`  // what it holds is never shown
	Values   []Value  `json:"values,omitempty"`  // of an enum
	Min      *int     `json:"min,omitempty"`     // of an int
	Max      *int     `json:"max,omitempty"`     // of an int
	Pattern  string   `json:"pattern,omitempty"` // which a string, a list's elements and a map's values match as a whole
	Write    string   `json:"write,omitempty"`   // the words for Pattern: "write a host name, with :port where it is not 443"
	Key      string   `json:"key,omitempty"`     // which a map's keys match as a whole
	Schemes  []string `json:"schemes,omitempty"`
	Port     bool     `json:"port,omitempty"` // the URL needs a port and has no path
	Span     `yaml:",inline"`

	pattern, key *regexp.Regexp
}

// Value is one that an enum can have.
type Value struct {
	Value string `json:"value"`
	Help  string `json:"help"`
	Span  `yaml:",inline"`
}

// Pair is an entry of a map.
type Pair struct{ Key, Value string }

var types = []Type{TypeString, TypeText, TypeSecret, TypeInt, TypeBool, TypeEnum, TypeList, TypeMap, TypeAddress, TypePrefix, TypeURL, TypeCertificates, TypeMAC, TypeDisk, TypeMember}

// prepare checks what the author of a recipe wrote.
func (p *Parameter) prepare() (err error) {
	if !dnsLabel.MatchString(p.Name) && !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(p.Name) {
		return fmt.Errorf("its name is not of a-z, 0-9 and _")
	}
	p.Secret = p.Secret || p.Type == TypeSecret
	if (p.Type == TypeList || p.Type == TypeMap) && p.Of == "" {
		p.Of = TypeString
	}
	switch {
	case !slices.Contains(types, p.Type):
		return fmt.Errorf("no such type: %q", p.Type)
	case p.Help == "":
		return fmt.Errorf("it has no help")
	case (p.Type == TypeEnum) != (len(p.Values) > 0):
		return fmt.Errorf("values are for an enum, and an enum needs them")
	case p.Type == TypeURL && len(p.Schemes) == 0 || p.Of == TypeURL && len(p.Schemes) == 0:
		return fmt.Errorf("a URL needs schemes")
	case p.Pattern != "" && p.Write == "":
		return fmt.Errorf("a pattern needs the words for it")
	}
	if p.pattern, err = regexp.Compile(`^(?:` + p.Pattern + `)$`); err != nil {
		return err
	}
	if p.key, err = regexp.Compile(`^(?:` + p.Key + `)$`); err != nil {
		return err
	}
	return p.check()
}

// read takes the parameter's value on a Talos minor, or its default.
func (p *Parameter) read(minor int, params Params) (any, *Problem) {
	given, ok := params[p.Name]
	if ok && !p.has(minor) && !empty(given) {
		return nil, p.wrong(fmt.Sprintf("it is for %s, not for Talos 1.%d", p.Span, minor), "leave it out")
	}
	if !ok || empty(given) {
		given = p.Default
		if p.Required && given == nil && p.has(minor) {
			return p.zero(), p.wrong("it is missing", p.instead())
		}
	}
	if given == nil || !p.has(minor) {
		return p.zero(), nil
	}
	return p.value(minor, given)
}

func empty(v any) bool {
	s, ok := v.(string)
	return v == nil || ok && strings.TrimSpace(s) == ""
}

func (p *Parameter) zero() any {
	switch p.Type {
	case TypeBool:
		return false
	case TypeList:
		return []string(nil)
	case TypeMap:
		return []Pair(nil)
	}
	return ""
}

func (p *Parameter) value(minor int, given any) (any, *Problem) {
	switch p.Type {
	case TypeBool:
		switch s := strings.ToLower(fmt.Sprint(given)); s {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		default:
			return nil, p.wrong(fmt.Sprintf("%s is neither true nor false", p.say(s)), p.instead())
		}
	case TypeList:
		return p.list(given)
	case TypeMap:
		return p.pairs(given)
	}
	s, ok := scalar(given)
	if !ok {
		return nil, p.wrong("it is one value, not a list or a map", p.instead())
	}
	if p.Type == TypeEnum {
		return p.enum(minor, s)
	}
	return p.one(p.Type, s)
}

// one checks a scalar against a type and the parameter's pattern.
func (p *Parameter) one(as Type, s string) (any, *Problem) {
	s, why := p.tidy(as, s)
	if why == "" && p.Pattern != "" && !p.pattern.MatchString(variable.ReplaceAllString(s, "x1")) {
		why = "it has a form that is not understood"
	}
	if why != "" {
		return nil, p.wrong(p.say(s)+": "+why, p.instead())
	}
	if p.Type == TypeSecret {
		s = strings.ReplaceAll(s, "${", "$${")
	}
	return s, nil
}

func (p *Parameter) enum(minor int, s string) (any, *Problem) {
	var names []string
	for _, v := range p.Values {
		if v.Value == s && !v.has(minor) {
			return nil, p.wrong(fmt.Sprintf("%q is for %s, not for Talos 1.%d", s, v.Span, minor), "write "+p.values(minor))
		}
		if v.has(minor) {
			names = append(names, v.Value)
		}
	}
	if slices.Contains(names, s) {
		return s, nil
	}
	return nil, p.wrong(p.say(s)+": it is none of the values it can have", "write "+p.values(minor))
}

// values are those an enum can have on a minor, in words.
func (p *Parameter) values(minor int) string {
	var names []string
	for _, v := range p.Values {
		if v.has(minor) {
			names = append(names, v.Value)
		}
	}
	return strings.Join(names, " or ")
}

// list reads a list, or a string with one element a line or separated by commas.
func (p *Parameter) list(given any) (any, *Problem) {
	parts, ok := elements(given)
	if !ok {
		return nil, p.wrong("it is a list", p.instead())
	}
	var out []string
	for _, part := range parts {
		v, problem := p.one(p.Of, part)
		if problem != nil {
			return nil, problem
		}
		out = append(out, v.(string))
	}
	if p.Required && len(out) == 0 {
		return nil, p.wrong("it is empty", p.instead())
	}
	return out, nil
}

// pairs reads a map, or entries written as key=value.
func (p *Parameter) pairs(given any) (any, *Problem) {
	entries, problem := p.entries(given)
	if problem != nil {
		return nil, problem
	}
	var out []Pair
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if line(key) != "" || key == "" || p.Key != "" && !p.key.MatchString(key) {
			return nil, p.wrong(fmt.Sprintf("the key %q has a form that is not understood", key), p.instead())
		}
		v, problem := p.one(p.Of, entries[key])
		if problem != nil {
			problem.Text = key + ": " + problem.Text
			return nil, problem
		}
		out = append(out, Pair{Key: key, Value: v.(string)})
	}
	if p.Required && len(out) == 0 {
		return nil, p.wrong("it is empty", p.instead())
	}
	return out, nil
}

func (p *Parameter) entries(given any) (map[string]string, *Problem) {
	out := map[string]string{}
	switch m := given.(type) {
	case map[string]string:
		maps.Copy(out, m)
		return out, nil
	case map[string]any:
		for key, v := range m {
			s, ok := scalar(v)
			if !ok && v != nil {
				return nil, p.wrong(fmt.Sprintf("the value of %q is no single value", key), p.instead())
			}
			out[key] = s
		}
		return out, nil
	}
	parts, ok := elements(given)
	if !ok {
		return nil, p.wrong("it is a map", p.instead())
	}
	for _, part := range parts {
		key, value, found := strings.Cut(part, "=")
		if key = strings.TrimSpace(key); !found {
			return nil, p.wrong(p.say(part)+" is no key=value", p.instead())
		}
		if _, twice := out[key]; twice {
			return nil, p.wrong(fmt.Sprintf("the key %q is there twice", key), p.instead())
		}
		out[key] = strings.TrimSpace(value)
	}
	return out, nil
}

// elements splits at line ends where there are any, else at commas, and leaves out what is empty.
func elements(given any) ([]string, bool) {
	var parts []string
	switch v := given.(type) {
	case string:
		separator := ","
		if strings.Contains(strings.TrimSpace(v), "\n") {
			separator = "\n"
		}
		parts = strings.Split(v, separator)
	case []string:
		parts = v
	case []any:
		for _, e := range v {
			s, ok := scalar(e)
			if !ok {
				return nil, false
			}
			parts = append(parts, s)
		}
	default:
		s, ok := scalar(given)
		if !ok {
			return nil, false
		}
		parts = []string{s}
	}
	var out []string
	for _, part := range parts {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out, true
}

// scalar is the text of a single value of YAML or JSON. Whole numbers stay whole: JSON makes 1320 a float.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64, json.Number:
		return fmt.Sprint(v), true
	case float64:
		return strings.TrimSuffix(fmt.Sprintf("%.6f", v), ".000000"), true
	}
	return "", false
}

// masked gives the values with every secret replaced: empty ones stay empty, so that templates take the same way.
func (r *Recipe) masked(values map[string]any) map[string]any {
	out := maps.Clone(values)
	for _, p := range r.Parameters {
		if !p.Secret {
			continue
		}
		switch v := out[p.Name].(type) {
		case string:
			if v != "" {
				out[p.Name] = Masked
			}
		case []string:
			out[p.Name] = slices.Repeat([]string{Masked}, len(v))
		case []Pair:
			list := slices.Clone(v)
			for i := range list {
				list[i].Value = Masked
			}
			out[p.Name] = list
		}
	}
	return out
}
