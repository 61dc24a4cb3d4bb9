package web_test

import "testing"

// serversTableData gives the pages of the table of servers that have an address of their own.
func (l *lab) serversTableData(t testing.TB) []string {
	t.Helper()
	return []string{
		"/servers?edit=" + l.serverNamed(t, "server-0").ID, "/servers?edit=" + l.serverNamed(t, "server-3").ID, "/servers?missing=true&search=server&state=known&cluster=none",
		"/servers/assign?all=true&of=", "/servers/vswitch?all=true&of=", "/rescue?all=true&of=",
	}
}
