package web

// wizardArea is the install wizard, and servers that are added by hand.
func (s *site) wizardArea() area {
	return area{
		pages:   map[string]loader{},
		actions: map[string]handler{},
	}
}
