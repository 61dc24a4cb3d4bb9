package operation

import (
	"cmp"
	"context"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// ImageCache hands images to machines from our own disk.
type ImageCache interface {
	// Prepare begins to fetch an image and returns once its source has said that it has it; sha256 may be "".
	Prepare(ctx context.Context, source, sha256 string) error
	// URL is where machines get it from us.
	URL(source, sha256 string) string
}

// chooseImage decides which image is written and where the machine gets it from, and sees to it that it is there
// before anything is done to the machine.
func (o *Operations) chooseImage(ctx context.Context, run *workflow.Run, s fleet.Server, made manage.Made, p *plan) error {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return err
	}
	via, err := o.viaManager(options)
	if err != nil {
		return err
	}
	p.TalosVersion, p.Image, p.Plain, p.Sector = made.Cluster.TalosVersion, o.Images[s.Architecture], true, 0
	if p.Image == "" {
		if p.Image, err = o.factoryImage(ctx, s, made, options.Delivery, via); err != nil {
			return err
		}
		what, err := imagefactory.Read(made.Schematic.YAML)
		if err != nil {
			return err
		}
		p.Plain, p.Sector = false, cmp.Or(int(what.SectorSize), 512)
	}
	from := p.Image
	if p.Image, err = o.handOut(ctx, from, options.ImageSHA256, via); err != nil {
		return err
	}
	if from = fleet.ShownURL(from); via {
		from += ", which the machine gets from us"
	}
	run.Log(ctx, "Talos %s from %s", p.TalosVersion, from)
	return nil
}

// viaManager says whether the machine gets files from us. One that cannot reach us does so only if that is asked for.
func (o *Operations) viaManager(options InstallOptions) (bool, error) {
	able := o.ImageCache != nil && o.URL != ""
	if options.ViaManager && !able {
		return false, fleet.Errorf(fleet.Invalid, "machines cannot get images from this program: HOST is not set").
			WithHint("set HOST to the address under which servers reach it, or install without --via-manager")
	}
	return able && (options.ViaManager || o.ViaManager && options.Delivery != fleet.Push), nil
}

// handOut sees to it that a file is there, and says where the machine gets it.
func (o *Operations) handOut(ctx context.Context, source, sha256 string, via bool) (string, error) {
	if !via {
		return source, o.checkImage(ctx, source)
	}
	return o.ImageCache.URL(source, sha256), o.imageWait(ctx, source, o.ImageCache.Prepare(ctx, source, sha256))
}

// checkImage asks for the image before anything is done to the machine.
func (o *Operations) checkImage(ctx context.Context, image string) error {
	_, err := o.Factory.CheckImage(ctx, image)
	return o.imageWait(ctx, image, err)
}

// imageWait makes a wait of a source that takes its time: a factory that builds an image first takes a minute or two.
func (o *Operations) imageWait(ctx context.Context, image string, err error) error {
	if err != nil && ctx.Err() != nil {
		return workflow.Wait("the image factory to have "+fleet.ShownURL(image), 2*time.Second).Within(10 * time.Minute)
	}
	return err
}

// factoryImage has the factory build the image of a server: its schematic with the address of our /config. The
// factory must know the schematic without it too: the installer image in the config, for upgrades, is of that one.
// A factory that is down keeps nobody from an image that we may have: its name can be told without asking.
func (o *Operations) factoryImage(ctx context.Context, s fleet.Server, made manage.Made, way fleet.Delivery, mayHave bool) (string, error) {
	create := func(yaml string) (string, error) {
		id, err := o.Factory.CreateSchematic(ctx, yaml)
		if err != nil && mayHave && fleet.KindOf(err) == fleet.Unavailable {
			o.Log.Warn("the image factory does not answer; the image may be in the cache", "error", err)
			return o.Factory.SchematicID(yaml)
		}
		return id, err
	}
	id, err := create(made.Schematic.YAML)
	if err != nil {
		return "", err
	}
	if way != fleet.Push { // a machine that looks for its config elsewhere does not get to maintenance mode
		yaml, err := o.Factory.WithKernelArg(made.Schematic.YAML, "talos.config="+o.configURL())
		if err != nil {
			return "", err
		}
		if id, err = create(yaml); err != nil {
			return "", err
		}
	}
	return o.Factory.ImageURL(id, made.Cluster.TalosVersion, "metal", string(s.Architecture)), nil
}
