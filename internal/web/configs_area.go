package web

// configsArea is configs, patches and variables, with their editor.
func (s *site) configsArea() area {
	return area{
		pages:   map[string]loader{},
		actions: map[string]handler{},
	}
}
