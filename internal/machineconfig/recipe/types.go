package recipe

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/cel/celenv"
)

var variable = regexp.MustCompile(`\$\{[a-z][a-z0-9_.-]*\}`)

// onlyVariable says whether s is one ${variable} and nothing else.
func onlyVariable(s string) bool { return variable.FindString(s) == s && s != "" }

// tidy brings a scalar into the form of its type, or says why it is none.
func (p *Parameter) tidy(as Type, s string) (tidied, why string) {
	if as == TypeText || as == TypeCertificates {
		s = strings.ReplaceAll(s, "\r\n", "\n")
		if why := several(s); why != "" || as == TypeText {
			return s, why
		}
		return s, certificates(s)
	}
	if as != TypeSecret {
		s = strings.TrimSpace(s)
	}
	if why := line(s); why != "" {
		return s, why
	}
	switch as {
	case TypeInt:
		return p.number(s)
	case TypeAddress:
		return s, address(s)
	case TypePrefix:
		return s, prefix(s)
	case TypeURL:
		return s, p.url(s)
	case TypeDisk:
		_, err := cel.ParseBooleanExpression(s, celenv.DiskLocator())
		return s, expression(err)
	case TypeMember:
		_, err := cel.ParseBooleanExpression(s, celenv.MemberVolumeLocator())
		return s, expression(err)
	case TypeMAC:
		if onlyVariable(s) {
			return s, ""
		}
		mac, err := net.ParseMAC(s)
		if err != nil || len(mac) != 6 {
			return s, "it is no MAC address"
		}
		return mac.String(), ""
	}
	return s, ""
}

// line says why s is no single line.
func line(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return "it has line ends or control characters"
	}
	return several(s)
}

// several says why s is no text.
func several(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || r == unicode.ReplacementChar
	}) {
		return "it has characters that are no text"
	}
	return ""
}

func (p *Parameter) number(s string) (string, string) {
	if onlyVariable(s) {
		return s, ""
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return s, "it is no whole number"
	case p.Min != nil && n < *p.Min:
		return s, "it is too small"
	case p.Max != nil && n > *p.Max:
		return s, "it is too big"
	}
	return strconv.Itoa(n), ""
}

// address takes what is an address once variables have values: only its characters are checked where it has some.
func address(s string) string {
	if variable.MatchString(s) {
		return around(s)
	}
	if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" {
		return "it is no IP address"
	}
	return ""
}

func prefix(s string) string {
	if variable.MatchString(s) {
		if !strings.Contains(s, "/") && !onlyVariable(s) {
			return "it has no prefix length"
		}
		return around(s)
	}
	if _, err := netip.ParsePrefix(s); err != nil {
		return "it is no IP address with a prefix length"
	}
	return ""
}

var addressCharacters = regexp.MustCompile(`^[0-9a-fA-F.:/]*$`)

func around(s string) string {
	if !addressCharacters.MatchString(variable.ReplaceAllString(s, "")) {
		return "around its variables it has characters that no address has"
	}
	return ""
}

// expression says why it is none that Talos could ask of a disk.
func expression(err error) string {
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "ERROR: <input>:"), "\n")
		return "it is no expression about it: " + first
	}
	return ""
}

func (p *Parameter) url(s string) string {
	u, err := url.Parse(variable.ReplaceAllString(s, "1"))
	switch {
	case err != nil || u.Hostname() == "":
		return "it is no URL with a host"
	case !slices.Contains(p.Schemes, u.Scheme):
		return fmt.Sprintf("it begins with %s://", u.Scheme)
	case u.User != nil:
		return "it holds a user name, which would be shown"
	case p.Port && u.Port() == "":
		return "it has no port"
	case p.Port && (u.Path != "" && u.Path != "/" || u.RawQuery != ""):
		return "it has a path"
	}
	return ""
}

// certificates says why a text is no list of PEM certificates. A private key among them is refused: it would be public.
func certificates(s string) string {
	n := 0
	for rest := []byte(s); ; n++ {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return fmt.Sprintf("it holds a PEM block %q", b.Type)
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return "it holds a certificate that cannot be read"
		}
	}
	if n == 0 {
		return "it holds no certificate"
	}
	return ""
}

// check looks at the versions and whether the default is a value, which it must be on every version.
func (p *Parameter) check() error {
	for _, v := range p.Values {
		if err := v.check(); err != nil {
			return err
		}
	}
	if err := p.Span.check(); err != nil || p.Default == nil {
		return err
	}
	for minor := oldest; minor <= oldest+50; minor++ {
		if _, problem := p.value(minor, p.Default); problem != nil {
			return fmt.Errorf("its default: %s", problem.Text)
		}
	}
	return nil
}

func (p *Parameter) wrong(text, write string) *Problem {
	return &Problem{Parameter: p.Name, Text: text, Write: write}
}

// say quotes a value for an error, unless it is a secret.
func (p *Parameter) say(s string) string {
	switch {
	case p.Secret:
		return "the value"
	case len(s) > 60 || strings.Contains(s, "\n") || strings.Contains(s, "@"): // a password may stand before the @
		return "what was given"
	}
	return strconv.Quote(s)
}

// instead says what to write.
func (p *Parameter) instead() string {
	if p.Write != "" {
		return p.Write
	}
	as := p.Type
	if as == TypeList || as == TypeMap {
		as = p.Of
	}
	form := map[Type]string{
		TypeString: "one line of text", TypeText: "text", TypeSecret: "one line of text", TypeBool: "true or false", TypeAddress: "an IP address like 203.0.113.7",
		TypePrefix: "an address with prefix length like 10.0.0.7/24", TypeMAC: "a MAC address like 0c:9d:92:11:22:33",
		TypeCertificates: "certificates as PEM, -----BEGIN CERTIFICATE----- and what follows",
		TypeDisk:         `an expression like !system_disk && disk.transport == "nvme"`, TypeMember: `an expression like disk.transport == "nvme" && disk.size > 100u * GiB`,
	}[as]
	switch as {
	case TypeInt:
		form = p.bounds()
	case TypeEnum:
		form = p.values(oldest)
	case TypeURL:
		form = "a URL like " + p.Schemes[0] + "://host:5000"
	}
	switch p.Type {
	case TypeList:
		return "write a list, one a line or separated by commas; each is " + form
	case TypeMap:
		return "write key=value, one a line or separated by commas; each value is " + form
	}
	return "write " + form
}

func (p *Parameter) bounds() string {
	switch {
	case p.Min != nil && p.Max != nil:
		return fmt.Sprintf("a number from %d to %d", *p.Min, *p.Max)
	case p.Min != nil:
		return fmt.Sprintf("a number from %d up", *p.Min)
	}
	return "a whole number"
}
