package hetzner

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form holds the parameters of a Robot call. Robot takes them from the body of POST, PUT and DELETE alike, and
// clients write arrays in all the ways of PHP: k, k repeated, k[], k[0] and k[1].
type form url.Values

func readForm(r *http.Request) (form, error) {
	if r.Method == http.MethodGet {
		return form(r.URL.Query()), nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(body))
	return form(values), err
}

// get gives the first value.
func (f form) get(name string) string { return url.Values(f).Get(name) }

func (f form) has(name string) bool { return url.Values(f).Has(name) }

// list gives all values of an array, numbered ones in the order of their numbers.
func (f form) list(name string) []string {
	all := append(slices.Clone(f[name]), f[name+"[]"]...)
	var numbers []int
	for k := range f {
		inner, found := strings.CutPrefix(k, name+"[")
		inner, closed := strings.CutSuffix(inner, "]")
		if n, err := strconv.Atoi(inner); found && closed && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		all = append(all, f[name+"["+strconv.Itoa(n)+"]"]...)
	}
	return all
}

// records gives an array of records, name[0][field]=value, in order.
func (f form) records(name string) []map[string]string {
	byNumber := map[int]map[string]string{}
	for k, v := range f {
		inner, found := strings.CutPrefix(k, name+"[")
		number, field, two := strings.Cut(inner, "][")
		field, closed := strings.CutSuffix(field, "]")
		n, err := strconv.Atoi(number)
		if !found || !two || !closed || err != nil {
			continue
		}
		if byNumber[n] == nil {
			byNumber[n] = map[string]string{}
		}
		byNumber[n][field] = v[0]
	}
	var all []map[string]string
	for len(byNumber) > 0 {
		lowest := -1
		for n := range byNumber {
			if lowest < 0 || n < lowest {
				lowest = n
			}
		}
		all = append(all, byNumber[lowest])
		delete(byNumber, lowest)
	}
	return all
}

// missing names the required parameters that are not there.
func (f form) missing(names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return f.get(n) != "" })
}
