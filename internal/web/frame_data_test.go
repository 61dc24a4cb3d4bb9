package web_test

import "testing"

// frameData makes records for search results and the frame, besides those of populate, and gives the addresses of the pages that show them.
func (l *lab) frameData(t testing.TB) []string {
	t.Helper()
	return []string{"/search", "/search?q=server", "/search?q=install+server-6", "/search?q=nothing+like+this", "/login"}
}
