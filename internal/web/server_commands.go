package web

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// jsonBody writes an object for a request.
func jsonBody(fields map[string]any) string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(fields) // plain values: none fails
	return strings.TrimSpace(out.String())
}

// serverCall is a request about a server.
func serverCall(method, path string, s fleet.Server, fields map[string]any) string {
	call := method + " /api/v1/servers/" + url.PathEscape(s.ID) + path
	if fields == nil {
		return call
	}
	return call + " " + jsonBody(fields)
}

// serverCommands are the commands that do what the first page of a server does.
func serverCommands(d serverData) []command {
	s, name := d.Server, shellWord(d.Server.Name)
	all := []command{{What: "Show all that is known of it", CLI: "server show " + name, API: serverCall("GET", "", s, nil)}, assignCommand(d)}
	if s.Assignment.Assigned() {
		all = append(all,
			command{"Say what an install would do", "server install " + name + " --dry-run", serverCall("POST", "/install/preview", s, map[string]any{})},
			command{"Install Talos on it", "server install " + name + " --wait", serverCall("POST", "/install", s, map[string]any{})},
			command{"Take it out of its cluster", "server assign " + name + " --cluster ''", serverCall("PATCH", "/assignment", s, map[string]any{"cluster": ""})},
		)
	}
	all = append(all,
		command{"Boot the rescue system", "server rescue " + name + " --wait", serverCall("POST", "/rescue", s, nil)},
		command{"Rename it", "server rename " + name + " NAME", serverCall("PATCH", "", s, map[string]any{"name": "NAME"})},
	)
	if len(d.VSwitches) > 1 {
		to := d.VSwitches[1].Value
		all = append(all, command{"Move it to vSwitch " + d.VSwitches[1].Name, "server vswitch " + name + " " + to, serverCall("PATCH", "", s, map[string]any{"vSwitch": to})})
	}
	if recoverable(s) {
		uuid := cmp.Or(s.RanAs, "UUID")
		all = append(all, command{"Give Talos its UUID back", "server recover-uuid " + name + " --uuid " + uuid, serverCall("POST", "/recover-uuid", s, map[string]any{"uuid": uuid})})
	}
	if !d.node() {
		uuid := cmp.Or(s.UUIDOverride, "UUID")
		all = append(all, command{"Say which UUID the next install gives to Talos", "server override-uuid " + name + " " + uuid, serverCall("PATCH", "", s, map[string]any{"uuidOverride": uuid})})
	}
	return append(all, manualCommands(s)...)
}

func manualCommands(s fleet.Server) (all []command) {
	name := shellWord(s.Name)
	if s.Provider == fleet.Manual {
		all = append(all,
			command{"Look what answers at its address", "server probe " + name, serverCall("POST", "/probe", s, nil)},
			command{"Tell where it is now", "server move " + name + " --address " + shellWord(s.ProviderID), serverCall("PATCH", "", s, map[string]any{"address": s.ProviderID})},
		)
	}
	if removable(s) {
		all = append(all, command{"Forget it", "server remove " + name, serverCall("DELETE", "", s, nil)})
	}
	return all
}

// assignCommand says what the server is to be, as it is now or as it could be.
func assignCommand(d serverData) command {
	a := d.Server.Assignment
	words, fields := "server assign "+shellWord(d.Server.Name), map[string]any{}
	add := func(flag, name, value string) {
		if value != "" {
			words += " --" + flag + " " + shellWord(value)
			fields[name] = value
		}
	}
	add("cluster", "cluster", cmp.Or(d.Row.Cluster, firstName(d.Clusters), "CLUSTER"))
	add("role", "role", string(roleOf(d.Server)))
	add("hostname", "hostname", a.Hostname)
	add("private-ip", "privateIP", a.PrivateIP)
	add("config", "config", d.Config)
	add("schematic", "schematic", namesOf(d.Schematics[1:])[a.SchematicID])
	add("disk", "installDisk", a.InstallDisk)
	add("disk-policy", "diskPolicy", string(a.DiskPolicy))
	add("ephemeral-disk", "ephemeralDisk", a.EphemeralDisk)
	return command{"Say what it is to be", words, serverCall("PATCH", "/assignment", d.Server, fields)}
}

func firstName(all []option) string {
	if len(all) == 0 {
		return ""
	}
	return all[0].Name
}

// configCommands are the commands that do what the page of a machine config does.
func configCommands(s fleet.Server) []command {
	name, layer, of := shellWord(s.Name), shellWord("server/"+s.Name), "/api/v1/layers/server/"+url.PathEscape(s.ID)
	all := []command{
		{"Show its own patches and variables", "layer show " + layer, "GET " + of},
		{"Say who brought each line of its own patches", "layer blame " + layer, "GET " + of + "/blame"},
		{"Change its own patch", "patch update " + layer + " own @FILE", "PATCH " + of + "/patches/own " + jsonBody(map[string]any{"text": "…"})},
		{"Set a variable of its own", "variable set " + layer + " NAME VALUE", "PUT " + of + "/variables/NAME " + jsonBody(map[string]any{"value": "VALUE"})},
	}
	if !s.Assignment.Assigned() {
		return all
	}
	return append([]command{
		{"Show its machine config", "machine-config show " + name, serverCall("GET", "/machine-config", s, nil)},
		{"Say who set each line", "machine-config explain " + name, serverCall("GET", "/machine-config/explain", s, nil)},
		{"Compare with what the node runs", "plan " + name + " --running", "POST /api/v1/plan " + jsonBody(map[string]any{"servers": []string{s.ID}, "running": true})},
		{"Compare with another server", "machine-config diff " + name + " OTHER", serverCall("GET", "/machine-config/diff?with=OTHER", s, nil)},
	}, all...)
}

func historyCommands(s fleet.Server) []command {
	return []command{{"List what was done to it", "operation list --server " + shellWord(s.Name), "GET /api/v1/operations?server=" + url.QueryEscape(s.ID)}}
}

func eventCommands(s fleet.Server) []command {
	return []command{{"List who did what with it", "event list --subject server --target " + shellWord(s.Name), "GET /api/v1/events?subject=server&target=" + url.QueryEscape(s.ID)}}
}
