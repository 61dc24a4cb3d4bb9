package diff

import (
	"slices"
	"strconv"
	"strings"
)

// listRule says what tells the elements of a list apart, and whether Talos sees their order. The zero rule is a list
// of values in an order that counts.
type listRule struct {
	key     string // the field that names an element: "name", "metadata.name", "interface|deviceSelector"; "=" for NAME=value
	set     bool   // in no order, also where several have one name
	ordered bool   // named, but in an order that counts; with neither, the order counts where several have one name
}

// list compares two lists, both there.
func (c *comparer) list(s *shape, p place, a, b *value) {
	var rule listRule
	var elem *shape
	if s != nil && s.form == listed {
		rule, elem = s.list, s.elem
	} else {
		rule = listRule{key: "name", ordered: true} // of plain YAML, as Kubernetes has it
	}
	switch {
	case rule.key != "" && c.byKey(rule, s, elem, p, a, b):
	case rule.set:
		c.set(s, elem, p, a, b)
	default:
		c.sequence(elem, s, p, a, b)
	}
}

// set lists what came and went of values in no order.
func (c *comparer) set(s, elem *shape, p place, a, b *value) {
	p = p.item("", s)
	left, came := apart(a.items, b.items)
	pairs := len(left) * len(came)
	for _, y := range came {
		i := -1
		if pairs <= most {
			i = slices.IndexFunc(left, func(x *value) bool { return equal(elem, x, y) })
		}
		if i < 0 {
			c.record(elem, p, nil, y)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, x := range left {
		c.record(elem, p, x, nil)
	}
}

// apart leaves out the texts that both lists have, letter by letter; what is left may still mean the same.
func apart(a, b []*value) (onlyA, onlyB []*value) {
	count := map[string]int{}
	for _, x := range a {
		if x.nature == scalar {
			count[x.node.ShortTag()+x.text()]++
		}
	}
	for _, y := range b {
		if key := ""; y.nature == scalar {
			if key = y.node.ShortTag() + y.text(); count[key] > 0 {
				count[key]--
				continue
			}
		}
		onlyB = append(onlyB, y)
	}
	for _, x := range slices.Backward(a) {
		if key := ""; x.nature == scalar {
			if key = x.node.ShortTag() + x.text(); count[key] == 0 {
				continue
			}
			count[key]--
		}
		onlyA = append(onlyA, x)
	}
	slices.Reverse(onlyA)
	return onlyA, onlyB
}

// byKey matches elements by what names them, where each has such a name and no two the same. It says whether it could.
func (c *comparer) byKey(rule listRule, s, elem *shape, p place, a, b *value) bool {
	before, ok := keyed(rule.key, a)
	if !ok {
		return false
	}
	after, ok := keyed(rule.key, b)
	if !ok {
		return false
	}
	var stayed, stay []string
	for _, key := range after.keys {
		x, y := before.dict[key], after.dict[key]
		if x == nil {
			c.record(elem, p.item(key, s), nil, y)
			continue
		}
		stay = append(stay, key)
		c.value(elem, p.item(key, s), x, y)
	}
	for _, key := range before.keys {
		if after.dict[key] == nil {
			c.record(elem, p.item(key, s), before.dict[key], nil)
			continue
		}
		stayed = append(stayed, key)
	}
	if rule.ordered && !slices.Equal(stayed, stay) {
		c.changes = append(c.changes, Change{Op: Moved, Path: p.path, Field: p.field, Old: texts(stayed), New: texts(stay)})
	}
	return true
}

func texts(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// keyed makes a map of a list.
func keyed(key string, v *value) (*value, bool) {
	out := &value{nature: dict, dict: make(map[string]*value, len(v.items))}
	for _, item := range v.items {
		name := item.name(key)
		if _, twice := out.dict[name]; name == "" || twice {
			return nil, false
		}
		out.keys = append(out.keys, name)
		out.dict[name] = item
	}
	return out, true
}

// name is what tells an element from others, "" where it has nothing.
func (v *value) name(key string) string {
	if key == "=" {
		name, _, _ := strings.Cut(v.text(), "=")
		return name
	}
	if v.nature != dict {
		return ""
	}
	for _, alternative := range strings.Split(key, "|") {
		at := v
		for _, step := range strings.Split(alternative, ".") {
			at = at.get(step)
		}
		if at == nil {
			continue
		}
		if at.nature == scalar {
			return at.text()
		}
		if name := at.flat(); name != "" {
			return name
		}
	}
	return ""
}

// flat names an element by a map of texts, such as a deviceSelector: "driver=virtio,hardwareAddr=…".
func (v *value) flat() string {
	if v.nature != dict {
		return ""
	}
	var parts []string
	for _, key := range keysOf(nil, v, nil) {
		if item := v.dict[key]; item.nature == scalar {
			parts = append(parts, key+"="+item.text())
		}
	}
	return strings.Join(parts, ",")
}

// most is how many pairs of elements are compared to find what stayed; longer lists are compared by position.
const most = 40_000

// sequence compares lists in which the order counts. One of plain values is one change; of others, each element
// that changed is one.
func (c *comparer) sequence(elem, s *shape, p place, a, b *value) {
	if slices.EqualFunc(a.items, b.items, func(x, y *value) bool { return equal(elem, x, y) }) {
		return
	}
	if c.probe || plain(a) && plain(b) {
		c.record(s, p, a, b)
		return
	}
	i, j := 0, 0
	for _, pair := range append(stays(elem, a.items, b.items), [2]int{len(a.items), len(b.items)}) {
		for ; i < pair[0] && j < pair[1]; i, j = i+1, j+1 {
			c.value(elem, p.item(strconv.Itoa(j), s), a.items[i], b.items[j])
		}
		for ; i < pair[0]; i++ {
			c.record(elem, p.item(strconv.Itoa(i), s), a.items[i], nil)
		}
		for ; j < pair[1]; j++ {
			c.record(elem, p.item(strconv.Itoa(j), s), nil, b.items[j])
		}
		i, j = pair[0]+1, pair[1]+1
	}
}

func plain(v *value) bool {
	return !slices.ContainsFunc(v.items, func(i *value) bool { return i.nature == dict || i.nature == list })
}

// stays finds the longest common subsequence: pairs of positions of equal elements.
func stays(elem *shape, a, b []*value) [][2]int {
	if len(a)*len(b) > most {
		return nil
	}
	return common(len(a), len(b), func(i, j int) bool { return equal(elem, a[i], b[j]) })
}

// common is the longest common subsequence of two sequences of n and m elements.
func common(n, m int, same func(i, j int) bool) [][2]int {
	eq := make([]bool, n*m)
	length := make([]int32, (n+1)*(m+1))
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			at := i*(m+1) + j
			if same(i, j) {
				eq[i*m+j], length[at] = true, length[at+m+2]+1
				continue
			}
			length[at] = max(length[at+1], length[at+m+1])
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case eq[i*m+j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case length[(i+1)*(m+1)+j] >= length[i*(m+1)+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
