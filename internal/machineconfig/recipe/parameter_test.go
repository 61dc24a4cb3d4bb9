package recipe

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestWrongParametersAreRefusedWithWhatToWrite(t *testing.T) {
	for _, tc := range []struct {
		recipe, talos string
		params        Params
		want, hint    string
	}{
		{"kubespan", "v1.14.1", Params{"mtu": 9}, `recipe kubespan: parameter mtu: "9": it is too small`, "mtu: write a number from 1280 to 8920"},
		{"kubespan", "v1.14.1", Params{"mtu": "big"}, `recipe kubespan: parameter mtu: "big": it is no whole number`, "mtu: write a number from 1280 to 8920"},
		{"kubespan", "v1.14.1", Params{"mtu": []any{1}}, `recipe kubespan: parameter mtu: it is one value, not a list or a map`, "mtu: write a number from 1280 to 8920"},
		{"kubespan", "v1.14.1", Params{"mtu": 99999, "mut": 1, "advertise_kubernetes_networks": "maybe"}, `recipe kubespan: parameter mut: this recipe has no such parameter; parameter mtu: "99999": it is too big; parameter advertise_kubernetes_networks: "maybe" is neither true nor false`, "mut: did you mean mtu?; mtu: write a number from 1280 to 8920; advertise_kubernetes_networks: write true or false"},
		{"kubespan", "v1.14.1", Params{"endpoint_filters": "10.0.0.0"}, `recipe kubespan: parameter endpoint_filters: "10.0.0.0": it has a form that is not understood`, "endpoint_filters: write networks like 10.0.0.0/8, those to leave out with a ! before them"},
		{"rbac", "v1.14.1", Params{"on": true}, `recipe rbac: parameter on: this recipe has no such parameter`, "on: it has no parameters"},
		{"rbac", "latest", nil, `Talos version "latest" is none that recipes know`, "write it as v1.14.1; the first supported is 1.6"},
		{"rbac", "v1.5.0", nil, `Talos version "v1.5.0" is none that recipes know`, "write it as v1.14.1; the first supported is 1.6"},
		{"raid-array", "v1.13.9", Params{"array": "data"}, `recipe raid-array is for Talos 1.14 and newer, not for Talos 1.13`, "upgrade Talos to 1.14 first"},
		{"raid-array", "v1.14.1", nil, `recipe raid-array: parameter array: it is missing`, "array: write letters, digits, hyphens and underscores, 32 at most"},
		{"raid-array", "v1.14.1", Params{"array": "data", "wwids": "a"}, `recipe raid-array: parameter wwids: one disk makes no mirror`, "wwids: write the WWIDs of at least two"},
		{"cpu-governor", "v1.12.4", Params{"method": "install"}, `recipe cpu-governor: parameter method: "install" is for Talos up to 1.11, not for Talos 1.12`, "method: write schematic or sysfs"},
		{"cpu-governor", "v1.12.4", Params{"governor": "fast"}, `recipe cpu-governor: parameter governor: "fast": it is none of the values it can have`, "governor: write performance or powersave or schedutil or ondemand or conservative"},
		{"cpu-governor", "v1.12.4", Params{"method": "sysfs"}, `recipe cpu-governor: parameter cpus: method sysfs needs it`, "cpus: write the number of logical processors, which all of these servers must have"},
		{"cpu-governor", "v1.12.4", Params{"method": "sysfs", "cpus": "${cpus}"}, `recipe cpu-governor: parameter cpus: it cannot be a variable`, "cpus: write the number of logical processors"},
		{"openebs-localpv", "v1.14.1", Params{"path": "/var/openebs/local"}, `recipe openebs-localpv: parameter path: on Talos 1.14 the directory is below /var/mnt`, "path: leave it out, or set keep_path too"},
		{"openebs-localpv", "v1.13.9", Params{"volume": "a"}, `recipe openebs-localpv: parameter volume: it is for Talos 1.14 and newer, not for Talos 1.13`, "volume: leave it out"},
		{"openebs-localpv", "v1.13.9", Params{"path": "/mnt"}, `recipe openebs-localpv: parameter path: "/mnt": it has a form that is not understood`, "path: write a path below /var, like /var/openebs/local"},
		{"disk-encryption", "v1.14.1", Params{"ephemeral": "static"}, `recipe disk-encryption: parameter passphrase: a static key needs it`, "passphrase: write a long random one, as openssl rand -base64 32 makes"},
		{"disk-encryption", "v1.14.1", Params{"passphrase": "secret"}, `recipe disk-encryption: parameter passphrase: the key of EPHEMERAL is not static`, "passphrase: leave it out, or choose static for ephemeral"},
		{"disk-encryption", "v1.14.1", Params{"ephemeral": "static", "state": "none", "passphrase": "a"}, `recipe disk-encryption: parameter ephemeral: the key would stand readable on STATE, which is not encrypted`, "ephemeral: choose a key for state too"},
		{"disk-encryption", "v1.14.1", Params{"ephemeral": "none", "state": "none"}, `recipe disk-encryption: parameter ephemeral: nothing would be encrypted`, "ephemeral: choose a key for state or ephemeral"},
		{"disk-encryption", "v1.14.1", Params{"state": "kms"}, `recipe disk-encryption: parameter kms_endpoint: a kms key needs it`, "kms_endpoint: write its URL like https://192.0.2.21:4443"},
		{"disk-encryption", "v1.14.1", Params{"state": "kms", "kms_endpoint": "ftp://x"}, `recipe disk-encryption: parameter kms_endpoint: "ftp://x": it begins with ftp://`, "kms_endpoint: write a URL like https://host:5000"},
		{"disk-encryption", "v1.10.9", Params{"lock_to_state": true}, `recipe disk-encryption: parameter lock_to_state: it is for Talos 1.11 and newer, not for Talos 1.10`, "lock_to_state: leave it out"},
		{"disk-encryption", "v1.14.1", Params{"slot": 32}, `recipe disk-encryption: parameter slot: "32": it is too big`, "slot: write a number from 0 to 31"},
		{"disk-encryption", "v1.14.1", Params{"ephemeral": "static", "passphrase": "two\nlines"}, `recipe disk-encryption: parameter passphrase: the value: it has line ends or control characters`, "passphrase: write one line of text"},
		{"disk-encryption-rotation", "v1.14.1", Params{"volume": "STATE", "step": "add", "old_key": "nodeID", "new_key": "tpm", "new_slot": 0}, `recipe disk-encryption-rotation: parameter new_slot: it is the slot of the old key, which would be lost at once`, "new_slot: write another one, from 0 to 31"},
		{"disk-encryption-rotation", "v1.14.1", Params{"volume": "STATE", "step": "add", "old_key": "tpm", "new_key": "tpm"}, `recipe disk-encryption-rotation: parameter new_key: the old key is of the same kind, and nothing would change`, "new_key: choose another kind"},
		{"disk-encryption-rotation", "v1.14.1", nil, `recipe disk-encryption-rotation: parameter volume: it is missing; parameter step: it is missing; parameter old_key: it is missing; parameter new_key: it is missing`, "volume: write EPHEMERAL or STATE; step: write add or remove; old_key: write nodeID or static or kms or tpm; new_key: write nodeID or static or kms or tpm"},
		{"ephemeral-disk", "v1.14.1", nil, `recipe ephemeral-disk: parameter wwid: nothing says which disk`, "wwid: write one of wwid, match, md_uuid, md_name"},
		{"ephemeral-disk", "v1.9.6", Params{"md_name": "data"}, `recipe ephemeral-disk: parameter md_name: it is for Talos 1.10 and newer, not for Talos 1.9`, "md_name: leave it out"},
		{"ephemeral-disk", "v1.14.1", Params{"wwid": "a", "match": "disk.rotational"}, `recipe ephemeral-disk: parameter wwid: several parameters say which disk`, "wwid: write only one of wwid, md_uuid, md_name and match"},
		{"ephemeral-disk", "v1.14.1", Params{"match": "disk.wwid == 'a"}, `recipe ephemeral-disk: parameter match: "disk.wwid == 'a": it is no expression about it: 1:14: Syntax error: token recognition error at: ''a'`, `match: write an expression like !system_disk && disk.transport == "nvme"`},
		{"ephemeral-disk", "v1.14.1", Params{"match": "disk.wwn == 'a'"}, `recipe ephemeral-disk: parameter match: "disk.wwn == 'a'": it is no expression about it: 1:5: undefined field 'wwn'`, `match: write an expression like !system_disk && disk.transport == "nvme"`},
		{"raid-array", "v1.14.1", Params{"array": "a", "match": "disk.size"}, `recipe raid-array: parameter match: "disk.size": it is no expression about it: expression output type is uint, expected bool`, `match: write an expression like disk.transport == "nvme" && disk.size > 100u * GiB`},
		{"vswitch-vlan", "v1.14.1", Params{"address": "10.0.0.7"}, `recipe vswitch-vlan: parameter address: "10.0.0.7": it is no IP address with a prefix length`, "address: write an address with prefix length like 10.0.0.7/24"},
		{"vswitch-vlan", "v1.14.1", Params{"address": "${private_ip}"}, ``, ``},
		{"vswitch-vlan", "v1.14.1", Params{"address": "10.0.${x}"}, `recipe vswitch-vlan: parameter address: "10.0.${x}": it has no prefix length`, "address: write an address with prefix length like 10.0.0.7/24"},
		{"vswitch-vlan", "v1.14.1", Params{"address": "${private_ip}\"/21"}, `recipe vswitch-vlan: parameter address: "${private_ip}\"/21": around its variables it has characters that no address has`, "address: write an address with prefix length like 10.0.0.7/24"},
		{"vswitch-vlan", "v1.14.1", Params{"mac": "eth0"}, `recipe vswitch-vlan: parameter mac: "eth0": it is no MAC address`, "mac: write a MAC address like 0c:9d:92:11:22:33"},
		{"vswitch-vlan", "v1.14.1", Params{"routes": "10.0.0.0/16"}, `recipe vswitch-vlan: parameter routes: "10.0.0.0/16" is no key=value`, "routes: write network=gateway, one a line, like 10.0.0.0/16=10.0.0.1"},
		{"vswitch-vlan", "v1.14.1", Params{"routes": "10.0.0.0/16=here"}, `recipe vswitch-vlan: parameter routes: 10.0.0.0/16: "here": it is no IP address`, "routes: write network=gateway, one a line, like 10.0.0.0/16=10.0.0.1"},
		{"static-address", "v1.14.1", Params{"gateway": "fe80::1%eth0"}, `recipe static-address: parameter gateway: "fe80::1%eth0": it is no IP address`, "gateway: write an IP address like 203.0.113.7"},
		{"registry-auth", "v1.14.1", Params{"registry": "https://ghcr.io"}, `recipe registry-auth: parameter registry: "https://ghcr.io": it has a form that is not understood`, "registry: write a host like registry.example.com or registry.example.com:5000"},
		{"registry-auth", "v1.14.1", Params{"registry": "ghcr.io"}, `recipe registry-auth: parameter username: nothing says how to log in`, "username: write a user name with its password, or auth, or an identity token"},
		{"registry-auth", "v1.14.1", Params{"registry": "ghcr.io", "username": "a"}, `recipe registry-auth: parameter password: it is missing`, "password: write the password of the user"},
		{"registry-auth", "v1.14.1", Params{"registry": "ghcr.io", "ca": "MIIB"}, `recipe registry-auth: parameter ca: "MIIB": it holds no certificate`, "ca: write certificates as PEM, -----BEGIN CERTIFICATE----- and what follows"},
		{"custom-ca", "v1.14.1", Params{"certificates": "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"}, `recipe custom-ca: parameter certificates: what was given: it holds a PEM block "PRIVATE KEY"`, "certificates: write certificates as PEM, -----BEGIN CERTIFICATE----- and what follows"},
		{"custom-ca", "v1.14.1", Params{"certificates": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}, `recipe custom-ca: parameter certificates: what was given: it holds a certificate that cannot be read`, "certificates: write certificates as PEM, -----BEGIN CERTIFICATE----- and what follows"},
		{"registry-mirrors", "v1.14.1", Params{"mirrors": ""}, `recipe registry-mirrors: parameter mirrors: it is missing`, "mirrors: write registry=URL, one a line, like docker.io=http://10.5.0.1:5000"},
		{"registry-mirrors", "v1.14.1", Params{"mirrors": Params{}}, `recipe registry-mirrors: parameter mirrors: it is empty`, "mirrors: write registry=URL, one a line, like docker.io=http://10.5.0.1:5000"},
		{"registry-mirrors", "v1.14.1", Params{"mirrors": "docker.io=10.5.0.1"}, `recipe registry-mirrors: parameter mirrors: docker.io: "10.5.0.1": it has a form that is not understood`, "mirrors: write registry=URL, one a line, like docker.io=http://10.5.0.1:5000"},
		{"registry-mirrors", "v1.14.1", Params{"mirrors": "a.io=http://a,a.io=http://b"}, `recipe registry-mirrors: parameter mirrors: the key "a.io" is there twice`, "mirrors: write registry=URL, one a line, like docker.io=http://10.5.0.1:5000"},
		{"registry-mirrors", "v1.8.4", Params{"mirrors": "a.io=http://a", "skip_fallback": "yes"}, `recipe registry-mirrors: parameter skip_fallback: it is for Talos 1.9 and newer, not for Talos 1.8`, "skip_fallback: leave it out"},
		{"harbor-mirror", "v1.14.1", Params{"url": "http://admin:secret@harbor"}, `recipe harbor-mirror: parameter url: what was given: it holds a user name, which would be shown`, "url: write a URL like https://host:5000"},
		{"service-logs", "v1.14.1", Params{"destinations": "tcp://host"}, `recipe service-logs: parameter destinations: "tcp://host": it has no port`, "destinations: write URLs like tcp://10.0.0.9:5044/ or udp://127.0.0.1:12345/, one a line"},
		{"kernel-logs", "v1.14.1", Params{"destination": "tcp://host:1/logs"}, `recipe kernel-logs: parameter destination: "tcp://host:1/logs": it has a path`, "destination: write a URL like tcp://10.0.0.9:5044/ or udp://10.0.0.9:5044/"},
		{"kernel-logs", "v1.14.1", Params{"destination": "tcp://${private_ip}:1", "early": true}, `recipe kernel-logs: parameter destination: a kernel argument cannot hold variables`, "destination: write the address itself, or leave early off"},
		{"talos-api-access", "v1.14.1", Params{"roles": "admin", "namespaces": "x"}, `recipe talos-api-access: parameter roles: "admin": it has a form that is not understood`, "roles: write roles of os:admin, os:operator, os:reader, os:etcd:backup"},
		{"node-labels", "v1.14.1", Params{"labels": "node-role.kubernetes.io/worker="}, `recipe node-labels: parameter labels: workers may not give themselves node-role.kubernetes.io/worker`, "labels: use a label rule, or set control_planes where only they are meant"},
		{"node-labels", "v1.14.1", Params{"labels": "a b=c"}, `recipe node-labels: parameter labels: the key "a b" has a form that is not understood`, "labels: write key=value, one a line, the values of letters, digits, dots, underscores and hyphens"},
		{"node-taints", "v1.14.1", Params{"taints": "role=database"}, `recipe node-taints: parameter taints: role: "database": it has a form that is not understood`, "taints: write key=value:Effect, one a line; effects are NoSchedule, PreferNoSchedule and NoExecute"},
		{"extension-service-config", "v1.14.1", Params{"service": "ext-a!", "environment": "A=1"}, `recipe extension-service-config: parameter service: "ext-a!": it has a form that is not understood`, "service: write the name like tailscale, without ext- before it"},
		{"extension-service-config", "v1.14.1", Params{"service": "a", "environment": "A=top\x00secret"}, `recipe extension-service-config: parameter environment: A: the value: it has line ends or control characters`, "environment: write NAME=value, one a line"},
		{"extension-service-config", "v1.6.8", Params{"service": "a"}, `recipe extension-service-config is for Talos 1.7 and newer, not for Talos 1.6`, "upgrade Talos to 1.7 first"},
		{"hostname", "v1.14.1", Params{"hostname": "Web_1"}, `recipe hostname: parameter hostname: "Web_1": it has a form that is not understood`, "hostname: write a host name of a-z, 0-9 and hyphens, or ${hostname}.example.com"},
		{"containerd", "v1.14.1", nil, `recipe containerd: parameter metrics: nothing would be set`, "metrics: write at least one of metrics, pause_image, default_runtime and extra"},
	} {
		r, err := Get(tc.recipe)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Apply(tc.talos, tc.params)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s %v: %v", tc.recipe, tc.params, err)
			}
			continue
		}
		if err == nil || err.Error() != tc.want || fleet.HintOf(err) != tc.hint || fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%s on %s %v:\n got %v\nwant %s\nhint %q\nwant %q", tc.recipe, tc.talos, tc.params, err, tc.want, fleet.HintOf(err), tc.hint)
		}
	}
}

func TestParametersMayBeWrittenInSeveralWays(t *testing.T) {
	for _, tc := range []struct {
		why, recipe string
		ways        []Params
	}{
		{"a list", "system-extensions", []Params{{"extensions": "a/b,c/d"}, {"extensions": "a/b\nc/d\n"}, {"extensions": []string{"a/b", "c/d"}}, {"extensions": []any{"a/b", "c/d"}}, {"extensions": " a/b , c/d ,"}}},
		{"a map", "sysctls", []Params{{"sysctls": "a=1,b=x"}, {"sysctls": "b=x\na=1"}, {"sysctls": map[string]any{"a": 1, "b": "x"}}, {"sysctls": map[string]string{"a": "1", "b": "x"}}, {"sysctls": map[string]any{"a": 1.0, "b": "x"}}, {"sysctls": []any{"a=1", "b=x"}}}},
		{"a number", "kubespan", []Params{{"mtu": 1400}, {"mtu": "1400"}, {"mtu": 1400.0}, {"mtu": int64(1400)}, {"mtu": " 1400 "}}},
		{"a yes", "nvidia-open", []Params{{}, {"branch": ""}, {"branch": nil}, {"branch": "lts"}}},
		{"a bool", "vswitch-vlan", []Params{{"dhcp": false}, {"dhcp": "false"}, {"dhcp": "No"}, {"dhcp": "off"}}},
	} {
		var first Result
		for i, params := range tc.ways {
			result := mustApply(t, tc.recipe, "v1.14.1", params)
			if i == 0 {
				first = result
			}
			if strings.Join(result.Schematic.Extensions, " ") != strings.Join(first.Schematic.Extensions, " ") || texts(result) != texts(first) {
				t.Errorf("%s: %v gives\n%s\nnot\n%s", tc.why, params, texts(result), texts(first))
			}
		}
	}
}

func texts(r Result) string {
	var b strings.Builder
	for _, p := range r.Patches {
		b.WriteString(p.Text)
	}
	return b.String()
}

func TestGetSaysWhatMayBeMeant(t *testing.T) {
	_, err := Get("kubspan")
	if fleet.KindOf(err) != fleet.NotFound || fleet.HintOf(err) != "did you mean kubespan?" {
		t.Errorf("%v, %q", err, fleet.HintOf(err))
	}
	_, err = Get("something-else-altogether")
	if !strings.Contains(fleet.HintOf(err), "registry-auth") {
		t.Errorf("%v, %q", err, fleet.HintOf(err))
	}
}
