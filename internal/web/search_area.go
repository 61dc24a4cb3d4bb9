package web

import "strconv"

// searchArea is the search, the command palette and the drawer of what is running.
func (s *site) searchArea() area {
	return area{
		pages: map[string]loader{"/search": s.search},
		actions: map[string]handler{
			"GET /search/hits": s.searchHits,
			"GET /running":     s.runningList,
		},
	}
}

// hitID is the id of a hit in the palette; -1 is the name of its group.
func hitID(group, n int) string {
	if n < 0 {
		return "hits-" + strconv.Itoa(group)
	}
	return "hit-" + strconv.Itoa(group) + "-" + strconv.Itoa(n)
}
