package hetzner_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

func TestRobotRescueLife(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{})
	m := addMachines(w, world.Dedicated, user, 1)[0]
	fp, public := c.addKey()
	m.PowerOn()
	until(t, "the installed system", func() bool { return m.System() != nil })

	c.refuses(404, "NOT_FOUND", "GET", "/boot/321/rescue/last")
	var active struct{ Rescue struct{ Password string } }
	if err := json.Unmarshal(c.ok("POST", "/boot/321/rescue", "os=linux", "authorized_key[]="+fp).body, &active); err != nil || active.Rescue.Password == "" {
		t.Fatal(active, err)
	}
	sameShape(t, "robot/rescue-active.json", c.ok("GET", "/boot/321/rescue/last").body)
	if len(c.get("/boot/321/rescue/last", "rescue.host_key").([]any)) != 0 {
		t.Error("host keys before the boot")
	}
	before := time.Now()
	c.ok("POST", "/reset/321", "type=hw")
	until(t, "sshd of the rescue system", func() bool { return w.Net.Knows("203.0.113.10:22") && sshUp(w, "203.0.113.10:22") })

	rescue := m.System().(*system).rescue
	if rescue.Password != active.Rescue.Password || len(rescue.Keys) != 1 || string(rescue.Keys[0].Marshal()) != string(public.Marshal()) {
		t.Errorf("the machine boots %+v", rescue)
	}
	sameShape(t, "robot/rescue-inactive.json", c.ok("GET", "/boot/321/rescue").body)
	last := c.ok("GET", "/boot/321/rescue/last").body
	sameShape(t, "robot/rescue-last.json", last)
	checkLast(t, last, rescue, before)

	c.ok("POST", "/boot/321/rescue", "os=linux") // again at once, with other keys
	c.ok("POST", "/reset/321", "type=hw")
	until(t, "the second rescue system", func() bool { return len(c.get("/boot/321/rescue/last", "rescue.host_key").([]any)) == 3 })
	if second := c.ok("GET", "/boot/321/rescue/last").body; strings.Contains(string(second), ssh.FingerprintSHA256(rescue.HostKeys[0].PublicKey())[7:]) {
		t.Error("the host keys of the first boot again")
	}
}

func sshUp(w *world.World, addr string) bool {
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	conn, err := w.Net.DialContext(short, "tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// checkLast wants exactly the host keys that the machine presents, and the boot's time in Berlin.
func checkLast(t *testing.T, body []byte, rescue *world.Rescue, before time.Time) {
	t.Helper()
	var last struct {
		Rescue struct {
			HostKey []struct {
				Key struct{ Fingerprint, Type string }
			} `json:"host_key"`
			BootTime string `json:"boot_time"`
			Password *string
		}
	}
	if err := json.Unmarshal(body, &last); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, k := range last.Rescue.HostKey {
		got = append(got, "SHA256:"+k.Key.Fingerprint)
	}
	for _, h := range rescue.HostKeys {
		want = append(want, ssh.FingerprintSHA256(h.PublicKey()))
	}
	if !slices.Equal(got, want) || last.Rescue.HostKey[2].Key.Type != "RSA" || last.Rescue.Password != nil {
		t.Errorf("last = %s, want the keys %v", body, want)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	when, err := time.ParseInLocation(time.DateTime, last.Rescue.BootTime, berlin)
	if err != nil || when.Before(before.Truncate(time.Second)) || when.After(time.Now()) {
		t.Errorf("boot_time %q, %v; want after %v", last.Rescue.BootTime, err, before)
	}
}

func TestRobotRescueEndsInManyWays(t *testing.T) {
	now := newClock()
	for _, tc := range []struct {
		reason string
		ends   func(c caller, m *world.Machine)
	}{
		{"after an hour", func(caller, *world.Machine) { now.Add(61 * time.Minute) }},
		{"by DELETE", func(c caller, _ *world.Machine) { c.ok("DELETE", "/boot/321/rescue") }},
		{"by a boot that comes out in the installed system", func(c caller, m *world.Machine) {
			m.Fault(func(f *world.Faults) { f.RescueOldSystem = 1 })
			m.PowerOn()
			until(c.t, "the boot", func() bool { return m.System() != nil })
		}},
		{"by a boot that never gets there", func(c caller, m *world.Machine) {
			m.Fault(func(f *world.Faults) { f.RescueNeverComes = true })
			m.PowerOn()
			until(c.t, "the boot", func() bool { return m.Boots() == 1 })
		}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			w := newWorld(t)
			_, c := robotOf(t, w, hetzner.RobotOptions{Now: now.Now})
			m := addMachines(w, world.Dedicated, user, 1)[0]
			c.ok("POST", "/boot/321/rescue", "os=linux")
			tc.ends(c, m)
			if c.get("/boot/321/rescue", "rescue.active") != false || m.Armed() != nil {
				t.Error("still active")
			}
			if last := c.get("/boot/321/rescue/last", "rescue").(map[string]any); last["boot_time"] != nil || len(last["host_key"].([]any)) != 0 {
				t.Errorf("last = %v, though nothing booted", last)
			}
		})
	}
}

func TestRobotRescueRefuses(t *testing.T) {
	w := newWorld(t)
	_, c := robotOf(t, w, hetzner.RobotOptions{AlreadyEnabled: true})
	addMachines(w, world.Dedicated, user, 1)
	fp, _ := c.addKey()
	for reason, params := range map[string][]string{
		"no os":               {"keyboard=us"},
		"an unknown os":       {"os=windows"},
		"an unknown keyboard": {"os=linux", "keyboard=xx"},
		"an unknown key":      {"os=linux", "authorized_key[]=" + fp, "authorized_key[]=00:11"},
		"vkvm takes no keys":  {"os=vkvm", "authorized_key[]=" + fp},
	} {
		if r := c.call("POST", "/boot/321/rescue", params...); r.status != 400 || r.code(t) != "INVALID_INPUT" {
			t.Errorf("%s: %d %s", reason, r.status, r.body)
		}
	}
	c.ok("POST", "/boot/321/rescue", "os=vkvm")
	c.refuses(409, "BOOT_ALREADY_ENABLED", "POST", "/boot/321/rescue", "os=linux")
	c.ok("DELETE", "/boot/321/rescue")
	c.ok("POST", "/boot/321/rescue", "os=linux")
}
