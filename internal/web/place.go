package web

import (
	"context"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

// Errors name a patch and a place in it so: `config base, patch "all": line 5, column 14: machine.network…: …`
// (internal/machineconfig says it, internal/manage keeps it).
var placeOfError = regexp.MustCompile(`(?:([Cc]onfig|[Cc]luster|[Ss]erver|[Rr]ole) ([^\s,;:"]+)(?: of ([^\s,;:"]+))?, )?patch "([^"]+)": line (\d+)(?:, column (\d+))?`)

// patchPlace is a line of a patch that an error names.
type patchPlace struct {
	Layer        manage.LayerRef // its owner by name; zero if the error does not say
	Patch        string
	Line, Column int // from 1
	from, to     int // where in the text it stands
}

// placesIn finds the places that a text names.
func placesIn(text string) (all []patchPlace) {
	for _, m := range placeOfError.FindAllStringSubmatchIndex(text, -1) {
		group := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return text[m[2*i]:m[2*i+1]]
		}
		p := patchPlace{Patch: group(4), Column: 1, from: m[0], to: m[1]}
		p.Line, _ = strconv.Atoi(group(5))
		if column := group(6); column != "" {
			p.Column, _ = strconv.Atoi(column)
		}
		p.Layer = manage.LayerRef{Scope: fleet.Scope(strings.ToLower(group(1))), Owner: group(2)}
		if p.Layer.Scope == fleet.ScopeRole {
			p.Layer.Owner, p.Layer.Role = group(3), fleet.Role(group(2))
		}
		if p.Layer.Owner == "" {
			p.Layer = manage.LayerRef{}
		}
		all = append(all, p)
	}
	return all
}

// href leads to the line in the editor; "" where nobody knows whose patch it is.
func (p patchPlace) href() string {
	if p.Layer.Owner == "" {
		return ""
	}
	return layerPage(p.Layer, "/edit", url.Values{"patch": {p.Patch}, "line": {strconv.Itoa(p.Line)}})
}

// isOf says whether the place is in this patch of a layer. Errors about a single server do not say whose patch it is.
func (p patchPlace) isOf(layer manage.LayerRef, patch string) bool {
	return p.Patch == patch && (p.Layer.Owner == "" || p.Layer == layer)
}

// editedPatch is the patch that a page is the editor of.
type editedPatch struct {
	Layer manage.LayerRef // its owner by name
	Name  string          // as it stands in the form
}

// patchOf is a patch of the layer, as errors name it.
func (h configHead) patchOf(name string) editedPatch {
	return editedPatch{Layer: manage.LayerRef{Scope: h.Ref.Scope, Owner: h.Name, Role: h.Ref.Role}, Name: name}
}

type editedKey struct{}

func editedFrom(ctx context.Context) editedPatch {
	e, _ := ctx.Value(editedKey{}).(editedPatch)
	return e
}

// placedSpan is a piece of a text; Href leads to the line that it names.
type placedSpan struct{ Text, Href string }

// spansOf cuts a text at the places that it names. Of the patch that is edited on this page, they are on this page.
func spansOf(ctx context.Context, text string) (all []placedSpan) {
	edited, end := editedFrom(ctx), 0
	for _, p := range placesIn(text) {
		href := p.href()
		if edited.Name != "" && p.isOf(edited.Layer, edited.Name) {
			href = "#patch-line"
		}
		if href != "" {
			all = append(all, placedSpan{text[end:p.from], ""}, placedSpan{text[p.from:p.to], href})
			end = p.to
		}
	}
	return append(all, placedSpan{text[end:], ""})
}
