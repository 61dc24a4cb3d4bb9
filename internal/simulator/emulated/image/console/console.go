// Package console is the language in which the init of a test image says on the serial line what it does: a line a time, with
// the kernel's, the firmware's and the boot loaders' words around it.
package console

import (
	"encoding/json"
	"strings"
)

// Names of events.
const (
	Started     = "started"     // Text: the kernel command line
	Identity    = "identity"    // UUID, Serial, MAC: what SMBIOS and the network card say
	Meta        = "meta"        // Disk, Values: what META holds
	Network     = "network"     // Values: the address by interface
	Waiting     = "waiting"     // Text: for what
	Refused     = "refused"     // URL, Status, Text: an answer that is no config
	Config      = "config"      // URL, Status, Bytes, SHA256, Text: the config came; Text is its beginning
	Maintenance = "maintenance" // Text: the fingerprint of the certificate of the maintenance API, which listens
	Applied     = "applied"     // Bytes, SHA256, Text: the config came through the maintenance API
	Failed      = "failed"      // Text: why the init gave up
)

// Event is a line.
type Event struct {
	Name   string            `json:"event"`
	Text   string            `json:"text,omitempty"`
	UUID   string            `json:"uuid,omitempty"`
	Serial string            `json:"serial,omitempty"`
	MAC    string            `json:"mac,omitempty"`
	Disk   string            `json:"disk,omitempty"`
	Values map[string]string `json:"values,omitempty"`
	URL    string            `json:"url,omitempty"`
	Status int               `json:"status,omitempty"`
	Bytes  int               `json:"bytes,omitempty"`
	SHA256 string            `json:"sha256,omitempty"`
}

// mark begins an event. What stands before it in the line is somebody else's.
const mark = "@init "

// String is the line, with an end before it: another's may be half written.
func (e Event) String() string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e) // strings and numbers into memory: it cannot fail
	return "\n" + mark + b.String()
}

// Parse finds the events in what a serial line carried so far. A line that is not complete yet is left out.
func Parse(text string) []Event {
	var all []Event
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(line, mark)
		if !ok || !strings.HasSuffix(line, "\n") {
			continue
		}
		var e Event
		if json.Unmarshal([]byte(strings.TrimSpace(rest)), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

// Last gives the latest event of a name.
func Last(text, name string) (Event, bool) {
	all := Parse(text)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Name == name {
			return all[i], true
		}
	}
	return Event{}, false
}
