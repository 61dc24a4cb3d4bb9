package web

// field is a field of a form.
type field struct {
	Form, Name, Label string
	Value             string // what it stands at; what was typed into a refused form wins
	Hint              string
	Placeholder       string
	Kind              string // of an input; "" is text
	Required          bool
	Options           []option
}

type option struct{ Value, Name string }

func (f field) id() string { return f.Form + "-" + f.Name }

func (f field) kind() string {
	if f.Kind == "" {
		return "text"
	}
	return f.Kind
}

func (f field) autocomplete() string {
	if f.Kind == "password" {
		return "new-password"
	}
	return "off"
}
