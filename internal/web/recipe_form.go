package web

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/machineconfig/recipe"
)

// recipeField is a parameter of a recipe as a field of its form.
type recipeField struct {
	field
	Type     recipe.Type
	Secret   bool // what is typed is not written into a page again
	Choices  []recipe.Value
	Versions string // that know it, "" for all
	Problem  string // why what was typed will not do, and what to write
}

// recipeForm names the form of a recipe; recipeFieldPrefix its fields for parameters.
const (
	recipeForm        = "recipe"
	recipeFieldPrefix = "p_"
)

// recipeFields are the fields for the parameters; example fills them in.
func recipeFields(r recipe.Recipe, example bool) []recipeField {
	fields := make([]recipeField, 0, len(r.Parameters))
	for _, p := range r.Parameters {
		f := recipeField{
			field: field{Form: recipeForm, Name: recipeFieldPrefix + p.Name, Label: parameterLabel(p.Name), Value: flat(p.Default), Required: p.Required && !p.Secret},
			Type:  p.Type, Secret: p.Secret, Choices: p.Values,
		}
		if p.Span != (recipe.Span{}) {
			f.Versions = p.Span.String()
		}
		if v, there := r.Example[p.Name]; there && example && !p.Secret {
			f.Value = flat(v)
		}
		f.Hint = parameterHint(p)
		fields = append(fields, f)
	}
	return fields
}

// abbreviations are the words of parameters that are not written small.
var abbreviations = map[string]string{
	"mtu": "MTU", "ca": "CA", "kms": "KMS", "tpm": "TPM", "wwid": "WWID", "wwids": "WWIDs", "url": "URL", "ipv6": "IPv6", "mac": "MAC address", "vlan": "VLAN", "dhcp": "DHCP",
	"cpus": "CPUs", "md": "md", "uuid": "UUID", "nvidia": "NVIDIA", "kubernetes": "Kubernetes", "uvm": "UVM", "drm": "DRM",
}

// parameterLabel makes words of a parameter's name.
func parameterLabel(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
	for i, w := range words {
		if known := abbreviations[w]; known != "" {
			words[i] = known
		}
	}
	return upper(strings.Join(words, " "))
}

// parameterHint is what there is to say of a parameter under its field.
func parameterHint(p recipe.Parameter) string {
	hint := oneLine(p.Help)
	switch p.Type {
	case recipe.TypeList:
		hint += " One a line."
	case recipe.TypeMap:
		hint += " One a line, as key=value."
	}
	if value := flat(p.Default); value != "" && p.Type != recipe.TypeBool && p.Type != recipe.TypeEnum && !strings.Contains(value, "\n") {
		hint += " Empty: " + value + "."
	}
	return hint
}

// flat writes a value as a field has it: lists and maps one entry a line.
func flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		lines := make([]string, len(v))
		for i, e := range v {
			lines[i] = flat(e)
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		var lines []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, key+"="+flat(v[key]))
		}
		return strings.Join(lines, "\n")
	}
	return fmt.Sprint(v)
}

// recipeParams reads the parameters of a form. What stands at its default is left out: it may be one that the version
// does not know.
func recipeParams(r recipe.Recipe, form url.Values) recipe.Params {
	params := recipe.Params{}
	for _, p := range r.Parameters {
		value, standing := strings.ReplaceAll(form.Get(recipeFieldPrefix+p.Name), "\r\n", "\n"), flat(p.Default)
		if p.Type == recipe.TypeBool {
			value, standing = yesNo(value == "true"), yesNo(standing == "true")
		}
		if strings.TrimSpace(value) != "" && value != standing {
			params[p.Name] = value
		}
	}
	return params
}

func yesNo(yes bool) string {
	if yes {
		return "true"
	}
	return "false"
}

// forgetSecrets takes the secrets out of a form, which is shown again.
func forgetSecrets(r recipe.Recipe, form url.Values) {
	for _, p := range r.Parameters {
		if p.Secret {
			form.Del(recipeFieldPrefix + p.Name)
		}
	}
}

// markProblems puts what is wrong with parameters beside their fields.
func markProblems(fields []recipeField, problems []recipe.Problem) {
	for _, p := range problems {
		for i := range fields {
			if fields[i].Name == recipeFieldPrefix+p.Parameter {
				fields[i].Problem = strings.TrimSuffix(upper(p.Text), ".")
				if p.Write != "" {
					fields[i].Problem += ": " + p.Write
				}
			}
		}
	}
}

// ticked says whether a box of a form is ticked; of a refused form, as it was.
func ticked(ctx context.Context, form, name string, standing bool) bool {
	return typed(ctx, form, name, yesNo(standing)) == "true"
}

// recipeNumber makes an id of a place in a list.
func recipeNumber(i int) string { return fmt.Sprint(i + 1) }
