package hetzner

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// item is what a listing knows of an object: what it can be filtered and sorted by, and how it is shown.
type item struct {
	id      int64
	name    string
	created time.Time
	labels  map[string]string
	fields  map[string]string // further filters: status, type, architecture, …
	view    func() any
}

// pagination is null where there is no such page.
type pagination struct {
	Page         int  `json:"page"`
	PerPage      int  `json:"per_page"`
	PreviousPage *int `json:"previous_page"`
	NextPage     *int `json:"next_page"`
	LastPage     *int `json:"last_page"`
	TotalEntries *int `json:"total_entries"`
}

// list filters, sorts and pages.
func list(c *cloudCall, plural string, items []item) answer {
	wanted, err := parseSelector(c.query.Get("label_selector"))
	if err != "" {
		return wrongField("label_selector", err)
	}
	items = slices.DeleteFunc(items, func(i item) bool { return !c.asksFor(i) || !wanted.match(i.labels) })
	if wrong := order(items, c.query["sort"]); wrong != "" {
		return wrongField("sort", "cannot sort by "+wrong)
	}
	page, perPage := atLeastOne(c.query.Get("page"), 1), min(atLeastOne(c.query.Get("per_page"), 25), 50)
	total := len(items)
	last := max(1, (total+perPage-1)/perPage)
	p := pagination{Page: page, PerPage: perPage, LastPage: &last, TotalEntries: &total}
	if page > 1 {
		p.PreviousPage = new(page - 1)
	}
	if page < last {
		p.NextPage = new(page + 1)
	}
	from := min((page-1)*perPage, total)
	views := []any{}
	for _, i := range items[from:min(from+perPage, total)] {
		views = append(views, i.view())
	}
	return ok(map[string]any{plural: views, "meta": map[string]any{"pagination": p}})
}

// asksFor applies the filters of the query that the object knows.
func (c *cloudCall) asksFor(i item) bool {
	if !has(c.query["name"], i.name) {
		return false
	}
	for k, v := range i.fields {
		if !has(c.query[k], v) {
			return false
		}
	}
	return true
}

func atLeastOne(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 1 {
		return n
	}
	return otherwise
}

// order sorts by field[:asc|:desc], several in turn, and names a field it does not know.
func order(items []item, sorts []string) (unknown string) {
	by := map[string]func(a, b item) int{
		"id":      func(a, b item) int { return cmp.Compare(a.id, b.id) },
		"name":    func(a, b item) int { return cmp.Compare(a.name, b.name) },
		"created": func(a, b item) int { return a.created.Compare(b.created) },
		"status":  func(a, b item) int { return cmp.Compare(a.fields["status"], b.fields["status"]) },
		"command": func(a, b item) int { return cmp.Compare(a.fields["command"], b.fields["command"]) },
		"started": func(a, b item) int { return a.created.Compare(b.created) },
	}
	slices.SortStableFunc(items, by["id"])
	for _, s := range slices.Backward(sorts) {
		field, direction, _ := strings.Cut(s, ":")
		compare := by[field]
		if compare == nil {
			return field
		}
		slices.SortStableFunc(items, func(a, b item) int {
			if direction == "desc" {
				a, b = b, a
			}
			return compare(a, b)
		})
	}
	return ""
}

// selector is a list of conditions on labels, all of which must hold.
type selector []func(labels map[string]string) bool

func (s selector) match(labels map[string]string) bool {
	return !slices.ContainsFunc(s, func(holds func(map[string]string) bool) bool { return !holds(labels) })
}

// parseSelector reads k, !k, k=v, k==v, k!=v, k in (a,b), k notin (a,b), joined with commas.
func parseSelector(text string) (selector, string) {
	var s selector
	for _, part := range splitSelector(text) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		m := selectorTerm().FindStringSubmatch(part)
		if m == nil {
			return nil, "cannot be parsed at '" + part + "'"
		}
		s = append(s, condition(m))
	}
	return s, ""
}

// condition makes one term, in the groups of selectorTerm: !, key, =|==|!=, value, in|notin, values.
func condition(m []string) func(map[string]string) bool {
	key, value := m[2], m[4]
	var values []string
	for v := range strings.SplitSeq(m[6], ",") {
		values = append(values, strings.TrimSpace(v))
	}
	return func(labels map[string]string) bool {
		got, has := labels[key]
		switch {
		case m[1] == "!":
			return !has
		case m[3] == "!=":
			return got != value || !has
		case m[3] != "":
			return has && got == value
		case m[5] == "in":
			return has && slices.Contains(values, got)
		case m[5] == "notin":
			return !has || !slices.Contains(values, got)
		}
		return has
	}
}

func selectorTerm() *regexp.Regexp {
	const word = `[A-Za-z0-9._/-]`
	return regexp.MustCompile(`^(!?)(` + word + `+)(?:\s*(==|=|!=)\s*(` + word + `*)|\s+(in|notin)\s*\(([^()]*)\))?$`)
}

// splitSelector splits at the commas outside of parentheses.
func splitSelector(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		return r == ',' && depth == 0
	})
}

// wrongLabels says what is wrong with labels, "" if nothing is.
func wrongLabels(labels map[string]string) string {
	value := regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
	prefix := regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	for k, v := range labels {
		before, name, prefixed := strings.Cut(k, "/")
		if !prefixed {
			before, name = "", k
		}
		switch {
		case name == "" || !value.MatchString(name), prefixed && !prefix.MatchString(before):
			return "invalid label key '" + k + "'"
		case before == "hetzner.cloud":
			return "label key prefix 'hetzner.cloud/' is reserved"
		case !value.MatchString(v):
			return "invalid label value '" + v + "'"
		}
	}
	return ""
}

// badLabels refuses wrong labels; nil labels are fine.
func badLabels(labels *map[string]string) (answer, bool) {
	if labels == nil {
		return answer{}, false
	}
	if wrong := wrongLabels(*labels); wrong != "" {
		a := wrongField("labels", wrong)
		a.status = http.StatusUnprocessableEntity
		return a, true
	}
	return answer{}, false
}
