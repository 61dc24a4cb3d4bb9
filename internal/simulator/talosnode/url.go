package talosnode

import (
	"net/url"
	"regexp"
	"strings"
)

// fill replaces the variables in the query of a talos.config URL as Talos does (platform/metal/url): ${uuid},
// ${serial}, ${mac}, ${hostname} and ${code}, in any case; an empty "uuid=" is filled in as well. A variable
// without a value makes Talos wait, then fetch with the text as it stands.
func fill(raw string, values map[string]string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	query := u.Query()
	if !anyVariable(query) {
		return raw, nil
	}
	for key, list := range query {
		if key == "uuid" && (len(list) != 1 || strings.TrimSpace(list[0]) == "") {
			query.Set(key, values["uuid"])
			continue
		}
		for i, v := range list {
			for name, value := range values {
				if value != "" {
					v = variable(name).ReplaceAllLiteralString(v, value)
				}
			}
			list[i] = v
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func variable(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\$\{` + name + `\}`)
}

func anyVariable(query url.Values) bool {
	for key, list := range query {
		if key == "uuid" && (len(list) != 1 || strings.TrimSpace(list[0]) == "") {
			return true
		}
		for _, v := range list {
			for _, name := range []string{"uuid", "serial", "mac", "hostname", "code"} {
				if variable(name).MatchString(v) {
					return true
				}
			}
		}
	}
	return false
}
