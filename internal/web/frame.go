package web

// frameData is what every page shows around its content.
type frameData struct {
	Title   string
	Section string
	Crumbs  []crumb
	Actor   string // "": nobody is known; no rail is shown
	Version string
	Theme   string // light, dark or ""
	Address string // of this page
	Stream  string // where its changes are heard, "" for nowhere
	Running running
	Assets  assets
	Sheet   bool      // the page's table can be exported
	Same    []command // what does the same from a shell
	Scripts []string  // addresses of those that only this page loads
}

// section is an entry of the rail. After g, its key leads there.
type section struct {
	Name, Href, Icon, Key string
}

func sections() []section {
	return []section{
		{"Overview", "/", "overview", "h"},
		{"Servers", "/servers", "server", "s"},
		{"Clusters", "/clusters", "cluster", "c"},
		{"Configs", "/configs", "config", "p"},
		{"Operations", "/operations", "operation", "o"},
		{"Settings", "/settings", "settings", "t"},
	}
}

// shortcut is keys and what they do. Keys that follow each other are words apart.
type shortcut struct{ Keys, Does string }

func shortcuts() []shortcut {
	all := []shortcut{
		{"/", "Search, or say what to do; also Ctrl K"},
		{"j", "Next row"},
		{"k", "Row before"},
		{"x", "Choose the row; with Shift, all rows up to it"},
		{"Enter", "Open the row"},
		{"m", "Menu of the row"},
		{"f", "Filter the table"},
		{"r", "What is running"},
		{"?", "These keys"},
	}
	for _, s := range sections() {
		all = append(all, shortcut{"g " + s.Key, "To " + s.Name})
	}
	return all
}

// themeChoice is what the switch offers: the other scheme, or the system's.
type themeChoice struct{ Value, Name string }

func themeChoices() []themeChoice {
	return []themeChoice{{"", "System"}, {"light", "Light"}, {"dark", "Dark"}}
}
