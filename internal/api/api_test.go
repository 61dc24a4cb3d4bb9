package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/client"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestNothingButTheDescriptionIsOpen(t *testing.T) {
	l := open(t)
	doc := l.describe()
	n := 0
	for path, methods := range doc.Paths {
		for method := range methods {
			n++
			resp, e := l.raw(strings.ToUpper(method), strings.NewReplacer("{ref}", "x", "{id}", "x").Replace(path), "")
			if resp.StatusCode != http.StatusUnauthorized || e.Error.Kind != client.Unauthorized || e.Error.Hint == "" {
				t.Errorf("%s %s without a login: %d %v", method, path, resp.StatusCode, e)
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d routes are described", n)
	}
	if _, err := l.as("tm_wrong", "").Version(t.Context()); err == nil {
		t.Error("a wrong token is let in")
	}
	if _, err := l.as("", "wrong").Version(t.Context()); err == nil {
		t.Error("a wrong password is let in")
	}
	v, err := l.Version(t.Context())
	l.must(err)
	if v.Version != "v1.2.3" || !strings.HasPrefix(v.Talos, "v1.") || !strings.HasPrefix(v.Kubernetes, "v1.") {
		t.Errorf("version %+v", v)
	}
}

func TestEveryErrorHasTheOneShape(t *testing.T) {
	l := open(t)
	for _, c := range []struct {
		why, method, path, body string
		status                  int
		kind                    client.Kind
		message                 string
	}{
		{"there is no such route", "GET", "/api/v1/nonsense", "", 404, client.NotFound, "no route /api/v1/nonsense"},
		{"the route takes another method", "DELETE", "/api/v1/servers", "", 405, client.Invalid, "DELETE cannot be done to"},
		{"there is no such record", "GET", "/api/v1/servers/nobody", "", 404, client.NotFound, "nobody"},
		{"a field is missing", "POST", "/api/v1/tokens", `{}`, 422, client.Invalid, "name"},
		{"a field has the wrong type", "POST", "/api/v1/tokens", `{"name":7}`, 422, client.Invalid, "name: expected string"},
		{"a field is misspelt", "POST", "/api/v1/accounts", `{"name":"a","provider":"hetzner_robot","user":"u","pasword":"swordfish"}`, 422, client.Invalid, "pasword: unexpected property"},
		{"a word is none of those allowed", "POST", "/api/v1/accounts", `{"name":"a","provider":"aws"}`, 422, client.Invalid, "hetzner_cloud"},
		{"the body is no JSON", "POST", "/api/v1/tokens", `{swordfish`, 400, client.Invalid, ""},
		{"the body is missing", "POST", "/api/v1/tokens", ``, 400, client.Invalid, "body"},
		{"a query parameter is misspelt", "GET", "/api/v1/servers?clutser=prod", "", 422, client.Invalid, "clutser: unknown query parameter"},
		{"a query parameter has a wrong value", "GET", "/api/v1/servers?state=happy", "", 422, client.Invalid, "known"},
		{"a query parameter is no number", "GET", "/api/v1/servers?limit=ten", "", 422, client.Invalid, "limit"},
		{"a use case refuses", "POST", "/api/v1/tokens", `{"name":"Not A Label"}`, 422, client.Invalid, "not a DNS label"},
	} {
		resp, e := l.raw(c.method, c.path, c.body, "Authorization", "Bearer "+l.token, "Content-Type", "application/json")
		if resp.StatusCode != c.status || e.Error.Kind != c.kind || !strings.Contains(e.Error.Message, c.message) || e.Error.Hint == "" && c.status != 404 {
			t.Errorf("%s: %s %s: got %d %+v", c.why, c.method, c.path, resp.StatusCode, e.Error)
		}
	}
	resp, _ := l.raw("PUT", "/api/v1/servers/x", "", "Authorization", "Bearer "+l.token)
	if got := resp.Header.Get("Allow"); got != "GET, PATCH, DELETE" {
		t.Errorf("Allow: %q", got)
	}
}

type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Summary     string
		Tags        []string
		Responses   map[string]any
	}
	Components struct{ Schemas map[string]any }
}

func (l *lab) describe() (doc document) {
	l.Helper()
	resp, _ := l.raw("GET", "/openapi.json", "")
	if resp.StatusCode != 200 {
		l.Fatalf("/openapi.json: %d", resp.StatusCode)
	}
	l.must(json.NewDecoder(resp.Body).Decode(&doc))
	return doc
}

func TestTheDescriptionIsWholeAndStable(t *testing.T) {
	l := open(t)
	doc := l.describe()
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %s", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || ids[op.OperationID] {
				t.Errorf("%s %s is badly described: %+v", method, path, op)
			}
			ids[op.OperationID] = true
			if op.Responses["default"] == nil || len(op.Responses) < 2 {
				t.Errorf("%s %s: its answers are not described", method, path)
			}
		}
	}
	resp, _ := l.raw("GET", "/openapi.json", "")
	text, err := io.ReadAll(resp.Body)
	l.must(err)
	for _, ref := range references(text) {
		if doc.Components.Schemas[ref] == nil {
			t.Errorf("schema %s is referred to and not there", ref)
		}
	}
	var pretty bytes.Buffer
	l.must(json.Indent(&pretty, text, "", "  "))
	pretty.WriteByte('\n')
	golden(t, filepath.Join("testdata", "openapi.json"), pretty.Bytes())
}

func references(text []byte) (all []string) {
	for part := range strings.SplitSeq(string(text), `"#/components/schemas/`) {
		if name, _, ok := strings.Cut(part, `"`); ok && !strings.HasPrefix(part, "{") {
			all = append(all, name)
		}
	}
	return all
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is served: look at the difference, then go test -update", file)
	}
}

func TestEveryVariableOfAPathIsDescribed(t *testing.T) {
	l := open(t)
	resp, _ := l.raw("GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	l.must(json.NewDecoder(resp.Body).Decode(&doc))
	for path, methods := range doc.Paths {
		for method, op := range methods {
			got := 0
			for _, p := range op.Parameters {
				if p.In == "path" && strings.Contains(path, "{"+p.Name+"}") {
					got++
				}
			}
			if got != strings.Count(path, "{") {
				t.Errorf("%s %s: %d of its variables are described", method, path, got)
			}
		}
	}
}
