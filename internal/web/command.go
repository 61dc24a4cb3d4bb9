package web

import (
	"net/url"
	"strings"
)

// command is something that can be done on a page, as done by a shell.
type command struct {
	What string // as "Install Talos on it"
	CLI  string // arguments of talos-manager, quoted for a shell; "" where there is none
	API  string // method, path and body of the REST API, as `POST /api/v1/servers/ID/install {"wipe": true}`; "" where there is none
}

// shellWord writes a word such that a shell takes it for one, whatever is in it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@,+=%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// listCommands are what lists the same as a page whose filter has these values.
func listCommands(what, cli, api string, filter ...option) []command {
	q := url.Values{}
	for _, f := range filter {
		if f.Name != "" {
			cli += " --" + f.Value + " " + shellWord(f.Name)
			q.Set(f.Value, f.Name)
		}
	}
	if len(q) > 0 {
		api += "?" + q.Encode()
	}
	return []command{{What: what, CLI: cli, API: api}}
}
