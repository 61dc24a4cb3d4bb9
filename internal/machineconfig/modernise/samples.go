package modernise

import (
	"regexp"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
)

// known gives likely values of the variables that every server has, so that the library can read a patch.
func known() map[string]string {
	return map[string]string{
		"hostname": "node-1", "private_ip": "10.0.1.5", "public_ip": "203.0.113.7", "vlan": "4000",
		"bootstrap_disk_wwid": "naa.5002538e40000001", "public_ipv6": "2001:db8::2", "gateway": "203.0.113.1",
		"mac": "02:00:5e:10:00:01", "private_prefix": "21", "private_mtu": "1400", "server_name": "node-1",
		"server_id": "1234567", "product": "AX41-NVMe", "location": "FSN1-DC8",
		"uuid": "4c4c4544-0039-5a10-8054-b7c04f503032", "architecture": "amd64", "provider": "hetzner_robot",
		"role": "worker", "cluster_name": "prod", "endpoint": "https://10.0.0.10:6443",
		"talos_version": "v1.14.1", "kubernetes_version": kubernetesVersion,
	}
}

// guesses are tried for variables whose meaning is not known.
func guesses() []string {
	return []string{"example", "10.0.9.9", "1500", "10.9.0.0/16", "true", "https://example.com/", "02:00:5e:10:00:09", "1h0m0s", "aGVsbG8="}
}

var likely = []struct {
	name  *regexp.Regexp
	value string
}{
	{regexp.MustCompile(`cidr|subnet|prefix|range|net$|network$`), "10.9.0.0/16"},
	{regexp.MustCompile(`mac$|hwaddr|hardware`), "02:00:5e:10:00:09"},
	{regexp.MustCompile(`url|endpoint`), "https://example.com/"},
	{regexp.MustCompile(`(^|[_.-])(ip|ips|ipv4|addr|address|gateway|gw|vip|dns|server|nameserver)([_.-]|\d*$)`), "10.0.9.9"},
	{regexp.MustCompile(`mtu|port|vlan|size|count|max|min|metric|num`), "1500"},
	{regexp.MustCompile(`enable|disable`), "true"},
}

var prefixLength = regexp.MustCompile(`bits|prefix_?len|netmask|^mask`)

// samples gives every variable of a text a value with which the library can read it as a patch, if there is one. Open
// are the variables whose value had to be guessed.
func samples(text string, given map[string]string, kubernetes string) (vars map[string]string, open []string) {
	vars = map[string]string{}
	for _, s := range variable.FindAllString(text, -1) {
		name := strings.TrimSuffix(strings.TrimPrefix(s, "${"), "}")
		if _, done := vars[name]; done || s == "$${" {
			continue
		}
		if v, ok := valueOf(name, given); ok {
			vars[name] = v
			continue
		}
		vars[name] = guess(name)
		if strings.Contains(text, "}/"+s) || prefixLength.MatchString(name) {
			vars[name] = "24" // the length of a prefix
		}
		open = append(open, name)
	}
	vars["kubernetes_version"] = kubernetes
	readable := func() bool {
		_, err := configpatcher.LoadPatch([]byte(fill(text, vars)))
		return err == nil
	}
	for range 2 {
		for _, name := range open {
			was := vars[name]
			for _, g := range guesses() {
				if readable() {
					return vars, open
				}
				vars[name] = g
			}
			if !readable() {
				vars[name] = was
			}
		}
	}
	return vars, open
}

func valueOf(name string, given map[string]string) (string, bool) {
	if v := given[name]; v != "" {
		return v, true
	}
	v, ok := known()[name]
	return v, ok
}

func guess(name string) string {
	for _, l := range likely {
		if l.name.MatchString(strings.ToLower(name)) {
			return l.value
		}
	}
	return "example"
}

// fill puts values in the place of variables.
func fill(text string, vars map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(s string) string {
		if s == "$${" {
			return "${"
		}
		return vars[strings.TrimSuffix(strings.TrimPrefix(s, "${"), "}")]
	})
}

// sample fills in a text by itself.
func sample(text string, given map[string]string) string {
	vars, _ := samples(text, given, kubernetesVersion)
	return fill(text, vars)
}
