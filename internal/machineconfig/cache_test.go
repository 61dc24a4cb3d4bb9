package machineconfig

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestCacheKeyHoldsEveryField(t *testing.T) {
	base := Input{Patches: []Patch{{"a", "b"}}, Variables: Variables{"a": "b"}}
	keys := map[Key]string{base.Key(): "nothing"}
	add := func(what string, in Input) {
		if before, ok := keys[in.Key()]; ok {
			t.Errorf("changing %s and changing %s give the same key", what, before)
		}
		keys[in.Key()] = what
	}
	for i := range reflect.TypeFor[Input]().NumField() {
		in, f := base, reflect.TypeFor[Input]().Field(i)
		switch v := reflect.ValueOf(&in).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Map:
			v.Set(reflect.ValueOf(Variables{"a": "c"}))
		default:
			if f.Name == "Patches" {
				in.Patches = []Patch{{"a", "c"}}
			} else {
				v.SetBytes([]byte("x"))
			}
		}
		add(f.Name, in)
	}
	for what, in := range map[string]Input{
		"a patch's name":             {Patches: []Patch{{"c", "b"}}, Variables: base.Variables},
		"two patches":                {Patches: []Patch{{"a", "b"}, {"a", "b"}}, Variables: base.Variables},
		"a variable's name":          {Patches: base.Patches, Variables: Variables{"c": "b"}},
		"a patch like a variable":    {Patches: []Patch{{"a", "b"}, {"a", "b"}}},
		"a variable like a patch":    {Variables: Variables{"a": "b", "patch": "a"}},
		"where a name ends":          {Server: "a", ClusterName: "bc"},
		"where a name ends, one off": {Server: "ab", ClusterName: "c"},
	} {
		add(what, in)
	}
}

func TestCacheGivesWhatRenderGivesAndIsNeverStale(t *testing.T) {
	c := NewCache(1 << 20)
	in := input(t, "v1.13.9", "v1.36.3", fleet.Worker, Patch{"p", "machine:\n  sysctls:\n    a: \"1\"\n"})
	for range 2 {
		for _, value := range []string{"1", "2"} {
			in.Patches = []Patch{{"p", fmt.Sprintf("machine:\n  sysctls:\n    a: %q\n", value)}}
			got, err := c.Render(in)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Render(in)
			if err != nil || string(got) != string(want) || !strings.Contains(string(got), fmt.Sprintf("a: %q", value)) {
				t.Errorf("%s: %v, the cache gives\n%s", value, err, got)
			}
		}
	}
	if s := c.Stats(); s.Hits != 2 || s.Misses != 2 || s.Entries != 2 {
		t.Errorf("%+v", s)
	}
}

func TestCacheForgetsWhatWasUsedLeastRecently(t *testing.T) {
	c := NewCache(20_000)
	in := input(t, "v1.13.9", "v1.36.3", fleet.Worker)
	for i := range int64(50) {
		mustRenderT(t, c, numbered(in, 0)) // used all the time
		mustRenderT(t, c, numbered(in, i))
		if s := c.Stats(); s.Bytes > 20_000 || s.Entries == 0 {
			t.Fatalf("%+v", s)
		}
	}
	before := c.Stats().Misses
	mustRenderT(t, c, numbered(in, 0))
	if after := c.Stats().Misses; after != before {
		t.Error("what is used all the time was forgotten")
	}
	if s := NewCache(0); mustRenderT(t, s, in) == nil || s.Stats().Entries != 0 {
		t.Error("a cache of nothing keeps something")
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	c := NewCache(1 << 20)
	in := input(t, "v1.13.9", "v1.36.3", fleet.Worker, Patch{"p", "machine: [\n"})
	for range 2 {
		if _, err := c.Render(in); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("got %v", err)
		}
	}
	if s := c.Stats(); s.Entries != 0 || s.Misses != 2 {
		t.Errorf("%+v", s)
	}
}

func TestCacheServesManyAtOnce(t *testing.T) {
	c := NewCache(40_000)
	in := readme(t, "v1.14.1", "v1.36.3", fleet.Worker)
	want := map[int64]string{}
	for i := range int64(8) {
		want[i] = string(mustRenderT(t, NewCache(0), numbered(in, i)))
	}
	var wait sync.WaitGroup
	for g := range int64(8) {
		wait.Go(func() {
			for i := range int64(40) {
				n := (g + i) % 8
				if got, err := c.Render(numbered(in, n)); err != nil || string(got) != want[n] {
					t.Errorf("server %d: %v", n, err)
				}
			}
		})
	}
	wait.Wait()
}

func mustRenderT(t *testing.T, c *Cache, in Input) []byte {
	t.Helper()
	out, err := c.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
