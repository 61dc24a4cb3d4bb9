package hetzner

import (
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// activation of the rescue system: made by POST, consumed by the next boot, lapsed after an hour.
//
//	POST -> active -> boot takes it -> inactive; /last shows host keys and boot time -> POST again
//	           \---- an hour, DELETE, another POST ----> inactive; /last shows no host keys
type activation struct {
	os       string
	password string
	keys     []*robotKey
	at       time.Time     // by the clock of Robot
	boot     *world.Rescue // what was given to the machine
	bootTime string        // once booted
}

// valid is how long an activation waits for its boot [doc Hetzner Rescue System].
const valid = time.Hour

// active says whether the next boot will take the activation, and lets it lapse.
func (r *Robot) active(s *dedicated, now time.Time) bool {
	a := s.rescue
	if a == nil || s.Armed() != a.boot {
		return false
	}
	if now.Sub(a.at) > r.world.Real(valid) {
		s.Arm(nil)
		return false
	}
	return true
}

// rescueView: os and arch are a choice while inactive and a value while active.
type rescueView struct {
	serverRef
	OS            any              `json:"os"`
	Arch          any              `json:"arch"`
	Active        bool             `json:"active"`
	Password      *string          `json:"password"`
	AuthorizedKey []map[string]any `json:"authorized_key"`
	HostKey       []map[string]any `json:"host_key"`
}

// bootedView is the undocumented extra of an activation.
type bootedView struct {
	rescueView
	BootTime *string `json:"boot_time"`
}

func systems() []string { return []string{"linux", "linuxold", "linuxbeta", "vkvm", "vkvmbeta"} }

func (s *dedicated) idle() rescueView {
	return rescueView{serverRef: s.ref(), OS: systems(), Arch: []int{64}, AuthorizedKey: []map[string]any{}, HostKey: []map[string]any{}}
}

// current is what GET /boot/{n}/rescue shows: nothing of a rescue system that runs already.
func (r *Robot) current(c *robotCall, s *dedicated) any {
	if !r.active(s, c.now) {
		return s.idle()
	}
	return r.activated(s, true)
}

func (r *Robot) activated(s *dedicated, active bool) bootedView {
	v := bootedView{rescueView: s.idle()}
	v.OS, v.Arch, v.Active = s.rescue.os, 64, active
	if active {
		v.Password = &s.rescue.password
	}
	for _, k := range s.rescue.keys {
		v.AuthorizedKey = append(v.AuthorizedKey, wrap("key", k.view(r, false)))
	}
	return v
}

func (r *Robot) getBoot(c *robotCall, s *dedicated) answer {
	return ok(wrap("boot", map[string]any{
		"rescue": r.current(c, s), "linux": s.linux(),
		"vnc": nil, "windows": nil, "plesk": nil, "cpanel": nil,
	}))
}

func (r *Robot) getRescue(c *robotCall, s *dedicated) answer {
	return ok(wrap("rescue", r.current(c, s)))
}

func (r *Robot) activateRescue(c *robotCall, s *dedicated) answer {
	system := c.form.get("os")
	if system == "" {
		return invalid([]string{"os"}, nil)
	}
	if !slices.Contains(systems(), system) {
		return invalid(nil, []string{"os"})
	}
	if k := c.form.get("keyboard"); k != "" && !slices.Contains([]string{"us", "de", "uk", "ch", "fi", "fr", "jp"}, k) {
		return invalid(nil, []string{"keyboard"})
	}
	keys, known := c.pick(c.form.list("authorized_key"))
	vkvm := system == "vkvm" || system == "vkvmbeta"
	if !known || vkvm && len(keys) > 0 { // vkvm takes a password only
		return invalid(nil, []string{"authorized_key"})
	}
	if r.o.AlreadyEnabled && r.active(s, c.now) {
		return fail(http.StatusConflict, "BOOT_ALREADY_ENABLED", "boot configuration is already enabled")
	}
	a := &activation{os: system, password: password(14), keys: keys, at: c.now}
	a.boot = &world.Rescue{Password: a.password, HostKeys: newHostKeys(), At: time.Now(), OS: system}
	for _, k := range keys {
		a.boot.Keys = append(a.boot.Keys, k.public)
	}
	s.rescue = a
	s.Arm(a.boot)
	return r.getRescue(c, s)
}

func (r *Robot) deactivateRescue(c *robotCall, s *dedicated) answer {
	if r.active(s, c.now) {
		s.Arm(nil)
	}
	return r.getRescue(c, s)
}

// lastRescue shows the last activation, with the host keys of the boot it caused once that boot has happened.
func (r *Robot) lastRescue(c *robotCall, s *dedicated) answer {
	a := s.rescue
	if a == nil {
		return fail(http.StatusNotFound, "NOT_FOUND", "no rescue system was activated yet")
	}
	v := r.activated(s, r.active(s, c.now))
	boot, when := s.Rescued()
	if boot != a.boot || a.os != "linux" && a.os != "linuxold" && a.os != "linuxbeta" {
		return ok(wrap("rescue", v))
	}
	if a.bootTime == "" { // the machine lives by the clock on the wall, Robot by one that tests move
		a.bootTime = r.clock(c.now.Add(-time.Since(when)))
	}
	v.BootTime = &a.bootTime
	for _, h := range boot.HostKeys {
		v.HostKey = append(v.HostKey, wrap("key", hostKey(h.PublicKey())))
	}
	return ok(wrap("rescue", v))
}

// hostKey names a key by its SHA-256 alone, without the prefix that OpenSSH writes.
func hostKey(k ssh.PublicKey) map[string]any {
	name, size := kind(k)
	return map[string]any{"fingerprint": ssh.FingerprintSHA256(k)[len("SHA256:"):], "type": name, "size": size}
}

// linux is the configuration for an installation by Hetzner, which nobody can activate here.
func (s *dedicated) linux() any {
	return struct {
		serverRef
		Dist          []string         `json:"dist"`
		Arch          []int            `json:"arch"`
		Lang          []string         `json:"lang"`
		Active        bool             `json:"active"`
		Password      *string          `json:"password"`
		AuthorizedKey []map[string]any `json:"authorized_key"`
		HostKey       []map[string]any `json:"host_key"`
	}{s.ref(), []string{"Debian 12 base", "Ubuntu 24.04 LTS base"}, []int{64}, []string{"en"}, false, nil, []map[string]any{}, []map[string]any{}}
}

func (r *Robot) getLinux(_ *robotCall, s *dedicated) answer { return ok(wrap("linux", s.linux())) }
