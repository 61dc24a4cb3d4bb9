package imagefactory

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// form is what a kind of secret looks like.
type form struct {
	what string
	form *regexp.Regexp
}

// Of a value that begins with a $ nothing is said: it is a variable that each machine fills in for itself.
var forms = []form{
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY|\bAGE-SECRET-KEY-1`)},
	{"an access token", regexp.MustCompile(`\b(tskey-|gh[opsu]_|github_pat_|glpat-|xox[abprs]-|hvs\.[A-Za-z0-9_-]{24}|npm_[A-Za-z0-9]{30}|dckr_pat_|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|sk-[A-Za-z0-9_-]{20})`)},
	{"a signed token (JWT)", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.`)},
	{"a password in a URL", regexp.MustCompile(`://[^/\s:@]*:[^/\s@$][^/\s@]*@`)},
	{"a token in a URL", regexp.MustCompile(`://[^/\s:@$]{20,}@`)},
	{"a join token of SideroLink", regexp.MustCompile(`(?i)\bjoin_?token["']?\s*[=:]\s*["']?[^\s"'$]`)},
	{"a whole machine config", regexp.MustCompile(`^` + regexp.QuoteMeta(constants.KernelParamConfig) + `\.(inline|early)=`)},
	{"a password, token or key", regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|token|credentials?|(auth|private|preshared|api|access)[_-]?key|\bpsk|\bkeydata)["']?\s*[=:]\s*["']?[^\s"'$]`)},
}

// joinToken is the form of the tokens by which machines join; a host name may have it too, but none with digits at its
// end.
var joinToken = regexp.MustCompile(`(?:^|[^a-z0-9.])[a-z0-9]{6}\.([a-z0-9]{16})(?:$|[^a-z0-9.])`)

// keys in PEM are written in base64 all over Talos' configs.
var base64PEM = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/]+`)

// secretIn says what sort of secret a text has in it, "" if none.
func secretIn(text string) string {
	for _, f := range forms {
		if f.form.MatchString(text) {
			return f.what
		}
	}
	if found := joinToken.FindStringSubmatch(text); found != nil && strings.ContainsAny(found[1], "0123456789") {
		return "a join token of Talos or Kubernetes"
	}
	for _, encoded := range base64PEM.FindAllString(text, -1) {
		head := encoded[:min(len(encoded), 80)/4*4]
		if plain, err := base64.StdEncoding.DecodeString(head); err == nil && strings.Contains(string(plain), "PRIVATE KEY") {
			return "a private key"
		}
	}
	return ""
}

// secrets refuses a schematic that has a secret in it.
func (d *document) secrets() error {
	for i, arg := range d.Customization.ExtraKernelArgs {
		name, value, _ := strings.Cut(arg, "=")
		what := secretIn(arg)
		if name == constants.KernelParamConfig && what == "" {
			what = codeIn(value)
		}
		if what == "" {
			continue
		}
		hint := "put secrets into the machine config instead"
		switch {
		case strings.HasPrefix(what, "a join token of SideroLink"):
			hint = "give the address in a SideroLinkConfig document of the machine config instead"
		case strings.HasPrefix(name, constants.KernelParamConfig):
			hint = "leave " + name + " out: talos-manager sets it when it installs, with a code for each machine"
		}
		where := fmt.Sprintf("extraKernelArgs[%d]", i)
		if end := strings.IndexAny(arg, "=:"); end >= 0 { // else all of it may be the secret
			where += ", " + arg[:end] + ","
		}
		return published(where, what, hint)
	}
	for i, m := range d.Customization.Meta {
		if what := secretMeta(m); what != "" {
			return published(fmt.Sprintf("meta[%d], key %#x,", i, m.Key), what, "each machine gets it in its own META, or in its machine config")
		}
	}
	if at, what := secretOption("options", d.Overlay.Options); what != "" {
		return published("overlay."+at, what, "boards need no secrets to boot: put them into the machine config")
	}
	if what := secretIn(d.Customization.EmbeddedMachineConfiguration); what != "" {
		return published("embeddedMachineConfiguration", what, "embed only documents without secrets, such as HostnameConfig or KmsgLogConfig; talos-manager hands the rest to the machine itself")
	}
	return nil
}

func published(where, what, hint string) error {
	return fleet.Errorf(fleet.Refused, "schematic: %s has what looks like %s, and whoever knows the schematic's id can read it at the factory", where, what).WithHint("%s", hint)
}

// codeIn finds what opens a door in the address that a machine gets its config from.
func codeIn(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for name, values := range u.Query() {
		switch strings.ToLower(name) {
		case "code", "key", "auth", "sig", "signature", "x-amz-signature", "x-goog-signature", "jwt", "otp", "pin":
			if slices.ContainsFunc(values, func(v string) bool { return v != "" && !strings.HasPrefix(v, "$") }) {
				return "a code in a URL (" + name + ")"
			}
		}
	}
	return ""
}

// secretMeta knows the keys of META that hold secrets (machinery meta/constants.go), and looks at the others.
func secretMeta(m metaValue) string {
	switch {
	case m.Key == meta.DownloadURLCode:
		return "the code that opens a machine's config"
	case m.Key == meta.UniqueMachineToken:
		return "the token of a machine"
	case m.Key == meta.StateEncryptionConfig && regexp.MustCompile(`(?i)static|passphrase`).MatchString(m.Value):
		return "the passphrase of a disk"
	}
	return secretIn(m.Value)
}

// secretOption looks into the options of an overlay, in which everything may be.
func secretOption(at string, value any) (where, what string) {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if text, ok := v[name].(string); ok {
				if what := secretIn(name + "=" + text); what != "" {
					return at + "." + name, what
				}
			}
			if where, what := secretOption(at+"."+name, v[name]); what != "" {
				return where, what
			}
		}
	case []any:
		for i, item := range v {
			if where, what := secretOption(fmt.Sprintf("%s[%d]", at, i), item); what != "" {
				return where, what
			}
		}
	case string:
		return at, secretIn(v)
	}
	return "", ""
}
