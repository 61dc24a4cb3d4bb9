package hetzner

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// busy refuses while an action runs on the server.
func (v *virtual) busy() (answer, bool) {
	if v.running == nil {
		return answer{}, false
	}
	return refuse(http.StatusLocked, "locked", "cannot perform operation because server is locked"), true
}

// work runs an action on a server and locks it meanwhile.
func (cl *Cloud) work(c *cloudCall, v *virtual, command string, took time.Duration, effect, done func()) *action {
	var a *action
	a = cl.begin(c, command, took, []target{{v.Number, "server"}}, effect, func() {
		if v.running == a {
			v.running, v.phase = nil, ""
		}
		if a.failed == "" {
			done()
		}
	})
	v.running = a
	return a
}

// Hold has a server be in a status, locked, for a time: Hetzner works on it. Its project must have asked for it before.
func (cl *Cloud) Hold(m *world.Machine, status string, took time.Duration) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	v, a := cl.projects[m.Project].servers[m], &action{Command: "migrate_server"}
	v.running, v.phase = a, status
	cl.world.Go(func(ctx context.Context) {
		if !cl.world.Sleep(ctx, took) {
			return
		}
		cl.mu.Lock()
		defer cl.mu.Unlock()
		if v.running == a {
			v.running, v.phase = nil, ""
		}
	})
}

// on is an action of a server, refused with 423 while another runs.
func (cl *Cloud) on(handle func(*cloudCall, *virtual) answer) func(*cloudCall) answer {
	return cl.withServer(func(c *cloudCall, v *virtual) answer {
		if a, busy := v.busy(); busy {
			return a
		}
		return handle(c, v)
	})
}

// simple is an action that only does something to the machine.
func (cl *Cloud) simple(command, phase string, took time.Duration, effect func(*virtual)) func(*cloudCall) answer {
	return cl.on(func(c *cloudCall, v *virtual) answer {
		v.phase = phase
		return created(cl.work(c, v, command, took, func() {
			v.switches.Lock()
			defer v.switches.Unlock()
			v.orders++
			effect(v)
			v.rebooting = v.rebooting && command == "reboot_server"
		}, func() {}), nil)
	})
}

func (cl *Cloud) powerOn() func(*cloudCall) answer {
	return cl.simple("start_server", "", 2*time.Second, func(v *virtual) { v.PowerOn() })
}

func (cl *Cloud) powerOff() func(*cloudCall) answer {
	return cl.simple("stop_server", "", 2*time.Second, func(v *virtual) { v.PowerCut() })
}

// reset does nothing to a server that is off, but for the moment within a reboot in which it is.
func (cl *Cloud) reset() func(*cloudCall) answer {
	return cl.simple("reset_server", "", 2*time.Second, func(v *virtual) {
		if v.rebooting && !v.On() {
			v.PowerOn()
		}
		v.Reset()
	})
}

// shutdown succeeds when the button was pressed; the system may take its time, or ignore it.
func (cl *Cloud) shutdown() func(*cloudCall) answer {
	return cl.simple("shutdown_server", "", time.Second, press)
}

// reboot presses the button too, and switches on again once the system has gone, unless another order came meanwhile.
func (cl *Cloud) reboot() func(*cloudCall) answer {
	return cl.simple("reboot_server", "", time.Second, func(v *virtual) {
		if !v.On() {
			return
		}
		boots, order := v.Boots(), v.orders
		v.rebooting = true
		press(v)
		cl.world.Go(func(ctx context.Context) {
			const patience, step = 5 * time.Minute, 200 * time.Millisecond
			for waited := time.Duration(0); !v.cameBack(order, boots, waited < patience); waited += step {
				if !cl.world.Sleep(ctx, step) {
					return
				}
			}
		})
	})
}

// cameBack switches a server on that went off to reboot; true once it boots, once another order counts, or once nobody
// has the patience to see its system go.
func (v *virtual) cameBack(order, boots int, patient bool) bool {
	v.switches.Lock()
	defer v.switches.Unlock()
	if v.orders != order {
		return true
	}
	if v.Boots() == boots && v.On() {
		v.rebooting = patient
		return !patient
	}
	v.rebooting = false
	v.PowerOn()
	return true
}

// press is the ACPI event; on a server that is off it would be the power switch.
func press(v *virtual) {
	if v.On() {
		v.Button()
	}
}

// enableRescue arms the next boot; it does not reboot. No host keys are told.
func (cl *Cloud) enableRescue(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Type    string  `json:"type"`
		SSHKeys []int64 `json:"ssh_keys"`
	}](c)
	if !good {
		return refusal
	}
	if in.Type != "" && in.Type != "linux64" {
		return wrongField("type", "unknown rescue type")
	}
	armed := &world.Rescue{Password: password(16), OS: "linux"}
	for _, id := range in.SSHKeys {
		k, known := c.thing("ssh_keys", id).(*sshKey)
		if !known {
			return wrongField("ssh_keys", "unknown ssh key")
		}
		armed.Keys = append(armed.Keys, k.public)
	}
	a := cl.work(c, v, "enable_rescue", time.Second, func() {
		armed.HostKeys, armed.At = newHostKeys(), time.Now()
		v.Arm(armed)
	}, func() { v.rescue, v.armed = armed, cl.o.Now() })
	return created(a, map[string]any{"root_password": armed.Password})
}

func (cl *Cloud) disableRescue() func(*cloudCall) answer {
	return cl.simple("disable_rescue", "", time.Second, func(v *virtual) { v.Arm(nil) })
}

func (cl *Cloud) resetPassword(c *cloudCall, v *virtual) answer {
	a := cl.work(c, v, "reset_password", time.Second, func() {}, func() {})
	return created(a, map[string]any{"root_password": password(16)})
}

// requestConsole gives an address where nobody answers.
func (cl *Cloud) requestConsole(c *cloudCall, v *virtual) answer {
	a := cl.work(c, v, "request_console", time.Second, func() {}, func() {})
	return created(a, map[string]any{"wss_url": "wss://console.hetzner.cloud/?server_id=" + c.args[0], "password": password(32)})
}

// changeProtection: delete and rebuild must have the same value.
func (cl *Cloud) changeProtection(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Delete  *bool `json:"delete"`
		Rebuild *bool `json:"rebuild"`
	}](c)
	switch {
	case !good:
		return refusal
	case in.Delete == nil || in.Rebuild == nil || *in.Delete != *in.Rebuild:
		return wrongField("rebuild", "must have the same value as delete")
	}
	return created(cl.work(c, v, "change_protection", time.Second, func() {}, func() { v.guarded = *in.Delete }), nil)
}

func (cl *Cloud) attachISO(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		ISO reference `json:"iso"`
	}](c)
	if !good {
		return refusal
	}
	i := slices.IndexFunc(cl.catalog.isos, func(i iso) bool { return in.ISO.is(i.ID, i.Name) })
	if i < 0 {
		return notFound("iso")
	}
	return created(cl.work(c, v, "attach_iso", time.Second, func() {}, func() { v.iso = &cl.catalog.isos[i] }), nil)
}

func (cl *Cloud) detachISO(c *cloudCall, v *virtual) answer {
	return created(cl.work(c, v, "detach_iso", time.Second, func() {}, func() { v.iso = nil }), nil)
}

// rebuild puts an image on the disk and starts the server.
func (cl *Cloud) rebuild(c *cloudCall, v *virtual) answer {
	in, refusal, good := read[struct {
		Image    reference `json:"image"`
		UserData *string   `json:"user_data"`
	}](c)
	switch {
	case !good:
		return refusal
	case v.guarded:
		return refuse(http.StatusLocked, "protected", "server rebuild is protected")
	}
	img := cl.catalog.image(in.Image, v.kind.Architecture)
	if img == nil {
		return notFound("image")
	}
	v.phase = "rebuilding"
	a := cl.work(c, v, "rebuild_server", 10*time.Second, func() {
		v.PowerCut()
		for _, d := range v.Disks {
			d.Discard(0, d.SizeBytes)
		}
		cl.install(v.Machine, *img)
		v.PowerOn()
	}, func() {
		v.image = img
		if in.UserData != nil {
			v.userData = *in.UserData
		}
	})
	return created(a, map[string]any{"root_password": password(16)})
}

func (cl *Cloud) install(m *world.Machine, img image) {
	if cl.o.Install != nil {
		cl.o.Install(m, *img.Name)
	}
}

// image finds an image for an architecture.
func (c *catalog) image(ref reference, arch string) *image {
	i := slices.IndexFunc(c.images, func(i image) bool { return ref.is(i.ID, *i.Name) && i.Architecture == arch })
	if i < 0 {
		return nil
	}
	return &c.images[i]
}

// parseKey reads a public key, nil if it is none.
func parseKey(text string) ssh.PublicKey {
	k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil
	}
	return k
}
