package httpd_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/talos-manager/talos-manager/internal/httpd"
)

func TestSource(t *testing.T) {
	ours := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct {
		why, peer string
		forwarded []string
		want      string
	}{
		{"no proxy", "203.0.113.7:4711", nil, "203.0.113.7"},
		{"a stranger who says that he is one", "203.0.113.7:4711", []string{"198.51.100.1"}, "203.0.113.7"},
		{"our proxy", "10.0.0.1:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		{"what a client made up before our proxy", "10.0.0.1:4711", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"two headers are one list", "10.0.0.1:4711", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		{"two proxies of ours", "10.0.0.1:4711", []string{"198.51.100.1, 203.0.113.7, 10.0.0.2"}, "203.0.113.7"},
		{"our proxy says nothing", "10.0.0.1:4711", nil, "10.0.0.1"},
		{"an address of ours within IPv6", "[::ffff:10.0.0.1]:4711", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6", "[2001:db8::7]:4711", nil, "2001:db8::7"},
		{"no address at all", "pipe", nil, "pipe"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		for _, f := range tc.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := httpd.Source(r, ours); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.why, got, tc.want)
		}
	}
}
