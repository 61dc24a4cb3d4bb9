package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/talos-manager/talos-manager/internal/cli"
)

// What a page says does the same is tried with the real command line, and held against the API's own description.
func TestWhatDoesTheSameExists(t *testing.T) {
	l := newLab(t)
	l.populate(t)
	paths := l.paths(t)
	shell := newShell(t)
	api := l.description(t)
	commands, addresses := map[string]bool{}, map[string]bool{}
	for _, path := range paths {
		p := l.get(t, path, http.StatusOK)
		for _, box := range p.all(func(n *html.Node) bool { return strings.HasPrefix(attr(n, "id"), "as-") && n.Data == "pre" }) {
			text := textWithSpaces(box)
			said, problem := commands, shell.check
			if strings.HasPrefix(attr(box, "id"), "as-api-") {
				said, problem = addresses, api.check
			}
			if said[text] {
				continue
			}
			said[text] = true
			if err := problem(text); err != nil {
				t.Errorf("%s says %q: %v", path, text, err)
			}
		}
	}
	if len(commands) < 5 || len(addresses) < 5 {
		t.Errorf("only %d commands and %d addresses are said on %d pages", len(commands), len(addresses), len(paths))
	}
}

// Every page with records says how a shell does the same; pages of the browser alone need not.
func TestEveryPageSaysTheSameForAShell(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.populate(t)
	for _, path := range l.paths(t) {
		if p := l.get(t, path, http.StatusOK); p.byID("as-commands") == nil && p.path != "/login" {
			t.Errorf("%s does not", path)
		}
	}
}

func textWithSpaces(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(out.String())
}

// shell runs talos-manager against a manager that lets nobody in: what is written wrong fails before that, with exit code 2.
type shell struct {
	t   *testing.T
	url string
}

func newShell(t *testing.T) shell {
	t.Helper()
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"kind":"unauthorized","message":"nobody is let in"}`)
	}))
	t.Cleanup(closed.Close)
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	return shell{t, closed.URL}
}

var missingFile = regexp.MustCompile(`open ([^:]+): no such file`)

// check runs a command line; files that it reads are made, empty objects that they are.
func (s shell) check(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	if len(words) < 2 || words[0] != "talos-manager" {
		return fmt.Errorf("it is no command of talos-manager")
	}
	if words[1] == "serve" || words[1] == "demo" {
		return fmt.Errorf("it starts a manager")
	}
	args := words[1:]
	if i := slices.Index(args, "<"); i >= 0 {
		args = args[:i]
	}
	args = append(args, "--url", s.url, "--token", "tm_none")
	for range 3 {
		var out, said bytes.Buffer
		code := cli.Run("test", args, strings.NewReader("secret\n"), &out, &said)
		if file := missingFile.FindStringSubmatch(said.String()); code != 0 && file != nil {
			if err := os.WriteFile(file[1], []byte("{}\n"), 0o600); err != nil {
				return err
			}
			continue
		}
		if code == 2 {
			return fmt.Errorf("%s", said.String())
		}
		return nil
	}
	return fmt.Errorf("it reads ever more files")
}

// split takes a command line apart as a shell does, as far as our pages go: words, single and double quotes.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		case strings.ContainsRune("$`\\;&|()*?#~\n", r):
			return nil, fmt.Errorf("a shell would not take %q for itself", r)
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is open")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// description is the OpenAPI document, as far as it is asked.
type description struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			In, Name string
			Required bool
		}
		RequestBody *struct {
			Required bool
			Content  map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
		}
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any
			Required   []string
		}
	}
}

func (l *lab) description(t *testing.T) description {
	t.Helper()
	r, err := l.browser.Get(l.server.URL + "/openapi.json")
	must(t, err)
	defer r.Body.Close()
	var d description
	must(t, json.NewDecoder(r.Body).Decode(&d))
	return d
}

// check finds a request in the document: its method and path, its query, and the fields of its body.
func (d description) check(line string) error {
	method, rest, _ := strings.Cut(line, " ")
	address, body, hasBody := strings.Cut(rest, " ")
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	for template, methods := range d.Paths {
		known, there := methods[strings.ToLower(method)]
		if !there || !matches(template, u.Path) {
			continue
		}
		for name := range u.Query() {
			if !slices.ContainsFunc(known.Parameters, func(p struct {
				In, Name string
				Required bool
			},
			) bool {
				return p.In == "query" && p.Name == name
			}) {
				return fmt.Errorf("%s %s has no parameter %s", method, template, name)
			}
		}
		if known.RequestBody == nil {
			if hasBody {
				return fmt.Errorf("%s %s takes no body", method, template)
			}
			return nil
		}
		if !hasBody {
			if known.RequestBody.Required {
				return fmt.Errorf("%s %s needs a body", method, template)
			}
			return nil
		}
		return d.checkBody(known.RequestBody.Content["application/json"].Schema.Ref, body)
	}
	return fmt.Errorf("there is no such address")
}

func (d description) checkBody(ref, body string) error {
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		return fmt.Errorf("its body is no JSON: %w", err)
	}
	schema := d.Components.Schemas[ref[strings.LastIndexByte(ref, '/')+1:]]
	for name := range fields {
		if _, there := schema.Properties[name]; !there {
			return fmt.Errorf("its body has no field %s: %v", name, schema.Properties)
		}
	}
	for _, name := range schema.Required {
		if _, there := fields[name]; !there {
			return fmt.Errorf("its body lacks the field %s", name)
		}
	}
	return nil
}

// matches says whether a path is one of a template's, as /servers/db-1 is of /servers/{ref}.
func matches(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !(strings.HasPrefix(a[i], "{") && b[i] != "") {
			return false
		}
	}
	return true
}
