package rescue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Write is an image to be written to a disk.
type Write struct {
	Token string // the operation's id: the machine refuses a second writer, and starts the same one once
	Disk  fleet.Disk
	URL   string // of the image: .raw, .raw.zst, .raw.xz or .raw.gz
	// SHA256 is of the file behind URL, hex; "" if unknown. With it, the file is fetched twice: nothing is lost for one
	// that is not the expected one.
	SHA256 string
	// Patience is how long the link may be down before the write gives up; 0 is five minutes.
	Patience time.Duration
}

// exit codes of the scripts.
const (
	exitBusy     = 73 // another operation writes
	exitChecksum = 65 // of the file, or it cannot be unpacked
	exitNoDisk   = 66
	exitNoImage  = 69
	exitHeld     = 71 // something on the disk does not let go of it
	exitSmall    = 75
	exitArch     = 76
	exitClock    = 77
	exitMemory   = 78
)

// StartWrite begins to write, detached: it goes on without us. It is idempotent for one token. fleet.Conflict if
// another operation writes on this machine.
func (s *Session) StartWrite(ctx context.Context, w Write) error {
	format, err := formatOf(w.URL)
	if err != nil {
		return err
	}
	for _, name := range []string{"write-image.sh", "release-disk.sh", "boot-loader.sh"} {
		if err := s.upload(ctx, name); err != nil {
			return err
		}
	}
	patience := w.Patience
	if patience == 0 {
		patience = 5 * time.Minute
	}
	return s.start(ctx, "write-image.sh", w.Token, "/dev/"+w.Disk.Name, w.URL, format, strings.ToLower(w.SHA256), strconv.Itoa(int(patience.Seconds())))
}

// start runs a script that was uploaded detached, under the lock of those who write disks.
func (s *Session) start(ctx context.Context, script, token string, args ...string) error {
	_, err := s.script(ctx, "start.sh", append([]string{script, token}, args...)...)
	exit := &ExitError{}
	if errors.As(err, &exit) && exit.Code == exitBusy {
		return fleet.Errorf(fleet.Conflict, "server %s: another operation writes its disk", s.server).
			WithHint("wait until it ends; an install that is ordered anew boots the rescue system anew and stops it")
	}
	return s.full(err)
}

// upload puts a script where what runs detached finds it. A write that runs reads its script while it goes on: the
// file is replaced, never changed.
func (s *Session) upload(ctx context.Context, name string) error {
	text, err := Scripts.ReadFile("scripts/" + name)
	if err != nil {
		return err
	}
	to := dir + "/" + name
	_, err = s.run(ctx, "mkdir -p "+dir+" && cat > "+to+".new && mv "+to+".new "+to, strings.NewReader(string(text)))
	return s.full(err)
}

// full explains why a rescue system, which has its files in memory, takes no more of them.
func (s *Session) full(err error) error {
	exit := &ExitError{}
	if !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "No space left on device") {
		return err
	}
	return fleet.Errorf(fleet.Refused, "the rescue system of server %s has no memory left for files in %s: %w", s.server, dir, err).
		WithHint("free it (df -h %s), or boot the rescue system anew: retry the operation", dir)
}

// formatOf tells what an image file is by its name.
func formatOf(url string) (string, error) {
	path, _, _ := strings.Cut(url, "?")
	for _, format := range []string{"zst", "xz", "gz", "raw"} {
		if strings.HasSuffix(path, "."+format) {
			return format, nil
		}
	}
	return "", fleet.Errorf(fleet.Invalid, "image %s is of an unknown form", fleet.ShownURL(url)).WithHint("use a .raw, .raw.zst, .raw.xz or .raw.gz file")
}

// WriteStatus is how a write stands.
type WriteStatus struct {
	Token    string // whose write it is; "" if none was started since the boot
	Phase    string // starting, checking, wiping, writing, verifying, written
	Running  bool
	Exit     int // of the script, -1 while it has not ended
	Done     int64
	Total    int64         // bytes of the file that came so far, and of all of it; 0 while unknown
	Size     int64         // bytes of the image, unpacked; 0 while unknown
	Verified int64         // bytes of the image that were read back
	Written  int64         // bytes the disk has taken: zeroes that need not be written do not count
	Sparse   bool          // zeroes were not written
	Restarts int           // times the file was begun anew, because the server could not go on in its middle
	SHA256   string        // of the file, "" until it is whole
	Elapsed  time.Duration // since the phase began
	Log      string        // its end
}

// WriteStatus looks at a write.
func (s *Session) WriteStatus(ctx context.Context) (WriteStatus, error) {
	out, err := s.script(ctx, "write-status.sh")
	if err != nil {
		return WriteStatus{}, err
	}
	return parseWriteStatus(out), nil
}

const sectorSize = 512 // of /sys/block/*/stat, whatever the disk's is

func parseWriteStatus(out string) WriteStatus {
	head, log, _ := strings.Cut(out, "\nlog=\n")
	values := map[string]string{}
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(values[name], 10, 64) // "" while it is not known
		return n
	}
	st := WriteStatus{
		Token: values["token"], Phase: values["phase"], Running: values["running"] == "yes", Exit: -1,
		Done: number("passed"), Total: number("total"), Size: number("size"),
		Sparse: values["way"] == "sparse", Restarts: int(number("restarts")), SHA256: values["sha256"],
		Log: strings.TrimSpace(log),
	}
	if code, err := strconv.Atoi(values["exit"]); err == nil {
		st.Exit = code
	}
	if began := number("began"); began > 0 {
		st.Elapsed = time.Duration(max(0, number("time")-began)) * time.Second
	}
	switch st.Phase {
	case "verifying":
		st.Verified = number("copied")
	case "written":
		st.Verified, st.Done = st.Size, max(st.Done, st.Total)
	}
	if start := number("start"); start > 0 {
		end := number("sectors")
		if values["end"] != "" {
			end = number("end")
		}
		st.Written = max(0, end-start) * sectorSize
	}
	return st
}

// Progress is how far the phase is: of the file while writing, of the image while verifying. of is 0 if unknown.
func (st WriteStatus) Progress() (done, of int64) {
	if st.Phase == "verifying" || st.Phase == "written" {
		return st.Verified, st.Size
	}
	return st.Done, st.Total
}

// Rate is in bytes a second since the phase began, 0 while it cannot be told.
func (st WriteStatus) Rate() int64 {
	done, _ := st.Progress()
	if st.Elapsed <= 0 {
		return 0
	}
	return done * int64(time.Second) / int64(st.Elapsed)
}

// Left is how long the phase will take from now on at its rate, 0 if that cannot be told.
func (st WriteStatus) Left() time.Duration {
	done, of := st.Progress()
	rate := st.Rate()
	if rate == 0 || of <= done {
		return 0
	}
	return time.Duration((of-done+rate-1)/rate) * time.Second
}

// String is a line for people: "writing, 120 of 220 MB, 40 MB/s, 3s left".
func (st WriteStatus) String() string {
	done, of := st.Progress()
	if st.Phase == "written" || done == 0 {
		return st.Phase
	}
	text := fmt.Sprintf("%s, %d MB", st.Phase, done/1e6)
	if of > 0 {
		text = fmt.Sprintf("%s, %d of %d MB", st.Phase, done/1e6, of/1e6)
	}
	if rate := st.Rate(); rate > 0 {
		text += fmt.Sprintf(", %d MB/s", rate/1e6)
	}
	if left := st.Left(); left > 0 {
		text += fmt.Sprintf(", %v left", left)
	}
	return text
}

// Untouched says that the disk has what it had before the write.
func (st WriteStatus) Untouched() bool {
	return st.Phase == "" || st.Phase == "starting" || st.Phase == "checking"
}

// Err says why a write that ended was no success, nil if it was or goes on. A write that neither runs nor ended
// was killed.
func (st WriteStatus) Err(w Write) error {
	last := strings.ReplaceAll(st.Log[strings.LastIndex(st.Log, "\n")+1:], w.URL, fleet.ShownURL(w.URL))
	switch {
	case st.Exit == 0 || st.Running:
		return nil
	case last == "" && st.Exit > 0:
		last = fmt.Sprintf("exit status %d", st.Exit)
	}
	if known, ok := failures[st.Exit]; ok {
		return fleet.Errorf(known.kind, "%s", last).WithHint("%s", known.hint)
	}
	if st.Exit > 0 {
		return fleet.Errorf(fleet.Refused, "write to disk %s stopped while %s: %s", w.Disk.ID(), st.Phase, last).
			WithHint("if the disk failed, ask Hetzner to exchange it (serial number %s); else retry the operation", w.Disk.Serial)
	}
	return fleet.Errorf(fleet.Unavailable, "write to disk %s was killed while %s", w.Disk.ID(), st.Phase).
		WithHint("somebody stopped it in the rescue system, or its memory ran out: dmesg there says which; retry the operation")
}

// failures are the ends of write-image.sh that have a name.
var failures = map[int]struct {
	kind fleet.Kind
	hint string
}{
	exitChecksum: {fleet.Refused, "check the checksum that was given, or whether the file was replaced; then retry the operation"},
	exitNoImage:  {fleet.Unavailable, "check the image's address, and that the server can reach it; then retry the operation"},
	exitNoDisk:   {fleet.Refused, "disk names change between boots, and disks that fail disappear (dmesg in the rescue system says it): retry the operation"},
	exitHeld:     {fleet.Refused, "log in to the rescue system, stop what is on the disk (lsblk shows it), then retry the operation"},
	exitSmall:    {fleet.Refused, "assign a larger disk, or use another image"},
	exitArch:     {fleet.Refused, "use the image for this machine: TALOS_AMD64_IMAGE_URL and TALOS_ARM64_IMAGE_URL, or the factory's"},
	exitClock:    {fleet.Refused, "set the clock in the rescue system (date -s '…' && hwclock --systohc), then retry the operation"},
	exitMemory:   {fleet.Refused, "look at df -h /run in the rescue system, or boot it anew: retry the operation"},
}
