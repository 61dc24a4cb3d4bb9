package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// failure is what an error page says: what is wrong, what became of what was asked for, and where to go from there.
type failure struct {
	Title  string
	Notice notice
	Next   string
	Again  string // address to try once more, "" if that may do something twice
	Search string // words that a search may find what was looked for by
	List   section
}

func failureOf(r *http.Request, err error) failure {
	kind := fleet.KindOf(err)
	f := failure{Title: failureTitle(kind), Notice: noticeOf(err), Next: failureNext(kind), List: listOf(r.URL.Path)}
	if kind == fleet.Internal {
		f.Next += " It is the line of " + clock(time.Now()) + " UTC with path " + r.URL.Path + "."
	}
	switch {
	case r.Method != http.MethodGet:
	case kind == fleet.NotFound:
		path := strings.Trim(r.URL.Path, "/")
		f.Search = path[strings.LastIndexByte(path, '/')+1:]
	case kind != fleet.Forbidden:
		f.Again = r.URL.RequestURI()
	}
	return f
}

// listOf is the section that an address belongs to; the overview if it is none's.
func listOf(path string) section {
	all := sections()
	for _, s := range all[1:] {
		if strings.HasPrefix(path, s.Href+"/") {
			return s
		}
	}
	return all[0]
}

func failureTitle(kind fleet.Kind) string {
	switch kind {
	case fleet.NotFound:
		return "Not found"
	case fleet.Conflict:
		return "Somebody was faster"
	case fleet.Forbidden:
		return "Not allowed"
	case fleet.Refused:
		return "Refused, because it would do harm"
	case fleet.Unavailable:
		return "No answer"
	case fleet.Exhausted:
		return "Too much at once"
	case fleet.Internal:
		return "A fault of this program"
	}
	return "Not done"
}

func failureNext(kind fleet.Kind) string {
	switch kind {
	case fleet.NotFound:
		return "It may have been removed or renamed meanwhile."
	case fleet.Conflict:
		return "Nothing was changed. Look at how it stands now, then do it again if it is still wanted."
	case fleet.Forbidden:
		return "Nothing was changed. Log in as somebody who may do it."
	case fleet.Unavailable:
		return "Nothing was lost: operations that run go on by themselves. Try again in a moment."
	case fleet.Exhausted:
		return "Nothing was lost: it comes back by itself. Try again in a moment."
	case fleet.Internal:
		return "What was saved before stays saved. The log of Talos Manager says more."
	}
	return "Nothing was changed."
}
