package operation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// InstallPreview is what an install would do to a server, as far as the records and its last facts tell.
type InstallPreview struct {
	Server       string
	Cluster      string
	TalosVersion string
	Schematic    string // id at the factory; "" for a plain image
	Image        string // address of the image that would be written; "" where Talos is started by kexec
	Plain        bool   // an image of the settings, not the factory's
	Kernel       string // addresses of what kexec starts; "" where an image is written
	Initramfs    string
	Delivery     fleet.Delivery
	Boot         fleet.BootMethod
	FactsAt      time.Time // when the machine said what follows; zero: never
	Disk         fleet.Disk
	Contents     []string // of the disk, that would be lost
	Policy       fleet.DiskPolicy
	Verdict      string // what the policy says of that disk; "" if none could be chosen
	Question     string // that would be asked; "" if none would
	Meta         []PreviewMeta
	Steps        []string // of the operation, in order
	Scripts      []PreviewScript
	Problems     []Problem // would have it refused, or fail
}

// PreviewMeta is a value that would be written to the META partition.
type PreviewMeta struct {
	Key   uint8
	Name  string // what it is for
	Value string // "…" for the one-time code, which is made when it is written
}

// PreviewScript is a script that would be run on the machine.
type PreviewScript struct {
	Step string   // in which
	Name string   // of the file
	Args []string // "…" in place of what only the run knows
	Why  string   // what it says of itself, one sentence
	Text string
}

// Line is the script as it would be called.
func (s PreviewScript) Line() string {
	line := s.Name
	for _, a := range s.Args {
		if a == "" || strings.ContainsAny(a, " $&?*{}'\"\\|;<>()") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	return line
}

// DryRunInstall says what an install of the server would do. Nothing is changed by it, and nobody is asked: not the
// machine, its provider, nor the image factory.
func (o *Operations) DryRunInstall(ctx context.Context, ref string, options InstallOptions) (InstallPreview, error) {
	if err := options.Check(); err != nil {
		return InstallPreview{}, err
	}
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return InstallPreview{}, err
	}
	p := InstallPreview{
		Server: s.Name, FactsAt: s.Facts.At, Delivery: cmp.Or(options.Delivery, fleet.Pull), Boot: cmp.Or(options.Boot, fleet.BootImage),
	}
	if p.Boot == fleet.BootAuto {
		if p.Boot, _, err = o.betterBoot(ctx, s); err != nil {
			return p, err
		}
	}
	for _, step := range o.installSteps(p.Boot) {
		p.Steps = append(p.Steps, step.Name)
	}
	if p.Problems, _, err = o.foresee(ctx, s, options); err != nil {
		return p, err
	}
	for _, look := range []func(context.Context, fleet.Server, InstallOptions, *InstallPreview) error{o.previewImage, o.previewDisk, o.previewMeta} {
		if err := look(ctx, s, options, &p); err != nil {
			return p, err
		}
	}
	p.Scripts, err = o.previewScripts(s, options, p)
	return p, err
}

// previewImage names the image. The factory's names are hashes of what is in them, so it need not be asked.
func (o *Operations) previewImage(ctx context.Context, s fleet.Server, options InstallOptions, p *InstallPreview) error {
	made, err := o.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return ctx.Err() // one of the problems already
	}
	p.Cluster, p.TalosVersion = made.Cluster.Name, made.Cluster.TalosVersion
	via, err := o.viaManager(options)
	if err != nil {
		p.Problems = append(p.Problems, Problem{Text: err.Error(), Hint: fleet.HintOf(err)})
	}
	version, arch := made.Cluster.TalosVersion, string(s.Architecture)
	if p.Boot == fleet.BootKexec {
		p.Schematic, err = o.Factory.SchematicID(made.Schematic.YAML)
		p.Kernel, p.Initramfs = o.Factory.KernelURL(p.Schematic, version, arch), o.Factory.InitramfsURL(p.Schematic, version, arch)
		if via {
			p.Kernel, p.Initramfs = o.ImageCache.URL(p.Kernel, ""), o.ImageCache.URL(p.Initramfs, "")
		}
		return err
	}
	p.Image, p.Plain = o.Images[s.Architecture], true
	if p.Image == "" {
		if p.Schematic, err = o.namedSchematic(made, p.Delivery); err != nil {
			return err
		}
		p.Image, p.Plain = o.Factory.ImageURL(p.Schematic, version, "metal", arch), false
	}
	if via {
		p.Image = o.ImageCache.URL(p.Image, options.ImageSHA256)
	}
	return nil
}

// namedSchematic is the schematic of factoryImage, without a word to the factory.
func (o *Operations) namedSchematic(made manage.Made, way fleet.Delivery) (string, error) {
	if way == fleet.Push {
		return o.Factory.SchematicID(made.Schematic.YAML)
	}
	yaml, err := o.Factory.WithKernelArg(made.Schematic.YAML, "talos.config="+o.configURL())
	if err != nil {
		return "", err
	}
	return o.Factory.SchematicID(yaml)
}

// previewDisk goes by the last facts.
func (o *Operations) previewDisk(ctx context.Context, s fleet.Server, options InstallOptions, p *InstallPreview) error {
	if s.Facts.At.IsZero() || !s.Assignment.Assigned() {
		return nil
	}
	c, err := o.diskChoice(ctx, s, options)
	if err != nil {
		return ctx.Err() // one of the problems already
	}
	p.Disk, p.Contents, p.Policy, p.Verdict, p.Question = c.disk, c.disk.Contents, c.policy, c.verdict, c.asks
	return nil
}

func (o *Operations) previewMeta(ctx context.Context, s fleet.Server, options InstallOptions, p *InstallPreview) error {
	values, err := o.bootValuesFor(ctx, s, options)
	if err != nil {
		p.Problems = append(p.Problems, Problem{Text: err.Error(), Hint: fleet.HintOf(err)})
		return ctx.Err()
	}
	if p.Delivery == fleet.Pull && p.Boot != fleet.BootKexec { // whose kernel's command line has it
		values[rescue.MetaDownloadURLCode] = later
	}
	names := map[uint8]string{rescue.MetaNetworkConfig: "static network", rescue.MetaDownloadURLCode: "one-time code", rescue.MetaUUIDOverride: "UUID"}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		p.Meta = append(p.Meta, PreviewMeta{key, names[key], values[key]})
	}
	return nil
}

// later is what only the run knows.
const later = "…"

// call is a script with arguments, in a step.
type call struct {
	step, name string
	args       []string
}

// previewScripts lists what is run on the machine, in order.
func (o *Operations) previewScripts(s fleet.Server, options InstallOptions, p InstallPreview) ([]PreviewScript, error) {
	disk := later
	if p.Disk.Name != "" {
		disk = "/dev/" + p.Disk.Name // as it was called then
	}
	calls := []call{{"read the facts", "facts.sh", rescue.Tools}, {"release the disk", "release-disk.sh", []string{disk}}}
	if p.Boot == fleet.BootKexec {
		calls = append(calls, kexecCalls(p, disk)...)
	} else {
		calls = append(calls, o.imageCalls(options, p, disk)...)
	}
	calls = append(calls,
		call{"clear the way for the boot", "disarm-loaders.sh", []string{later}},
		call{"clear the way for the boot", "disarm-talos.sh", []string{later, later, later}},
	)
	if s.Facts.Firmware != "bios" {
		calls = append(calls, call{"clear the way for the boot", "boot-order.sh", []string{later}})
	}
	if p.Boot == fleet.BootKexec {
		calls = append(calls, call{"start Talos' kernel", "kexec.sh", []string{later}})
	}
	var all []PreviewScript
	for _, c := range calls {
		text, err := rescue.Scripts.ReadFile("scripts/" + c.name)
		if err != nil {
			return nil, fmt.Errorf("script %s: %w", c.name, err)
		}
		all = append(all, PreviewScript{Step: c.step, Name: c.name, Args: c.args, Why: saysOfItself(string(text)), Text: string(text)})
	}
	return all, nil
}

// imageCalls write an image and its boot data. META is written at every pull; at a push only if it holds something.
func (o *Operations) imageCalls(options InstallOptions, p InstallPreview, disk string) []call {
	path, _, _ := strings.Cut(p.Image, "?")
	write := []string{later, disk, p.Image, path[strings.LastIndex(path, ".")+1:], options.ImageSHA256, later}
	calls := []call{
		{"write the image", "start.sh", append([]string{"write-image.sh"}, write...)},
		{"write the image", "write-image.sh", write},
		{"write the image", "boot-loader.sh", []string{disk}},
		{"write the image", "write-status.sh", nil},
	}
	if len(p.Meta) > 0 {
		calls = append(calls, call{"write the boot data", "meta.sh", []string{"read", disk, later, later}}, call{"write the boot data", "meta.sh", []string{"write", disk, later, later}})
	}
	if p.Plain && p.Delivery == fleet.Pull {
		calls = append(calls, call{"write the boot data", "kernel-argument.sh", []string{"talos.config=" + o.configURL(), later, later}})
	}
	return calls
}

// kexecCalls load a kernel. Its command line carries what META would.
func kexecCalls(p InstallPreview, disk string) []call {
	load := []string{later, disk, p.Kernel, p.Initramfs}
	return []call{
		{"load Talos' kernel", "start.sh", append([]string{"load-kernel.sh"}, load...)},
		{"load Talos' kernel", "load-kernel.sh", load},
		{"load Talos' kernel", "write-status.sh", nil},
	}
}

// saysOfItself is the first sentence of a script's comment.
func saysOfItself(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		line, comment := strings.CutPrefix(line, "#")
		if strings.HasPrefix(line, "!") {
			continue
		}
		if line = strings.TrimSpace(line); !comment || line == "" {
			break
		}
		words = append(words, line)
	}
	sentence := strings.Join(words, " ")
	if end := strings.Index(sentence, ". "); end >= 0 {
		sentence = sentence[:end+1]
	}
	return strings.TrimSuffix(sentence, ":")
}
