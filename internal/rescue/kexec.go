package rescue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/meta"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Kernel is a Talos that is started from the rescue system, and installs itself on a disk.
type Kernel struct {
	Token       string     // the operation's: the machine refuses a second writer, and loads for one once
	Disk        fleet.Disk // wiped: an older Talos on it would win over what is started
	URL         string     // of the kernel
	Initramfs   string     // its address
	CommandLine string     // see CommandLine; holds a one-time code
}

// exit codes of load-kernel.sh and kexec.sh; the others are those of write-image.sh.
const exitKexec = 70

// maxCommandLine is the longest command line a kernel takes (COMMAND_LINE_SIZE of x86 and arm64, less its end).
const maxCommandLine = 2047

// metaVariable begins the kernel argument that gives META values to a Talos that has no META partition yet: it has them
// at once, and its installer writes them to the disk. Source: talos ReloadMeta in v1alpha1_sequencer_tasks.go,
// cmd/installer setFlagsFromEnvironment; pkg/imager does it for its own PXE and ISO images.
const metaVariable = constants.KernelParamEnvironment + "=" + constants.MetaValuesEnvVar + "="

// CommandLine makes the command line of a kernel that is to fetch its config: the one of its schematic, with a source of
// our own (config, a URL, "" for a machine that is handed its config) in place of the schematic's, and with META values for a machine that has no META yet.
func CommandLine(schematics, config string, values Meta) (string, error) {
	if config != "" {
		config = "talos.config=" + config
		if err := checkArgument(config); err != nil {
			return "", err
		}
	}
	var args []string
	all := Meta{}
	for arg := range strings.FieldsSeq(schematics) {
		encoded, isMeta := strings.CutPrefix(arg, metaVariable)
		switch {
		case isMeta: // of the schematic: customization.meta
			given, err := meta.DecodeValues(encoded)
			if err != nil {
				return "", fleet.Errorf(fleet.Unavailable, "kernel command line of the schematic: %w", err)
			}
			for _, v := range given {
				all[v.Key] = v.Value
			}
		case !strings.HasPrefix(arg, "talos.config="): // Talos takes the first
			args = append(args, arg)
		}
	}
	for key, value := range values {
		all[key] = value
	}
	if config != "" {
		args = append(args, config)
	}
	if len(all) > 0 {
		text, err := encodeMeta(all)
		if err != nil {
			return "", err
		}
		args = append(args, metaVariable+text)
	}
	line := strings.Join(args, " ")
	if len(line) > maxCommandLine {
		return "", fleet.Errorf(fleet.Refused, "the kernel's command line would have %d bytes, it takes %d", len(line), maxCommandLine).
			WithHint("install by the image: --boot image")
	}
	return line, nil
}

// encodeMeta packs values as Talos' imager does.
func encodeMeta(values Meta) (string, error) {
	var all meta.Values
	for _, key := range sortedKeys(values) {
		if strings.Contains(values[key], ";") { // separates values
			return "", fleet.Errorf(fleet.Refused, "META value %#x has a semicolon in it: a kernel's command line cannot carry it", key).
				WithHint("install by the image: --boot image")
		}
		all = append(all, meta.Value{Key: key, Value: values[key]})
	}
	return all.Encode(true), nil
}

// LoadKernel begins to fetch and load a kernel, and to wipe its disk, detached: it goes on without us. It is idempotent
// for one token. fleet.Conflict if another operation writes on this machine. WriteStatus says how it stands: the phases
// are starting, checking, downloading, loading, wiping, loaded.
func (s *Session) LoadKernel(ctx context.Context, k Kernel) error {
	if err := s.upload(ctx, "load-kernel.sh"); err != nil {
		return err
	}
	if err := s.put(ctx, "cmdline."+k.Token, []byte(k.CommandLine)); err != nil {
		return s.full(err)
	}
	return s.start(ctx, "load-kernel.sh", k.Token, "/dev/"+k.Disk.Name, k.URL, k.Initramfs)
}

// Untouched says that the disk has what it had before: it is wiped after everything else.
func (k Kernel) Untouched(st WriteStatus) bool {
	switch st.Phase {
	case "", "starting", "checking", "downloading", "loading":
		return true
	}
	return false
}

// Unable says that the machine cannot start this kernel, however often it is tried.
func (k Kernel) Unable(st WriteStatus) bool { return st.Exit == exitKexec || st.Exit == exitMemory }

// Err says why loading ended without success, nil if it was one or goes on.
func (k Kernel) Err(st WriteStatus) error {
	last := strings.NewReplacer(k.URL, fleet.ShownURL(k.URL), k.Initramfs, fleet.ShownURL(k.Initramfs)).Replace(st.Log[strings.LastIndex(st.Log, "\n")+1:])
	switch {
	case st.Exit == 0 || st.Running:
		return nil
	case st.Exit < 0:
		return fleet.Errorf(fleet.Unavailable, "loading %s was killed while %s", fleet.ShownURL(k.URL), st.Phase).
			WithHint("somebody stopped it in the rescue system, or its memory ran out: dmesg there says which; retry the operation")
	case last == "":
		last = fmt.Sprintf("loading %s stopped while %s: exit status %d", fleet.ShownURL(k.URL), st.Phase, st.Exit)
	}
	switch st.Exit {
	case exitKexec, exitMemory:
		return fleet.Errorf(fleet.Refused, "%s", last).WithHint("install by the image: --boot image")
	case exitNoImage:
		return fleet.Errorf(fleet.Unavailable, "%s", last).WithHint("check that the server can reach it; then retry the operation")
	}
	if known, ok := failures[st.Exit]; ok {
		return fleet.Errorf(known.kind, "%s", last).WithHint("%s", known.hint)
	}
	return fleet.Errorf(fleet.Refused, "%s", last).WithHint("the log is in %s/log in the rescue system; retry the operation", dir)
}

// StartKernel starts the kernel that was loaded for a token, a moment from now: the connection ends first.
func (s *Session) StartKernel(ctx context.Context, token string) error {
	_, err := s.script(ctx, "kexec.sh", token)
	exit := &ExitError{}
	if errors.As(err, &exit) && exit.Code == exitKexec {
		return fleet.Errorf(fleet.Refused, "server %s has no kernel of this operation in memory", s.server).
			WithHint("it was booted since: retry the operation")
	}
	return err
}
