package web

// settingsArea is the settings of this program.
func (s *site) settingsArea() area {
	return area{
		pages:   map[string]loader{},
		actions: map[string]handler{},
	}
}
