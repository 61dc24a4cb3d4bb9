package recipe

import (
	"slices"
	"strings"
)

func diskPromises() []promise {
	const secret = `pass"word: ${hostname} $${x} \`
	rotate := func(step string, more Params) Params {
		p := Params{"volume": "EPHEMERAL", "step": step, "old_key": "static", "old_passphrase": "old", "new_key": "tpm"}
		for name, v := range more {
			p[name] = v
		}
		return p
	}
	return []promise{
		{"disk-encryption", "both with nodeID", nil, func(k kept) { k.keysAre([]string{"0 nodeID"}, []string{"0 nodeID"}) }},
		{"disk-encryption", "STATE only", Params{"ephemeral": "none"}, func(k kept) { k.keysAre([]string{"0 nodeID"}, nil) }},
		{"disk-encryption", "EPHEMERAL only", Params{"state": "none", "slot": 3}, func(k kept) { k.keysAre(nil, []string{"3 nodeID"}) }},
		{"disk-encryption", "static", Params{"ephemeral": "static", "passphrase": secret}, func(k kept) {
			k.keysAre([]string{"0 nodeID"}, []string{"0 static " + secret})
		}},
		{"disk-encryption", "static for both, with a warning", Params{"state": "static", "ephemeral": "static", "passphrase": "p", "state_passphrase": "q", "slot": 1}, func(k kept) {
			k.keysAre([]string{"0 static q"}, []string{"1 static p"})
			k.want(strings.Contains(strings.Join(k.Notes, " "), "unencrypted in the META partition"), "no warning in %q", k.Notes)
		}},
		{"disk-encryption", "kms", Params{"state": "kms", "ephemeral": "kms", "kms_endpoint": "https://192.0.2.21:4443"}, func(k kept) {
			k.keysAre([]string{"0 kms https://192.0.2.21:4443"}, []string{"0 kms https://192.0.2.21:4443"})
		}},
		{"disk-encryption", "tpm", Params{"state": "tpm", "ephemeral": "tpm", "tpm_check_secureboot": true, "cipher": "xchacha20,aes-adiantum-plain64"}, func(k kept) {
			k.keysAre([]string{"0 tpm with Secure Boot"}, []string{"0 tpm with Secure Boot"})
			k.want(k.encryption("STATE").Cipher() == "xchacha20,aes-adiantum-plain64", "cipher %s", k.encryption("STATE").Cipher())
		}},
		{"disk-encryption", "tpm, locked", Params{"state": "tpm", "ephemeral": "tpm", "lock_to_state": true}, func(k kept) { k.keysAre([]string{"0 tpm"}, []string{"0 tpm locked"}) }},
		{"disk-encryption-rotation", "add", rotate("add", nil), func(k kept) { k.keysAre(nil, []string{"0 static old", "1 tpm"}) }},
		{"disk-encryption-rotation", "remove", rotate("remove", nil), func(k kept) { k.keysAre(nil, []string{"1 tpm"}) }},
		{"disk-encryption-rotation", "locked", rotate("add", Params{"lock_to_state": true}), func(k kept) {
			k.keysAre(nil, []string{"0 static old locked", "1 tpm locked"})
		}},
		{"disk-encryption-rotation", "STATE back to the first slot", Params{"volume": "STATE", "step": "add", "old_key": "kms", "old_kms_endpoint": "https://a:1", "old_slot": 1, "new_key": "nodeID", "new_slot": 0}, func(k kept) {
			k.keysAre([]string{"1 kms https://a:1", "0 nodeID"}, nil)
		}},
		{"ephemeral-disk", "by WWID", Params{"wwid": "eui.1", "max_size": "100GiB"}, func(k kept) {
			k.ephemeral(`disk.wwid == "eui.1"`)
			v, _ := k.Volumes().ByName("EPHEMERAL")
			k.want(v.Provisioning().MaxSize().ValueOrZero() == 100<<30, "size %d", v.Provisioning().MaxSize().ValueOrZero())
		}},
		{"ephemeral-disk", "by md UUID", Params{"md_uuid": "0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9"}, func(k kept) {
			k.ephemeral(`"/dev/disk/by-id/md-uuid-0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9" in disk.symlinks`)
		}},
		{"ephemeral-disk", "by md name", Params{"md_name": "data"}, func(k kept) { k.ephemeral(`"/dev/disk/by-id/md-name-data" in disk.symlinks`) }},
		{"ephemeral-disk", "by an expression", Params{"match": `!system_disk && disk.model == "a'b"`}, func(k kept) { k.ephemeral(`!system_disk && disk.model == "a'b"`) }},
		{"raid-array", "by WWID", Params{"array": "data", "wwids": "eui.1,eui.2"}, func(k kept) {
			arrays := k.RAIDArrayConfigs()
			if len(arrays) != 1 {
				k.Fatalf("%d arrays", len(arrays))
			}
			k.want(arrays[0].Name() == "data" && arrays[0].RAIDLevel().String() == "raid1" && arrays[0].RAIDMetadata().String() == "1.2", "array %v", arrays[0])
			k.selects(arrays[0].Provisioning().VolumeSelector().MarshalText, `disk.wwid in ["eui.1", "eui.2"]`)
		}},
		{"raid-array", "by an expression, to boot from", Params{"array": "system", "match": `disk.transport == "nvme"`, "metadata": "1.0"}, func(k kept) {
			k.want(k.RAIDArrayConfigs()[0].RAIDMetadata().String() == "1.0", "metadata %s", k.RAIDArrayConfigs()[0].RAIDMetadata())
		}},
		{"openebs-localpv", "its directory", nil, func(k kept) {
			notes := strings.Join(k.Notes, " ")
			if k.minor >= 14 {
				volumes := k.UserVolumeConfigs()
				k.want(len(volumes) == 1 && volumes[0].Name() == "openebs-local" && volumes[0].Type().ValueOrZero().String() == "directory", "volumes %v", volumes)
				k.want(strings.Contains(notes, "basePath=/var/mnt/openebs-local"), "notes %s", notes)
				return
			}
			k.mounted("/var/openebs/local")
			k.want(strings.Contains(notes, "basePath=/var/openebs/local"), "notes %s", notes)
		}},
		{"openebs-localpv", "its directory of before", Params{"keep_path": true, "path": "/var/local"}, func(k kept) {
			k.mounted("/var/local")
			k.want(k.K8sKubeletConfig().Image() == "ghcr.io/siderolabs/kubelet:v1.36.3" && k.K8sKubeletConfig().DefaultRuntimeSeccompProfileEnabled(), "kubelet %v", k.K8sKubeletConfig())
			k.want(len(k.UserVolumeConfigs()) == 0 && strings.Contains(strings.Join(k.Notes, " "), "basePath=/var/local"), "notes %s", k.Notes)
		}},
	}
}

func (k kept) mounted(path string) {
	k.Helper()
	mounts := k.K8sKubeletConfig().ExtraMounts()
	k.want(len(mounts) == 1 && mounts[0].Source == path && mounts[0].Destination == path && mounts[0].Type == "bind" &&
		slices.Equal(mounts[0].Options, []string{"rbind", "rshared", "rw"}), "mounts %v", mounts)
}

func (k kept) ephemeral(match string) {
	k.Helper()
	v, ok := k.Volumes().ByName("EPHEMERAL")
	if !ok {
		k.Fatal("no VolumeConfig EPHEMERAL")
	}
	k.want(v.Provisioning().Grow().ValueOrZero() && v.Provisioning().MinSize().ValueOrZero() == 10_000_000_000, "provisioning %v", v.Provisioning())
	k.selects(v.Provisioning().DiskSelector().ValueOrZero().MarshalText, match)
}

func (k kept) selects(text func() ([]byte, error), want string) {
	k.Helper()
	got, err := text()
	k.want(err == nil && string(got) == want, "selects %s (%v), want %s", got, err, want)
}
