package web

// galleryArea is recipes, modernise, schematics and rules.
func (s *site) galleryArea() area {
	return area{
		pages:   map[string]loader{},
		actions: map[string]handler{},
	}
}
