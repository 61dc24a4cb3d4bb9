package fleet

import (
	"net/url"
	"regexp"
)

// coded is an address within an address of ours, as imagecache writes what cannot stand in a path.
var coded = regexp.MustCompile(`/base64/[A-Za-z0-9_-]+`)

// ShownURL is an address for people and logs: without a password or the query, which may hold a key.
func ShownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "of an unusable address"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return coded.ReplaceAllString(u.String(), "/base64/...")
}
