package web

// Routes of the pages and actions, for tests that try all of them.
func PagePaths() []string {
	var out []string
	for path := range new(site).pages() {
		out = append(out, path)
	}
	return out
}

func ActionRoutes() []string {
	var out []string
	for route := range new(site).actions() {
		out = append(out, route)
	}
	return out
}

// Words that app.js has to know too.
var (
	Age  = age
	Span = span
)
