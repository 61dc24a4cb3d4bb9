package fleet

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ManualAccount is the name of the account that servers come into which somebody adds without naming one.
const ManualAccount = "manual"

// ParseAddress reads where a server is reached by SSH: an IPv4 or IPv6 address and, unless it is 22, a port:
// "203.0.113.10", "203.0.113.10:2222", "2001:db8::1", "[2001:db8::1]:2222". Names are refused: one may lead to another
// machine tomorrow, and an install overwrites a disk.
func ParseAddress(text string) (netip.AddrPort, error) {
	text = strings.TrimSpace(text)
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		var alone netip.Addr
		alone, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
		at = netip.AddrPortFrom(alone, 22)
	}
	a := at.Addr().Unmap()
	switch {
	case err != nil:
		return netip.AddrPort{}, Errorf(Invalid, "%q is no address", text).
			WithHint("use an IPv4 or IPv6 address, with a port if it is not 22: 203.0.113.10, [2001:db8::1]:2222. A name is none: look its address up first")
	case at.Port() == 0:
		return netip.AddrPort{}, Errorf(Invalid, "%q has no port that SSH could listen on", text).WithHint("leave the port out, it is 22 then")
	case a.Zone() != "" || a.IsLinkLocalUnicast():
		return netip.AddrPort{}, Errorf(Invalid, "%s is an address of one link only", a).WithHint("use an address that can be reached from here")
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.AddrPort{}, Errorf(Invalid, "%s is not the address of a machine", a).WithHint("use the address of its rescue system")
	}
	return netip.AddrPortFrom(a, at.Port()), nil
}

// SSHPort is the port of the server's rescue system; 0 is the usual one. A provider's rescue systems have that; of
// servers that were added by hand, ProviderID says it.
func (s *Server) SSHPort() int {
	if s.Provider != Manual {
		return 0
	}
	at, err := netip.ParseAddrPort(s.ProviderID)
	if err != nil || at.Port() == 22 {
		return 0
	}
	return int(at.Port())
}

// SetAddress has a server that was added by hand be reached there: its ProviderID is the address with the port.
func (s *Server) SetAddress(at netip.AddrPort) {
	s.ProviderID, s.IPv4, s.IPv6 = at.String(), "", ""
	if at.Addr().Is4() {
		s.IPv4 = at.Addr().String()
	} else {
		s.IPv6 = at.Addr().String()
	}
}

// HostKeys are the SHA-256 fingerprints that the operator gave of the rescue system's SSH host keys: one of these must
// answer. None: whatever answers first is pinned for the operation.
func (s *Server) HostKeys() []string { return strings.Fields(s.HostKey) }

// ParseHostKeys reads fingerprints as ssh-keygen prints them, one or several: "SHA256:…". It gives them with one space
// between.
func ParseHostKeys(text string) (string, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' })
	var keys []string
	for _, word := range words {
		rest, ok := strings.CutPrefix(word, "SHA256:")
		rest = strings.TrimRight(rest, "=")
		sum, err := base64.RawStdEncoding.Strict().DecodeString(rest)
		if !ok || err != nil || len(sum) != 32 {
			return "", Errorf(Invalid, "%s is not the SHA-256 fingerprint of an SSH host key", strconv.Quote(word)).
				WithHint("in the rescue system: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints it, as SHA256:…")
		}
		if key := "SHA256:" + rest; !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, " "), nil
}
