package talosnode_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// applyCall is a line of the recordings of ApplyConfiguration.
type applyCall struct {
	Case, Mode, Code, Message string
	DryRun                    bool `json:"dry_run"`
	Response                  any
}

// details of the recorded answer: mode and the first lines of its text.
func (a applyCall) details() (mode, text string) {
	r, _ := a.Response.(map[string]any)
	list, _ := r["messages"].([]any)
	if len(list) == 0 {
		return "", ""
	}
	m, _ := list[0].(map[string]any)
	mode, _ = m["mode"].(string)
	text, _ = m["mode_details"].(string)
	return mode, strings.SplitN(text, "Config diff:", 2)[0]
}

func (l *lab) send(c *client.Client, data []byte, mode string, dry bool) (*machine.ApplyConfiguration, error) {
	r, err := c.ApplyConfiguration(context.Background(), &machine.ApplyConfigurationRequest{
		Data: data, DryRun: dry,
		Mode: machine.ApplyConfigurationRequest_Mode(machine.ApplyConfigurationRequest_Mode_value[mode]),
	})
	if err != nil {
		return nil, err
	}
	return r.GetMessages()[0], nil
}

// checkApply sends a recorded call and compares the answers. Lines about container mode exist only in the lab.
func (l *lab) checkApply(c *client.Client, a applyCall, data []byte) {
	l.t.Helper()
	got, err := l.send(c, data, a.Mode, a.DryRun)
	if status.Code(err).String() != a.Code {
		l.t.Errorf("%s, %s: %v, recorded %s %s", a.Case, a.Mode, err, a.Code, a.Message)
		return
	}
	if err != nil {
		if strings.Contains(a.Message, "yaml: ") { // the library of 1.14 words it differently
			return
		}
		if g, w := plain(status.Convert(err).Message()), plain(a.Message); g != w {
			l.t.Errorf("%s, %s:\n%q, recorded\n%q", a.Case, a.Mode, g, w)
		}
		return
	}
	mode, text := a.details()
	if mode == "" {
		mode = "REBOOT"
	}
	if a.Response != nil && text != "" && (got.GetMode().String() != mode || !strings.HasPrefix(got.GetModeDetails(), text)) {
		l.t.Errorf("%s, %s: %s %.200q, recorded %s %q", a.Case, a.Mode, got.GetMode(), got.GetModeDetails(), mode, text)
	}
}

// plain leaves out what only container mode says, the counts of it, and what the lab's config has.
func plain(message string) string {
	message, _, _ = strings.Cut(message, "\ndiff:\n")
	var kept []string
	for _, line := range strings.Split(message, "\n") {
		if !strings.Contains(line, "container mode") && !strings.Contains(line, "errors occurred") && !strings.Contains(line, "error occurred") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func TestApplyConfigurationInMaintenanceAnswersAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.machine(2, nil)
	c := l.maintenance(m)
	cp, worker := string(l.controlPlane(m)), string(l.worker(m))
	edit := func(old, new string) []byte { return []byte(strings.Replace(cp, old, new, 1)) }
	bodies := map[string][]byte{
		"empty data, dry_run":            {},
		"not yaml":                       []byte("a: [b"),
		"yaml scalar":                    []byte("hello"),
		"yaml without kind/version":      []byte("a: b\n"),
		"unknown document kind":          []byte("apiVersion: v1alpha1\nkind: NoSuchConfig\n"),
		"unknown key in machine":         edit("machine:\n", "machine:\n    nosuchkey: 1\n"),
		"unknown keys, two levels":       []byte(strings.Replace(string(edit("machine:\n", "machine:\n    nosuchkey: {a: 1}\n")), "cluster:\n", "cluster:\n    otherkey: 2\n", 1)),
		"wrong machine type":             edit("type: controlplane", "type: foobar"),
		"no install section":             []byte(cp),
		"no machine section":             []byte("version: v1alpha1\ncluster:\n    controlPlane:\n        endpoint: https://10.5.0.2:6443\n"),
		"invalid node label":             edit("    nodeLabels:\n", "    nodeLabels:\n        bad label: x y\n"),
		"duplicate documents":            nil,
		"wrong field type":               []byte("version: v1alpha1\ndebug: []\n"),
		"valid worker, dry_run":          []byte(worker),
		"only a HostnameConfig document": []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: abc\n"),
	}
	for _, mode := range []string{"REBOOT", "AUTO", "NO_REBOOT", "STAGED", "TRY"} {
		bodies["valid control plane, dry_run, mode "+mode] = []byte(cp)
		bodies["INVALID-in-maintenance? mode "+mode+" not dry"] = bodies["wrong machine type"]
	}
	bodies["hostname twice (HostnameConfig and machine.network.hostname)"] = edit("    install:\n", "    network:\n        hostname: abc\n    install:\n")
	n := 0
	for _, a := range lines[applyCall](t, "01-maintenance-apply-config.jsonl") {
		if data := bodies[a.Case]; data != nil {
			l.checkApply(c, a, data)
			n++
		}
	}
	if n < 20 {
		t.Errorf("only %d cases", n)
	}
}

func TestADryRunOnARunningControlPlaneAnswersAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	cp := string(l.controlPlane(m))
	edit := func(old, new string) []byte { return []byte(strings.Replace(cp, old, new, 1)) }
	bodies := map[string][]byte{
		"no change":                                              []byte(cp),
		"no-reboot-able change (node label)":                     edit("    nodeLabels:\n", "    nodeLabels:\n        rec: \"1\"\n"),
		"new document (KmsgLogConfig)":                           []byte(cp + "---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: remote\nurl: tcp://10.5.0.1:5140/\n"),
		"reboot-only change (machine.features.diskQuotaSupport)": edit("diskQuotaSupport: true", "diskQuotaSupport: false"),
		"invalid (machine type)":                                 edit("type: controlplane", "type: foobar"),
		"worker config on a control plane":                       l.worker(m),
		"only a HostnameConfig document":                         []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: abc\n"),
	}
	n := 0
	for _, a := range lines[applyCall](t, "06-apply-dry-run.jsonl") {
		if data := bodies[a.Case]; data != nil {
			l.checkApply(c, a, data)
			n++
		}
	}
	if n != 35 {
		t.Errorf("%d cases", n)
	}
}

// versions of the MachineConfig resources, 0 if there is none.
func (l *lab) versions(c *client.Client) (persistent, running string) {
	l.t.Helper()
	list, err := safe.StateListAll[*config.MachineConfig](context.Background(), c.COSI)
	if err != nil {
		l.t.Fatal(err)
	}
	for r := range list.All() {
		switch r.Metadata().ID() {
		case config.PersistentID:
			persistent = r.Metadata().Version().String()
		case config.ActiveID:
			running = r.Metadata().Version().String()
		}
	}
	return persistent, running
}

func TestEveryModeOfApplyTouchesTheConfigsAsRecorded(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	cp := string(l.controlPlane(m))
	label := []byte(strings.Replace(cp, "    nodeLabels:\n", "    nodeLabels:\n        rec: \"1\"\n", 1))
	quota := []byte(strings.Replace(cp, "diskQuotaSupport: true", "diskQuotaSupport: false", 1))
	for _, step := range []struct {
		why                 string
		data                []byte
		mode                string
		persistent, running int // how many versions on
	}{
		{"an unchanged config is a new version of both", []byte(cp), "AUTO", 1, 1},
		{"a label needs no reboot", label, "AUTO", 1, 1},
		{"a trial runs but is not kept", []byte(cp), "TRY", 0, 1},
		{"any apply ends a trial", label, "NO_REBOOT", 1, 1},
		{"staged is kept but does not run", []byte(cp), "STAGED", 1, 0},
	} {
		p0, r0 := l.versions(c)
		if _, err := l.send(c, step.data, step.mode, false); err != nil {
			t.Fatalf("%s: %v", step.why, err)
		}
		p1, r1 := l.versions(c)
		if atoi(p1)-atoi(p0) != step.persistent || atoi(r1)-atoi(r0) != step.running {
			t.Errorf("%s: %s to %s, %s to %s", step.why, p0, p1, r0, r1)
		}
	}
	_, err := l.send(c, quota, "NO_REBOOT", false)
	if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), "this config change can't be applied in immediate mode\ndiff:\n--- a\n+++ b\n@@") {
		t.Errorf("a change that needs a reboot: %v", err)
	}
	r, err := l.send(c, quota, "AUTO", false)
	if err != nil || r.GetMode() != machine.ApplyConfigurationRequest_REBOOT || !strings.HasPrefix(r.GetModeDetails(), "Applied configuration with a reboot: this config change") {
		t.Fatalf("with a reboot: %v %v", r, err)
	}
	_, err = l.send(c, quota, "AUTO", false)
	l.wants(err, codes.FailedPrecondition, "configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")
	c = l.answers(m)
	l.until("the new config", func(ctx context.Context) bool {
		r, err := safe.StateGetByID[*config.MachineConfig](ctx, c.COSI, config.ActiveID)
		return err == nil && !*r.Provider().RawV1Alpha1().MachineConfig.MachineFeatures.DiskQuotaSupport
	})
}

func TestATrialEndsByItself(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	_, before := l.versions(c)
	r, err := c.ApplyConfiguration(context.Background(), &machine.ApplyConfigurationRequest{
		Data: l.controlPlane(m),
		Mode: machine.ApplyConfigurationRequest_TRY, TryModeTimeout: durationpb.New(12 * time.Second),
	})
	if err != nil || !strings.HasSuffix(r.GetMessages()[0].GetModeDetails(), "and will be automatically reverted back in 12s") {
		t.Fatalf("%v %v", r, err)
	}
	l.until("the config before", func(context.Context) bool { _, now := l.versions(c); return atoi(now)-atoi(before) == 2 })
}

func TestTalos114NeedsNoRebootAndHasNoSuchMode(t *testing.T) {
	l := newLab(t, "v1.14.1")
	m, c := l.configured(2, l.controlPlane)
	_, err := l.send(c, l.controlPlane(m), "REBOOT", false)
	l.wants(err, codes.Unimplemented, "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")
	if r, err := l.send(c, l.worker(m), "AUTO", true); err != nil || r.GetMode() != machine.ApplyConfigurationRequest_NO_REBOOT {
		t.Errorf("%v %v", r, err)
	}
}

func TestADocumentNewerThanTheNodeIsNotRegistered(t *testing.T) {
	l := newLab(t, "v1.13.9")
	c := l.maintenance(l.machine(2, nil))
	_, err := l.send(c, []byte("apiVersion: v1alpha1\nkind: SysctlConfig\nparams:\n    a.b: c\n"), "AUTO", true)
	l.wants(err, codes.InvalidArgument, `error decoding document v1alpha1/SysctlConfig/ (line 1): "SysctlConfig" "v1alpha1": not registered`)
}

func TestAnIncompleteConfigIsTakenAndTheNodeStaysInMaintenance(t *testing.T) {
	l := newLab(t, "v1.13.9")
	c := l.maintenance(l.machine(2, nil))
	if _, err := l.send(c, []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: abc\n"), "AUTO", false); err != nil {
		t.Fatal(err)
	}
	l.until("the hostname", func(ctx context.Context) bool {
		r, err := c.MachineClient.Hostname(ctx, &emptypb.Empty{})
		return err == nil && r.GetMessages()[0].GetHostname() == "abc"
	})
	if s := stage(context.Background(), c); s != "maintenance true" {
		t.Errorf("stage %s", s)
	}
}
