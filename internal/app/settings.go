package app

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Setting is one thing that can be set: by a flag of this name, by an environment variable, or in the file.
type Setting struct {
	Name    string // flag and key in the file
	Env     string
	Default string
	Help    string
	Secret  bool
}

// List is every setting, in the order of the annotated sample.
var List = []Setting{
	{"listen", "LISTEN", ":8080", "address to listen on; PORT sets the port alone", false},
	{"host", "HOST", "", "address under which servers and people reach this program: https://talos-manager.example.com; without https:// it is added", false},
	{"tls-cert", "TLS_CERT", "", "file with the certificate chain, to serve TLS without a proxy", false},
	{"tls-key", "TLS_KEY", "", "file with the certificate's key", false},
	{"trusted-proxies", "TRUSTED_PROXIES", "", "networks of your own proxies whose X-Forwarded-For is believed, comma-separated", false},
	{"data-dir", "DATA_DIR", "talos-manager-data", "folder for the SQLite database, the sealing key and the first password", false},
	{"database-url", "DATABASE_URL", "", "postgres://USER:PASSWORD@HOST:5432/DATABASE; empty: SQLite", true},
	{"db-adapter", "DB_ADAPTER", "", "sqlite or postgresql; empty: by database-url", false},
	{"seal-key", "SEAL_KEY", "", "32 bytes in hex or base64 that seal secrets in the database; empty: a file in data-dir, made at first start", true},
	{"ssh-private-key", "SSH_PRIVATE_KEY", "", "private key (PEM) for rescue systems; empty: an Ed25519 key is generated at first start", true},
	{"password", "BASIC_AUTH_PASSWORD", "", "password of the web page and the API; empty: one is generated into data-dir at first start", true},
	{"hetzner-cloud-api-token", "HETZNER_CLOUD_API_TOKEN", "", "adds a Cloud account at start", true},
	{"hetzner-webservice-user", "HETZNER_WEBSERVICE_USER", "", "adds a Robot account at start", false},
	{"hetzner-webservice-password", "HETZNER_WEBSERVICE_PASSWORD", "", "its password", true},
	{"talos-amd64-image-url", "TALOS_AMD64_IMAGE_URL", "", "image to write to amd64 servers instead of the image factory's", false},
	{"talos-arm64-image-url", "TALOS_ARM64_IMAGE_URL", "", "image to write to arm64 servers instead of the image factory's", false},
	{"image-via-manager", "IMAGE_VIA_MANAGER", "no", "yes: servers get images from this program, which fetches each once; no: from the image's own address, unless an install says otherwise", false},
	{"image-cache-size", "IMAGE_CACHE_SIZE", "5GB", "room in data-dir/images for them; the longest unused make way", false},
	{"robot-url", "ROBOT_URL", "https://robot-ws.your-server.de", "base address of the Robot webservice", false},
	{"cloud-url", "HCLOUD_ENDPOINT", "https://api.hetzner.cloud/v1", "base address of the Cloud API", false},
	{"factory-url", "FACTORY_URL", "https://factory.talos.dev", "base address of the Talos image factory", false},
	{"sync-every", "SYNC_EVERY", "10m", "how often accounts are listed", false},
	{"look-every", "LOOK_EVERY", "30s", "how often nodes are looked at", false},
	{"rescue-ssh-port", "RESCUE_SSH_PORT", "22", "port of SSH in the rescue system; another than 22 only on a simulator that may not open it", false},
	{"pace", "PACE", "1", "divides every wait; more than 1 only on a simulator whose clock runs that fast", false},
	{"log-format", "LOG_FORMAT", "text", "text or json", false},
	{"log-level", "LOG_LEVEL", "info", "debug, info, warn or error", false},
}

// Settings are the values, checked.
type Settings struct {
	Listen      string
	URL         string // of host; "" if not set
	TLSCert     string
	TLSKey      string
	Proxies     []netip.Prefix
	DataDir     string
	DatabaseURL string // "" for SQLite
	SealKey     string
	SSHKey      ssh.Signer // nil: generate
	SSHKeyPEM   []byte
	Password    string // "" : generate
	CloudToken  string
	RobotUser   string
	RobotPass   string
	Images      map[fleet.Architecture]string
	ViaManager  bool  // servers get images from us
	ImageBytes  int64 // room for them
	RobotURL    string
	CloudURL    string
	FactoryURL  string
	SyncEvery   time.Duration
	LookEvery   time.Duration
	SSHPort     int     // of rescue systems
	Pace        float64 // divides every wait
	LogFormat   string
	LogLevel    string
}

// Read gathers the settings: flags win over environment, environment over file, file over defaults. flags holds
// only those that were given. An unusable one is an error that names it.
func Read(flags map[string]string, getenv func(string) string, file string) (Settings, error) {
	values, err := readFile(file)
	if err != nil {
		return Settings{}, err
	}
	for _, s := range List {
		if v := getenv(s.Env); v != "" {
			values[s.Name] = v
		}
		if v, ok := flags[s.Name]; ok {
			values[s.Name] = v
		}
		if values[s.Name] == "" {
			values[s.Name] = s.Default
		}
	}
	if port := getenv("PORT"); port != "" && getenv("LISTEN") == "" && flags["listen"] == "" {
		values["listen"] = ":" + port
	}
	return check(values)
}

// readFile reads the YAML file of settings; a key that is no setting is an error.
func readFile(file string) (map[string]string, error) {
	values := map[string]string{}
	if file == "" {
		return values, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "settings: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "settings file %s: %w", file, err)
	}
	for name, value := range raw {
		if !slices.ContainsFunc(List, func(s Setting) bool { return s.Name == name }) {
			return nil, fleet.Errorf(fleet.Invalid, "settings file %s: there is no setting %q", file, name).
				WithHint("`talos-manager serve --help` lists them")
		}
		if value != nil {
			values[name] = strings.TrimSpace(fmt.Sprint(value))
		}
	}
	return values, nil
}

// checker collects the first thing that is wrong.
type checker struct {
	values map[string]string
	err    error
}

func (c *checker) fail(name, format string, args ...any) {
	if c.err == nil {
		i := slices.IndexFunc(List, func(s Setting) bool { return s.Name == name })
		c.err = fleet.Errorf(fleet.Invalid, "setting %s (%s): %s", name, List[i].Env, fmt.Sprintf(format, args...)).
			WithHint("%s", List[i].Help)
	}
}

func check(values map[string]string) (Settings, error) {
	c := &checker{values: values}
	s := Settings{
		Listen: values["listen"], URL: c.host("host"), TLSCert: values["tls-cert"], TLSKey: values["tls-key"],
		Proxies: c.networks("trusted-proxies"), DataDir: values["data-dir"], DatabaseURL: c.database(),
		SealKey: values["seal-key"], Password: values["password"],
		CloudToken: values["hetzner-cloud-api-token"], RobotUser: values["hetzner-webservice-user"], RobotPass: values["hetzner-webservice-password"],
		Images:     map[fleet.Architecture]string{fleet.AMD64: c.url("talos-amd64-image-url"), fleet.ARM64: c.url("talos-arm64-image-url")},
		ViaManager: c.oneOf("image-via-manager", "yes", "no") == "yes", ImageBytes: c.bytes("image-cache-size", 500_000_000),
		RobotURL: c.url("robot-url"), CloudURL: c.url("cloud-url"), FactoryURL: c.url("factory-url"),
		SyncEvery: c.duration("sync-every", time.Minute), LookEvery: c.duration("look-every", time.Second),
		SSHPort: int(c.number("rescue-ssh-port", 1, 65535)), Pace: c.number("pace", 1, 1000),
		LogFormat: c.oneOf("log-format", "text", "json"), LogLevel: c.oneOf("log-level", "debug", "info", "warn", "error"),
	}
	s.SSHKey, s.SSHKeyPEM = c.key("ssh-private-key")
	if (s.TLSCert == "") != (s.TLSKey == "") {
		c.fail("tls-key", "tls-cert and tls-key go together")
	}
	if (s.RobotUser == "") != (s.RobotPass == "") {
		c.fail("hetzner-webservice-user", "user and password go together")
	}
	if s.TLSCert != "" {
		for _, name := range []string{"tls-cert", "tls-key"} {
			if _, err := os.Stat(values[name]); err != nil {
				c.fail(name, "%v", err)
			}
		}
	}
	return s, c.err
}

func (c *checker) url(name string) string {
	v := strings.TrimSuffix(c.values[name], "/")
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		c.fail(name, "%q is not an http or https address", v)
	}
	return v
}

// host accepts a bare name, as the reference application's HOST is.
func (c *checker) host(name string) string {
	if v := c.values[name]; v != "" && !strings.Contains(v, "://") {
		c.values[name] = "https://" + v
	}
	return c.url(name)
}

func (c *checker) database() string {
	address := c.values["database-url"]
	switch c.values["db-adapter"] {
	case "", "postgresql", "postgres":
		if c.values["db-adapter"] != "" && address == "" {
			c.fail("database-url", "db-adapter is %s, but no address is given", c.values["db-adapter"])
		}
	case "sqlite", "sqlite3":
		return ""
	default:
		c.fail("db-adapter", "%q is neither sqlite nor postgresql", c.values["db-adapter"])
	}
	if address != "" && !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		c.fail("database-url", "it does not begin with postgres://")
	}
	return address
}

func (c *checker) networks(name string) []netip.Prefix {
	var out []netip.Prefix
	for part := range strings.SplitSeq(c.values[name], ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if a, err := netip.ParseAddr(part); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			c.fail(name, "%q is no network", part)
		}
		out = append(out, p)
	}
	return out
}

func (c *checker) duration(name string, least time.Duration) time.Duration {
	d, err := time.ParseDuration(c.values[name])
	if err != nil || d < least {
		c.fail(name, "%q is no duration of at least %s", c.values[name], least)
	}
	return d
}

func (c *checker) number(name string, least, most float64) float64 {
	n, err := strconv.ParseFloat(c.values[name], 64)
	if err != nil || n < least || n > most {
		c.fail(name, "%q is no number from %g to %g", c.values[name], least, most)
	}
	return n
}

// bytes reads an amount as people write it: 5GB, 500 MB.
func (c *checker) bytes(name string, least int64) int64 {
	text := strings.ToUpper(strings.ReplaceAll(c.values[name], " ", ""))
	unit := int64(1)
	for suffix, n := range map[string]int64{"MB": 1e6, "GB": 1e9, "TB": 1e12} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, n
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit || n*unit < least {
		c.fail(name, "%q is no amount of at least %d MB, like 5GB", c.values[name], least/1e6)
		return 0
	}
	return n * unit
}

func (c *checker) oneOf(name string, words ...string) string {
	if !slices.Contains(words, c.values[name]) {
		c.fail(name, "%q is none of %s", c.values[name], strings.Join(words, ", "))
	}
	return c.values[name]
}

func (c *checker) key(name string) (ssh.Signer, []byte) {
	if c.values[name] == "" {
		return nil, nil
	}
	pem := []byte(strings.ReplaceAll(c.values[name], `\n`, "\n") + "\n")
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		c.fail(name, "%v", err)
	}
	return signer, pem
}
