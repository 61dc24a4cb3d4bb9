package imagefactory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/image-factory/pkg/schematic"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Vanilla is the id of the schematic that customizes nothing; every factory knows it.
const Vanilla = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

// Check refuses a schematic that is not one, has unknown fields, or would publish a secret. Empty YAML is the
// vanilla schematic.
func (c *Client) Check(yaml string) error {
	_, err := read(yaml)
	return err
}

// SchematicID computes the id of a schematic. The factory serves it only once it was created there.
func (c *Client) SchematicID(yaml string) (string, error) {
	s, err := read(yaml)
	if err != nil {
		return "", err
	}
	return s.ID()
}

// WithKernelArg is the schematic with one more kernel argument, name=value. It takes the place of all that the
// schematic has of this name: where a machine gets its config from is not the schematic's to say.
func (c *Client) WithKernelArg(yaml, arg string) (string, error) {
	s, err := read(yaml)
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(arg, "=")
	args := slices.DeleteFunc(s.Customization.ExtraKernelArgs, func(have string) bool {
		return have == name || strings.HasPrefix(have, name+"=")
	})
	s.Customization.ExtraKernelArgs = append(args, arg)
	out, err := s.Marshal()
	return string(out), err
}

// read is strict: one document, known fields, no secrets.
func read(text string) (*schematic.Schematic, error) {
	invalid := func(format string, args ...any) error {
		return fleet.Errorf(fleet.Invalid, "schematic: "+format, args...).
			WithHint("see https://docs.siderolabs.com/talos/latest/platform-specific-installations/boot-assets for what a schematic may say")
	}
	if blank(text) {
		return &schematic.Schematic{}, nil
	}
	s, err := schematic.Unmarshal([]byte(text))
	if err != nil {
		return nil, invalid("%w", err)
	}
	// The factory's reader stops after the first document and loses the rest.
	documents := yaml.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		err := documents.Decode(&yaml.Node{})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid("%w", err)
		}
		if n == 1 {
			return nil, invalid("more than one YAML document")
		}
	}
	if what := secret(s); what != "" {
		return nil, fleet.Errorf(fleet.Refused, "schematic: %s looks like a secret", what).
			WithHint("whoever knows its id can read a schematic: put secrets into the machine config instead")
	}
	return s, nil
}

// blank says whether there is nothing but comments.
func blank(text string) bool {
	var v any
	err := yaml.NewDecoder(bytes.NewReader([]byte(text))).Decode(&v)
	return errors.Is(err, io.EOF) || (err == nil && v == nil)
}

// secretForms are what secrets look like: keys in PEM, name=value of a telling name, tokens with a known prefix,
// a password in a URL, and whole machine configs.
const secretForms = `-----BEGIN [A-Z ]*PRIVATE KEY` +
	`|(?i:(password|passwd|secret|token|auth_?key|private_?key|api_?key)["']?\s*[=:]\s*["']?[^\s"'$])` +
	`|\b(tskey-|ghp_|github_pat_|glpat-|xox[bp]-|AKIA[0-9A-Z]{16})` +
	`|://[^/\s:@]*:[^/\s@]+@` +
	`|^talos\.config\.(inline|early)=`

// secret names the first value that looks like a secret, "" if none does.
func secret(s *schematic.Schematic) string {
	form := regexp.MustCompile(secretForms)
	for i, arg := range s.Customization.ExtraKernelArgs {
		if form.MatchString(arg) {
			name, _, _ := strings.Cut(arg, "=")
			return fmt.Sprintf("extraKernelArgs[%d], %s,", i, name)
		}
	}
	for _, m := range s.Customization.Meta {
		if form.MatchString(m.Value) {
			return fmt.Sprintf("meta key %#x", m.Key)
		}
	}
	for name, value := range s.Overlay.Options {
		if form.MatchString(name + "=" + fmt.Sprint(value)) {
			return "overlay option " + name
		}
	}
	return ""
}
