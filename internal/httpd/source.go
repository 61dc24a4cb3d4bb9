package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Source is the address a request comes from: its peer, or if that is a proxy of ours, what the proxy says. What
// stands in X-Forwarded-For before the first hop that is not ours is anybody's word, and not read.
func Source(r *http.Request, proxies []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return host
		}
		host = addr.Unmap().String()
		hop = strings.TrimSpace(hop)
		ours := slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
		if !ours || hop == "" {
			return host
		}
		host = hop
	}
	return host
}
