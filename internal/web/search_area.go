package web

// searchArea is the search and the command palette.
func (s *site) searchArea() area {
	return area{
		pages:   map[string]loader{},
		actions: map[string]handler{},
	}
}
