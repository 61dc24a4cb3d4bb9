package rescue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Write is an image to be written to a disk.
type Write struct {
	Token  string // the operation's id: the machine refuses a second writer, and starts the same one once
	Disk   fleet.Disk
	URL    string // of the image: .raw, .raw.zst, .raw.xz or .raw.gz
	SHA256 string // of the file behind URL, hex; "" if unknown
}

// exit codes of the scripts.
const (
	exitBusy     = 73 // another operation writes
	exitChecksum = 65
	exitNoDisk   = 66
	exitNoImage  = 69
	exitHeld     = 71 // something on the disk does not let go of it
)

// StartWrite begins to write, detached: it goes on without us. It is idempotent for one token. fleet.Conflict if
// another operation writes on this machine.
func (s *Session) StartWrite(ctx context.Context, w Write) error {
	decompressor, err := decompressorFor(w.URL)
	if err != nil {
		return err
	}
	text, err := Scripts.ReadFile("scripts/write-image.sh")
	if err != nil {
		return err
	}
	if _, err := s.run(ctx, "mkdir -p "+dir+" && cat > "+dir+"/write-image.sh", strings.NewReader(string(text))); err != nil {
		return err
	}
	_, err = s.script(ctx, "start-write.sh", w.Token, "/dev/"+w.Disk.Name, w.URL, decompressor, w.SHA256)
	exit := &ExitError{}
	if errors.As(err, &exit) && exit.Code == exitBusy {
		return fleet.Errorf(fleet.Conflict, "server %s: another operation writes its disk", s.server).
			WithHint("wait until it ends; an install that is ordered anew boots the rescue system anew and stops it")
	}
	return err
}

// decompressorFor picks the command for an image file by its name.
func decompressorFor(url string) (string, error) {
	path, _, _ := strings.Cut(url, "?")
	for suffix, command := range map[string]string{".zst": "zstd -dc", ".xz": "xz -dc", ".gz": "gzip -dc", ".raw": "cat"} {
		if strings.HasSuffix(path, suffix) {
			return command, nil
		}
	}
	return "", fleet.Errorf(fleet.Invalid, "image %s is of an unknown form", url).WithHint("use a .raw, .raw.zst, .raw.xz or .raw.gz file")
}

// WriteStatus is how a write stands.
type WriteStatus struct {
	Token   string // whose write it is; "" if none was started since the boot
	Phase   string // starting, checking, wiping, writing, verifying, written
	Running bool
	Exit    int // of the script, -1 while it has not ended
	Bytes   int64
	Log     string // its end
}

// WriteStatus looks at a write.
func (s *Session) WriteStatus(ctx context.Context) (WriteStatus, error) {
	out, err := s.script(ctx, "write-status.sh")
	if err != nil {
		return WriteStatus{}, err
	}
	return parseWriteStatus(out), nil
}

func parseWriteStatus(out string) WriteStatus {
	head, log, _ := strings.Cut(out, "\nlog=\n")
	st := WriteStatus{Exit: -1, Log: strings.TrimSpace(log)}
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "token":
			st.Token = value
		case "phase":
			st.Phase = value
		case "running":
			st.Running = value == "yes"
		case "exit":
			if code, err := strconv.Atoi(value); err == nil {
				st.Exit = code
			}
		case "bytes":
			st.Bytes, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return st
}

// Err says why a write that ended was no success, nil if it was or goes on. A write that neither runs nor ended
// was killed.
func (st WriteStatus) Err(w Write) error {
	last := st.Log[strings.LastIndex(st.Log, "\n")+1:]
	switch {
	case st.Exit == 0 || st.Running:
		return nil
	case last == "" && st.Exit > 0:
		last = fmt.Sprintf("exit status %d", st.Exit)
	}
	switch {
	case st.Exit == exitChecksum:
		return fleet.Errorf(fleet.Refused, "%s", last).WithHint("check the checksum that was given, or whether the file was replaced")
	case st.Exit == exitNoImage:
		return fleet.Errorf(fleet.Unavailable, "%s", last).WithHint("check the image's address, and that the server can reach it")
	case st.Exit == exitNoDisk:
		return fleet.Errorf(fleet.Refused, "%s", last).WithHint("disk names change between boots: retry the operation")
	case st.Exit == exitHeld:
		return fleet.Errorf(fleet.Refused, "%s", last).WithHint("log in to the rescue system, stop what is on the disk (lsblk shows it), then retry the operation")
	case st.Exit > 0:
		return fleet.Errorf(fleet.Refused, "write to disk %s stopped while %s: %s", w.Disk.ID(), st.Phase, last).
			WithHint("if the disk failed, ask Hetzner to exchange it (serial number %s); else retry the operation", w.Disk.Serial)
	}
	return fleet.Errorf(fleet.Unavailable, "write to disk %s was killed while %s", w.Disk.ID(), st.Phase).
		WithHint("somebody stopped it in the rescue system, or its memory ran out: dmesg there says which")
}
