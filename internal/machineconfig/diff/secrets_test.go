package diff

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

func TestEveryDocumentKindOfTheLibraryIsKnown(t *testing.T) {
	for _, kind := range schema.Kinds("v1.14.1") {
		if shapes()[kind.Kind] == nil {
			t.Errorf("%s has no shape", kind.Kind)
		}
	}
	for _, kind := range kinds {
		if shapes()[kind] == nil {
			t.Errorf("the library has no %s", kind)
		}
	}
}

func TestTheTablesNameFieldsThatExist(t *testing.T) {
	paths, lists := map[string]bool{}, map[string]bool{}
	var walk func(kind, path string, s *shape)
	walk = func(kind, path string, s *shape) {
		paths[kind+" "+path], paths[path] = true, true
		if s.form == listed {
			lists[kind+" "+path], lists[path] = true, true
			walk(kind, path+"[]", s.elem)
		}
		if s.form == named {
			walk(kind, path+".*", s.elem)
		}
		for name, field := range s.fields {
			walk(kind, join(path, name), field)
		}
	}
	for kind, s := range shapes() {
		walk(kind, "", s)
	}
	for where := range secretFields {
		if !paths[where] {
			t.Errorf("secretFields: no field %s", where)
		}
	}
	for where, rule := range listRules {
		if !lists[where] {
			t.Errorf("listRules: no list %s", where)
		}
		if kind, path, ok := strings.Cut(where, " "); ok && rule.key != "" && rule.key != "=" {
			for _, key := range strings.Split(rule.key, "|") {
				if !paths[kind+" "+path+"[]."+key] {
					t.Errorf("listRules: %s has no %s", where, key)
				}
			}
		}
	}
	for _, r := range rules {
		if !paths[r.kind+" "+r.field] {
			t.Errorf("rules: no field %s %s", r.kind, r.field)
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(immediateSince)) {
		if !paths[v1alpha1Kind+" "+unit] {
			t.Errorf("immediateSince: no field %s", unit)
		}
	}
}

const marker = "MarkerOfASecret"

// fill puts a text into every field of a document that can hold one.
func fill(v reflect.Value, depth int, next *int) {
	if depth > 16 || ownReader(v.Type()) && !strings.HasPrefix(v.Type().String(), "x509.") && v.Kind() != reflect.Slice && v.Kind() != reflect.String {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type().String() == "*v1alpha1.Endpoint" || v.Type().String() == "*v1alpha1.InstallDiskSizeMatcher" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1, next)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth+1, next)
			}
		}
	case reflect.String:
		*next++
		v.SetString(marker + strconv.Itoa(*next))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(marker))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1, next)
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem, depth+1, next)
		key := reflect.New(v.Type().Key()).Elem()
		key.SetString("some")
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, elem)
	}
}

func TestAllThatTheLibraryRedactsIsASecret(t *testing.T) {
	found := 0
	for kind, typ := range documentTypes() {
		v := reflect.New(typ)
		fill(v.Elem(), 0, new(int))
		c, err := container.New(v.Interface().(config.Document))
		if err != nil {
			t.Fatal(err)
		}
		open, hidden := written(t, c), written(t, c.RedactSecrets("gone"))
		var walk func(path string, s *shape, x, y *yaml.Node)
		walk = func(path string, s *shape, x, y *yaml.Node) {
			if x.Kind == yaml.ScalarNode && x.Value != y.Value {
				found++
				if s == nil || !s.secret {
					t.Errorf("%s %s is a secret to the library, not to us", kind, path)
				}
			}
			for i := range x.Content {
				switch x.Kind {
				case yaml.MappingNode:
					if i%2 == 1 {
						walk(join(path, x.Content[i-1].Value), s.field(x.Content[i-1].Value), x.Content[i], y.Content[i])
					}
				case yaml.SequenceNode:
					walk(path+"[]", s.field(""), x.Content[i], y.Content[i])
				default:
					walk(path, s, x.Content[i], y.Content[i])
				}
			}
		}
		walk("", shapes()[kind], open, hidden)
	}
	if found < 35 {
		t.Errorf("the library redacts %d fields only: the test does not see them", found)
	}
}

func written(t *testing.T, p config.Encoder) *yaml.Node {
	t.Helper()
	text, err := p.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	return &node
}

func TestNamesThatHoldSecrets(t *testing.T) {
	for name, want := range map[string]bool{
		"DB_PASSWORD": true, "TS_AUTHKEY": true, "TUNNEL_TOKEN": true, "API_KEY": true, "AWS_SECRET_ACCESS_KEY": true, "key": true,
		"client-key-data": true, "bootstraptoken": true, "aescbcencryptionsecret": true, "Authorization": true, "passphrase": true,
		"net.ipv4.tcp_fastopen_key": true, "preSharedKey": true, "secret": true, "psk": true,
		"PATH": false, "TOKEN_FILE": false, "secretName": false, "service-account-key-file": false, "tokenTTL": false, "publicKey": false,
		"authorization-mode": false, "event-ttl": false, "kernel.keys.root_maxkeys": false, "http_proxy": false, "hostname": false,
	} {
		if suspect(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
