package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
)

// head is how much of an answer is shown.
const head = 160

// fetch gets the config as Talos does (pkg/download, platform/metal): everything but 200 is tried again, with growing pauses,
// the URL filled anew each time; 204 is an empty config.
func (m *machine) fetch(source string) error {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		address, err := m.fill(source)
		if err != nil {
			return err
		}
		if m.get(address) {
			return nil
		}
		time.Sleep(pause)
	}
}

func (m *machine) get(address string) (done bool) {
	client := http.Client{Timeout: 90 * time.Second}
	answer, err := client.Get(address)
	if err != nil {
		m.say(console.Event{Name: console.Refused, URL: address, Text: err.Error()})
		return false
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	e := console.Event{Name: console.Config, URL: address, Status: answer.StatusCode, Bytes: len(body), Text: string(body[:min(len(body), head)])}
	if err != nil {
		e.Text = err.Error()
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		e.Name = console.Refused
		m.say(e)
		return answer.StatusCode == http.StatusNoContent // Talos takes that for an empty config
	}
	sum := sha256.Sum256(body)
	e.SHA256 = hex.EncodeToString(sum[:])
	m.say(e)
	return true
}

// fill replaces the variables in the query of the URL (platform/metal/url): ${uuid}, ${serial}, ${mac}, ${hostname}, ${code},
// in any case, and an empty "uuid=". Talos waits 90 s for one that has no value, then asks with what it has; this does not wait.
func (m *machine) fill(source string) (string, error) {
	u, err := url.Parse(source)
	if err != nil {
		return "", fmt.Errorf("talos.config: %w", err)
	}
	name, _ := os.Hostname()
	values := map[string]string{"uuid": m.uuid, "serial": m.number, "mac": m.nic.HardwareAddr.String(), "hostname": name, "code": m.meta[keyCode]}
	query, changed := u.Query(), false
	for key, list := range query {
		if key == "uuid" && (len(list) != 1 || strings.TrimSpace(list[0]) == "") {
			query.Set(key, m.uuid)
			changed = true
			continue
		}
		for i, text := range list {
			for variable, value := range values {
				pattern := regexp.MustCompile(`(?i)\$\{` + variable + `\}`)
				switch {
				case !pattern.MatchString(text):
				case value == "":
					changed = true
					m.say(console.Event{Name: console.Waiting, Text: "the variable ${" + variable + "} to have a value"})
				default:
					changed = true
					text = pattern.ReplaceAllLiteralString(text, value)
				}
			}
			list[i] = text
		}
	}
	if !changed {
		return source, nil
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
