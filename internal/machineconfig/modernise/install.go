package modernise

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"go.yaml.in/yaml/v4"
)

func installRules() []rule {
	const image = "the boot image brings its kernel arguments and extensions; they belong into the schematic"
	return []rule{
		{"machine.install.extensions", oldestSupported, oldestSupported, "", image, moveExtensions},
		{kernelArguments, multiDocument, multiDocument, "", image, moveKernelArguments},
		{"machine.install", kubernetesDocs, kubernetesDocs, "UnattendedInstallConfig", "the installation is a document, and the generated config may have one", moveInstall},
	}
}

const kernelArguments = "machine.install.extraKernelArgs"

// kernelLog is the kernel argument that has a document since Talos 1.5.
const kernelLog = "talos.logging.kernel="

func moveKernelArguments(w *rewriter, f field) {
	if isDelete(f.val) {
		return
	}
	logs := 0
	for _, n := range items(f.val) {
		if url, ok := strings.CutPrefix(n.Value, kernelLog); ok {
			logs++
			d := w.doc("KmsgLogConfig", name("remote-log", logs), everyone)
			d.comment(n, f)
			d.set(nil, keepLine(scalar(url), n), "url")
			continue
		}
		arg := w.vars.show(n.Value)
		w.image.KernelArguments = append(w.image.KernelArguments, arg)
		at := f
		at.line = n.Line
		w.note(ToSchematic, at, "kernel arguments belong into the schematic: %s", arg)
	}
	if uki := at(w.old.root, "machine", "install", "grubUseUKICmdline"); uki != nil {
		w.take([]string{"machine", "install", "grubUseUKICmdline"}) // it was there for the arguments
	}
}

// kernelArgumentsRefused is the minor that refuses kernel arguments in this config.
func kernelArgumentsRefused(root *yaml.Node) int {
	if uki := at(root, "machine", "install", "grubUseUKICmdline"); uki != nil && uki.Value == "false" {
		return kubernetesDocs
	}
	return multiDocument
}

// name numbers the second and later of things that need names of their own.
func name(base string, n int) string {
	if n < 2 {
		return base
	}
	return fmt.Sprintf("%s-%d", base, n)
}

var extensionImage = regexp.MustCompile(`^(?:[^/]+\.[^/]+/)?(.+?)(?::[^:/]+)?(?:@.*)?$`)

func moveExtensions(w *rewriter, f field) {
	for _, n := range items(f.val) {
		image := w.vars.show(value(n, "image"))
		if m := extensionImage.FindStringSubmatch(image); m != nil {
			image = m[1]
		}
		w.image.Extensions = append(w.image.Extensions, image)
		at := f
		at.line = n.Line
		w.note(ToSchematic, at, "system extensions belong into the schematic: %s", image)
	}
}

func moveInstall(w *rewriter, f field) {
	if isDelete(f.val) {
		w.delete("UnattendedInstallConfig", "", everyone, f.key)
		return
	}
	var d *document
	write := func(key, val *yaml.Node, path ...string) {
		if d == nil {
			d = w.doc("UnattendedInstallConfig", "", everyone)
			d.root.Content[0].HeadComment = joinComments(d.root.Content[0].HeadComment, f.key.HeadComment)
		}
		d.set(key, val, path...)
	}
	if w.o.Installed {
		w.note(Hint, f, "the image is on the disk before the node boots: install settings are left out")
		return
	}
	selector := child(f.val, "diskSelector")
	for _, p := range pairs(f.val) {
		switch p[0].Value {
		case "image":
			write(p[0], p[1], "installer", "image")
		case "wipe":
			yes, known := isTrue(p[1])
			if known && !yes && selector == nil && value(f.val, "disk") == "" {
				continue // that is what is generated, if there is a document at all
			}
			write(p[0], p[1], "provisioning", "wipe")
		case "disk":
			if selector == nil && p[1].Value != "" { // a selector wins over the disk's name
				write(p[0], keepLine(scalar("disk.dev_path == "+w.quote(p[1].Value)), p[1]), "provisioning", "diskSelector", "match")
			}
		case "diskSelector":
			if match, ok := w.diskMatch(f, p[1]); ok {
				write(p[0], scalar(match), "provisioning", "diskSelector", "match")
			}
		default:
			w.installRest(f, p)
		}
	}
	if d != nil && at(d.root, "provisioning", "diskSelector") == nil {
		w.note(Hint, f, "UnattendedInstallConfig needs a disk: this patch is for configs that were generated with an install disk")
	}
}

// installRest says what became of settings that have no place any more.
func (w *rewriter) installRest(f field, p [2]*yaml.Node) {
	yes, _ := isTrue(p[1])
	f.path, f.line = f.path+"."+p[0].Value, p[0].Line
	switch p[0].Value {
	case "bootloader": // never did anything
	case "legacyBIOSSupport":
		if yes {
			w.note(ByHand, f, "the installer no longer marks the disk bootable for an old BIOS: check that the machine boots")
		}
	case "grubUseUKICmdline":
		if !yes {
			w.note(Hint, f, "kernel arguments come from the boot image now")
		}
	default:
		w.note(ByHand, f, "%s has no counterpart", p[0].Value)
	}
}

// quote writes a CEL string. Variables stay readable in it.
func (w *rewriter) quote(s string) string { return strconv.Quote(s) }

// diskMatch writes a disk selector as the CEL expression the library makes of it (InstallConfig.DiskMatchExpression).
func (w *rewriter) diskMatch(f field, n *yaml.Node) (string, bool) {
	var terms []string
	glob := func(key, cel string) {
		if v := value(n, key); v != "" {
			terms = append(terms, fmt.Sprintf("glob(%s, disk.%s)", w.quote(v), cel))
		}
	}
	if size := value(n, "size"); size != "" {
		term, ok := w.sizeMatch(size)
		if !ok {
			w.note(ByHand, f, "the disk size %q cannot be read: write provisioning.diskSelector.match of UnattendedInstallConfig", size)
			return "", false
		}
		terms = append(terms, term)
	}
	glob("uuid", "uuid")
	glob("wwid", "wwid")
	glob("model", "model")
	glob("serial", "serial")
	glob("modalias", "modalias")
	terms = append(terms, `disk.transport != ""`)
	switch value(n, "type") {
	case "":
	case "nvme":
		terms = append(terms, `disk.transport == "nvme"`)
	case "sd":
		terms = append(terms, `disk.transport == "mmc"`)
	case "hdd":
		terms = append(terms, "disk.rotational")
	case "ssd":
		terms = append(terms, "!disk.rotational")
	}
	glob("busPath", "bus_path")
	if value(n, "name") != "" {
		w.note(ByHand, f, "a disk cannot be selected by its name any more: use its wwid or serial")
		return "", false
	}
	return strings.Join(append(terms, "!disk.readonly", "!disk.cdrom"), " && "), true
}

// sizeMatch reads a size as the library does.
func (w *rewriter) sizeMatch(text string) (string, bool) {
	var m v1alpha1.InstallDiskSizeMatcher
	if err := yaml.Unmarshal([]byte(strconv.Quote(text)), &m); err != nil {
		return "", false
	}
	op := m.MatchData.Op
	if op == "" {
		op = "=="
	}
	return fmt.Sprintf("disk.size %s %du", op, m.MatchData.Size), true
}
