package fleet

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		port       int // of the server: 0 is the usual one
		address    string
		refusal    string
	}{
		{"203.0.113.10", "203.0.113.10:22", 0, "203.0.113.10", ""},
		{" 203.0.113.10:2222\n", "203.0.113.10:2222", 2222, "203.0.113.10", ""},
		{"203.0.113.10:22", "203.0.113.10:22", 0, "203.0.113.10", ""},
		{"2001:db8::1", "[2001:db8::1]:22", 0, "2001:db8::1", ""},
		{"[2001:DB8::0001]", "[2001:db8::1]:22", 0, "2001:db8::1", ""},
		{"[2001:db8::1]:2222", "[2001:db8::1]:2222", 2222, "2001:db8::1", ""},
		{"::ffff:203.0.113.10", "203.0.113.10:22", 0, "203.0.113.10", ""},
		{"127.0.0.1:2201", "127.0.0.1:2201", 2201, "127.0.0.1", ""},
		{"db-1.example.com", "", 0, "", "is no address"},
		{"", "", 0, "", "is no address"},
		{"203.0.113.10:0", "", 0, "", "no port"},
		{"203.0.113.10:70000", "", 0, "", "is no address"},
		{"203.0.113.0/24", "", 0, "", "is no address"},
		{"fe80::1%eth0", "", 0, "", "one link only"},
		{"169.254.1.1", "", 0, "", "one link only"},
		{"0.0.0.0", "", 0, "", "not the address of a machine"},
		{"255.255.255.255", "", 0, "", "not the address of a machine"},
		{"ff02::1", "", 0, "", "not the address of a machine"},
	} {
		at, err := ParseAddress(tc.text)
		if tc.refusal != "" {
			if err == nil || !strings.Contains(err.Error(), tc.refusal) || HintOf(err) == "" || KindOf(err) != Invalid {
				t.Errorf("%q: got %v, %v", tc.text, at, err)
			}
			continue
		}
		s := Server{Provider: Manual, IPv4: "was", IPv6: "was"}
		s.SetAddress(at)
		if err != nil || s.ProviderID != tc.want || s.SSHPort() != tc.port || s.Address() != tc.address || s.IPv4 != "" && s.IPv6 != "" {
			t.Errorf("%q: got %+v, port %d, %v", tc.text, s, s.SSHPort(), err)
		}
	}
	if s := (Server{Provider: HetznerRobot, ProviderID: "321"}); s.SSHPort() != 0 {
		t.Errorf("a rented server has port %d", s.SSHPort())
	}
}

func TestParseHostKeys(t *testing.T) {
	const one, two = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{one, one},
		{one + "=", one},
		{" " + one + ",\n" + two + " " + one, one + " " + two},
	} {
		if got, err := ParseHostKeys(tc.text); got != tc.want || err != nil {
			t.Errorf("%q: got %q, %v", tc.text, got, err)
		}
	}
	for _, text := range []string{"MD5:16:27:ac", "SHA256:short", one[7:], "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV", "256 " + one + " root@rescue (ED25519)"} {
		if got, err := ParseHostKeys(text); KindOf(err) != Invalid {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
