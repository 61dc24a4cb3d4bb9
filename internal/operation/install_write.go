package operation

import (
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const (
	writeLook   = 2 * time.Second
	writeGiveUp = 60 * time.Minute
	maxWrites   = 4
)

// writeImage has the rescue system write the image, and watches. The write is detached: it goes on while we are
// dead, and is not started twice for one operation.
func (o *Operations) writeImage(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	p, options, err := o.writing(ctx, run)
	if err != nil {
		return err
	}
	session, err := o.session(ctx, run, s)
	if err != nil {
		return err
	}
	defer session.Close()
	w := rescue.Write{Token: p.token(run), Disk: p.Disk, URL: p.Image, SHA256: options.ImageSHA256}
	status, err := session.WriteStatus(ctx)
	if err != nil {
		return err
	}
	if status.Token != w.Token {
		if err := o.startWrite(ctx, run, session, s, p, w); err != nil {
			return o.busy(err, "the write of an earlier attempt to end")
		}
		return workflow.Wait("the image to be written", o.pace(writeLook))
	}
	done, of := status.Progress()
	run.Progress(ctx, done, of, "bytes")
	if err := status.Err(w); err != nil {
		return o.writeFailed(ctx, run, p, status.Untouched(), false, err)
	}
	if status.Phase != "written" || status.Exit != 0 {
		return workflow.Wait("the image to be written ("+status.String()+")", o.pace(writeLook)).Within(o.pace(writeGiveUp)).
			WithHint("log in to the rescue system and look at /run/talos-manager/log")
	}
	run.Log(ctx, "image of %d MB is on the disk and was read back; %d MB had to be written; SHA-256 of the file: %s", status.Size/1e6, status.Written/1e6, status.SHA256)
	return o.noteInstalled(ctx, s, p.Disk, fleet.BootImage)
}

// writeFailed makes the next attempt a new write, and ends the operation after some, or at once (final): a write that was
// begun counts as no failure of the engine's, because the step waited in between. untouched: the disk has what it had.
func (o *Operations) writeFailed(ctx context.Context, run *workflow.Run, p plan, untouched, final bool, err error) error {
	p.Failed++
	if untouched {
		p.Writing = false
	}
	if err := run.Set(ctx, planKey, p); err != nil {
		return err
	}
	if final || p.Failed%maxWrites == 0 {
		return workflow.Permanent(err)
	}
	return workflow.Retry(err, o.pace(time.Duration(p.Failed)*10*time.Second))
}

func (o *Operations) writing(ctx context.Context, run *workflow.Run) (p plan, options InstallOptions, err error) {
	if err := run.Input(&options); err != nil {
		return p, options, err
	}
	if _, err := run.Get(planKey, &p); err != nil || p.Writing {
		return p, options, err
	}
	p.Writing = true
	return p, options, run.Set(ctx, planKey, p)
}

// startWrite looks once more whether the disk of that name is the chosen one: names change between boots.
func (o *Operations) startWrite(ctx context.Context, run *workflow.Run, session *rescue.Session, s fleet.Server, p plan, w rescue.Write) error {
	facts, err := session.Facts(ctx)
	if err != nil {
		return err
	}
	disk, err := o.chosen(run, s, p, facts)
	if err != nil {
		return err
	}
	run.Log(ctx, "writing %s to %s", fleet.ShownURL(w.URL), rescue.Describe([]fleet.Disk{disk}))
	return session.StartWrite(ctx, w)
}
