package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// What the editor asks as one types: the form as it is, as text; it is answered in JSON.

// answerJSON sends what the editor asked for.
func answerJSON(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // whoever is gone needs no answer
	return nil
}

// completions are what can be written at a place.
type completions struct {
	From  int          `json:"from"` // column, from 1, where what is replaced begins
	Items []completion `json:"items"`
}

type completion struct {
	Label  string     `json:"label"`
	Insert string     `json:"insert"`
	Detail string     `json:"detail"`
	Kind   string     `json:"kind"` // property, value or variable
	About  *fieldInfo `json:"about,omitempty"`
}

// fieldInfo explains a field or kind.
type fieldInfo struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Notes       []string `json:"notes"` // "Required.", "Since Talos v1.12."
	Description []string `json:"description"`
	Values      []string `json:"values"`
	Examples    []string `json:"examples"`
}

func infoOf(i schema.Info) *fieldInfo {
	out := fieldInfo{Title: cmp.Or(i.Path, i.Kind), Type: i.Type, Values: i.Values, Examples: i.Examples}
	if i.Required {
		out.Notes = append(out.Notes, "Required.")
	}
	if i.Since != "" {
		out.Notes = append(out.Notes, "Known since Talos "+i.Since+".")
	}
	if i.Until != "" {
		out.Notes = append(out.Notes, "Known until Talos "+i.Until+".")
	}
	if i.Deprecated != "" {
		out.Notes = append(out.Notes, "Deprecated since Talos "+i.Deprecated+".")
	}
	if i.Instead != "" {
		out.Notes = append(out.Notes, "Instead: "+i.Instead)
	}
	for line := range strings.SplitSeq(i.Description, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out.Description = append(out.Description, line)
		}
	}
	return &out
}

// editorPlace is where the cursor is.
type editorPlace struct {
	text         string
	line, column int    // from 1, in characters
	before       string // the line up to the cursor
	version      string // of Talos: the oldest that the patch is for
}

func (s *site) editorPlace(r *http.Request) (editorPlace, error) {
	p := editorPlace{text: plainText(r.PostFormValue("text"))}
	var err, wrong error
	p.line, err = strconv.Atoi(r.PostFormValue("line"))
	p.column, wrong = strconv.Atoi(r.PostFormValue("column"))
	lines := strings.Split(p.text, "\n")
	if err != nil || wrong != nil || p.line < 1 || p.line > len(lines) {
		return p, fleet.Errorf(fleet.Invalid, "line %q, column %q: the text has no such place", r.PostFormValue("line"), r.PostFormValue("column"))
	}
	line := []rune(lines[p.line-1])
	p.before = string(line[:max(0, min(p.column-1, len(line)))])
	versions, err := s.Manager.TalosVersions(r.Context(), layerRef(r))
	if err == nil {
		p.version = versions[0]
		err = manage.CheckLintable(p.version)
	}
	return p, err
}

var (
	wordBefore     = regexp.MustCompile(`["']?[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	variableBefore = regexp.MustCompile(`\$\{[a-z0-9_.-]*$`)
)

// completeConfig lists what can be written at the cursor.
func (s *site) completeConfig(w http.ResponseWriter, r *http.Request) error {
	p, err := s.editorPlace(r)
	if err != nil {
		return err
	}
	if word := variableBefore.FindString(p.before); word != "" {
		items, err := s.completeVariable(r, word)
		if err != nil {
			return err
		}
		return answerJSON(w, completions{From: p.column - utf8.RuneCountInString(word), Items: items})
	}
	out := completions{From: p.column - utf8.RuneCountInString(wordBefore.FindString(p.before)), Items: []completion{}}
	for _, i := range schema.Complete([]byte(p.text), p.line, p.column, p.version) {
		kind := "value"
		if strings.HasPrefix(i.Insert, i.Label+":") {
			kind = "property"
		}
		out.Items = append(out.Items, completion{Label: i.Label, Insert: i.Insert, Detail: i.Info.Type, Kind: kind, About: infoOf(i.Info)})
	}
	return answerJSON(w, out)
}

// completeVariable lists the variables whose names begin so: the built-in ones, and own ones of the layer and of a
// server that uses it.
func (s *site) completeVariable(r *http.Request, word string) ([]completion, error) {
	var all []manage.VariableValue
	for _, v := range machineconfig.BuiltInVariables() {
		all = append(all, manage.VariableValue{Name: v.Name, Means: v.Means})
	}
	h, err := s.layer(r.Context(), layerRef(r), "/edit")
	if err != nil {
		return nil, err
	}
	if d := (configEditData{configHead: h}); h.Users > 0 {
		if s.exampleValues(r.Context(), &d); d.Variables != nil {
			all = d.Variables
		}
	}
	for name, value := range h.Layer.Variables {
		if !slices.ContainsFunc(all, func(v manage.VariableValue) bool { return v.Name == name }) {
			all = append(all, manage.VariableValue{Name: name, Value: value, By: h.what()})
		}
	}
	out := []completion{}
	for _, v := range all {
		if strings.HasPrefix("${"+v.Name, word) {
			out = append(out, completion{Label: "${" + v.Name + "}", Insert: "${" + v.Name + "}", Detail: cmp.Or(v.Value, v.Means, v.By), Kind: "variable"})
		}
	}
	return out, nil
}

// hoverConfig explains what stands under the pointer.
func (s *site) hoverConfig(w http.ResponseWriter, r *http.Request) error {
	p, err := s.editorPlace(r)
	if err != nil {
		return err
	}
	out := struct {
		About *fieldInfo `json:"about"`
	}{}
	if info, there := schema.Hover([]byte(p.text), p.line, p.column, p.version); there {
		out.About = infoOf(info)
	}
	return answerJSON(w, out)
}

// problem is something wrong with what is typed.
type problem struct {
	Line     int    `json:"line"` // from 1; 0: of no line
	Column   int    `json:"column"`
	Severity string `json:"severity"` // error or warning
	Message  string `json:"message"`
	Instead  string `json:"instead"` // what to write, "" where nothing is known
	Servers  string `json:"servers"` // that it would break; "" for a finding about the text alone
	Patch    string `json:"patch"`   // another patch that it shows in
	Where    string `json:"where"`   // the place in that, in words
	Href     string `json:"href"`    // leads there; "" if nobody knows whose patch it is
}

// checkConfig says what is wrong with what is typed: of the text alone, and on every server that would get it.
func (s *site) checkConfig(w http.ResponseWriter, r *http.Request) error {
	c, err := s.changeFrom(r)
	if err != nil {
		return err
	}
	out := struct {
		Problems []problem `json:"problems"`
	}{Problems: []problem{}}
	if strings.TrimSpace(c.text("text")) == "" {
		return answerJSON(w, out)
	}
	if c.value("name") == "" {
		c.form.Set("name", "unnamed") // it is named before it is saved
	}
	found, err := s.refusals(r.Context(), c)
	if err != nil {
		return err
	}
	lint, err := s.findings(r.Context(), c)
	if err != nil {
		return err
	}
	for _, f := range lint {
		said := slices.ContainsFunc(found, func(p problem) bool { return p.Patch == "" && p.Line == f.Line && f.Severity == string(schema.Error) })
		if !said {
			out.Problems = append(out.Problems, f)
		}
	}
	out.Problems = append(out.Problems, found...)
	slices.SortStableFunc(out.Problems, func(a, b problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return answerJSON(w, out)
}

// findings are what Talos of the versions that the patch is for would make of the text by itself.
func (s *site) findings(ctx context.Context, c configChange) ([]problem, error) {
	versions, err := s.Manager.TalosVersions(ctx, c.ref)
	if err != nil {
		return nil, err
	}
	var out []problem
	for _, version := range versions {
		found, err := manage.Lint(c.text("text"), version, "")
		if err != nil {
			continue // of a version whose fields are not known, the validator says what it can
		}
		for _, f := range found {
			p := problem{Line: f.Line, Column: f.Column, Severity: string(f.Severity), Message: f.Message, Instead: f.Instead}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// refusals are why the change would not be saved: which servers it would break, and where.
func (s *site) refusals(ctx context.Context, c configChange) ([]problem, error) {
	contents, err := s.contentsAfter(ctx, c)
	if err == nil {
		err = s.Manager.CheckLayer(ctx, c.ref, contents)
	}
	if err == nil {
		return nil, nil
	}
	if fleet.KindOf(err) == fleet.Internal {
		return nil, err
	}
	h := configHead{Ref: c.ref}
	if err := s.nameLayer(ctx, &h); err != nil {
		return nil, err
	}
	edited := h.patchOf(c.value("name"))
	broken, several := errors.AsType[*manage.Breaks](err)
	if !several {
		return []problem{problemOf(err.Error(), fleet.HintOf(err), "", edited)}, nil
	}
	var out []problem
	for _, g := range broken.Groups {
		out = append(out, problemOf(g.Reason, g.Hint, some(g.Servers, planNames), edited))
	}
	return out, nil
}

// problemOf finds the place that an error names.
func problemOf(text, hint, servers string, edited editedPatch) problem {
	p := problem{Severity: string(schema.Error), Message: upper(text), Instead: hint, Servers: servers}
	all := placesIn(text)
	if len(all) == 0 {
		return p
	}
	at := all[0]
	p.Message = strings.TrimPrefix(text[at.to:], ": ")
	if !at.isOf(edited.Layer, edited.Name) {
		p.Patch, p.Where, p.Href = at.Patch, upper(text[at.from:at.to]), at.href()
		return p
	}
	p.Line, p.Column = at.Line, at.Column
	return p
}
