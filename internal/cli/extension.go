package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/internal/extension"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (p *program) extensionCommand() *cobra.Command {
	return p.noun("extension", "System extensions of your own, without a manager",
		`A system extension adds files to Talos; most add a service, a privileged container that Talos itself runs. These
commands lay one out in a folder, say what is wrong with it, and build it into an OCI image. No manager is needed.`,
		p.extensionInit(), p.extensionLint(), p.extensionBuild())
}

func (p *program) extensionInit() *cobra.Command {
	var t extension.Template
	var dir string
	cmd := &cobra.Command{
		Use: "init NAME", Short: "Lay out an extension with a service",
		Long: `Lays out an extension in a new folder: its manifest, the file of its service, and a place for its program.

A program is a static Linux program, or a script together with what runs it. Given one for each architecture, each goes
into its own root file system.`,
		Example: `  talos-manager extension init hello-world --program ./hello --author "Platform team"
  talos-manager extension init hello-world --program ./hello-amd64 --program ./hello-arm64`, Args: takes("NAME"),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		t.Name = args[0]
		dir = first(dir, t.Name)
		files, err := extension.Init(dir, t)
		if err != nil {
			return err
		}
		p.done("extension %s laid out in %s", t.Name, dir)
		if len(t.Programs) == 0 {
			p.done("hint: put its program at %s", filepath.Join(dir, "rootfs", extension.Containers, t.Name, t.Name))
		}
		return p.show(files, func(tab *table) {
			for _, f := range files {
				tab.row(filepath.Join(dir, f))
			}
		})
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "folder; the default is the name")
	f.StringArrayVar(&t.Programs, "program", nil, "program that the service runs, may be given once for each architecture")
	f.StringVar(&t.Version, "version", "", `version of the extension (default "v1.0.0")`)
	f.StringVar(&t.Author, "author", "", "who made it")
	f.StringVar(&t.Description, "description", "", "what it is for")
	f.StringVar(&t.Talos, "talos", "", `Talos versions that it works on (default ">= v1.6.0")`)
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

// linted is what lint prints as JSON and YAML.
type linted struct {
	Name          string              `json:"name"`
	Version       string              `json:"version"`
	Architectures []string            `json:"architectures"`
	Services      []string            `json:"services,omitempty"`
	Problems      []extension.Problem `json:"problems,omitempty"`
}

func (p *program) extensionLint() *cobra.Command {
	var o extension.LintOptions
	cmd := &cobra.Command{
		Use: "lint DIR", Short: "Say what is wrong with an extension",
		Long: `Says everything that keeps Talos from taking an extension or its service from starting: by file, line and field, with
what to write instead. It ends with exit code 3 if there is an error; warnings alone are none.`,
		Example: "  talos-manager extension lint hello-world --talos-version v1.13.9", Args: takes("DIR"),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		e, problems, err := extension.Lint(args[0], o)
		if err != nil {
			return err
		}
		m := e.Manifest.Metadata
		v := linted{Name: m.Name, Version: m.Version, Architectures: e.Architectures, Problems: problems}
		for _, s := range e.Services {
			v.Services = append(v.Services, s.ID())
		}
		if err := p.show(v, func(t *table) { v.table(t) }); err != nil {
			return err
		}
		if p.output == "table" {
			p.warnAbout(problems)
		}
		return problems.Err()
	}
	cmd.Flags().StringVar(&o.Talos, "talos-version", "", "Talos version that it must work on; the default is what the manifest says")
	cmd.ValidArgsFunction = folders
	return cmd
}

// folders completes an argument that is a folder.
func folders(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func (v linted) table(t *table) {
	t.field("extension", strings.TrimSpace(v.Name+" "+v.Version))
	t.field("architectures", strings.Join(v.Architectures, ", "))
	t.field("services", strings.Join(v.Services, ", "))
}

// warnAbout prints the warnings to stderr, in the form of errors.
func (p *program) warnAbout(problems extension.Problems) {
	for _, w := range problems.Warnings() {
		fmt.Fprintf(p.err, "warning: %s\n", printable(w.Error()))
		if w.Hint != "" {
			fmt.Fprintf(p.err, "hint: %s\n", printable(w.Hint))
		}
	}
}

func (p *program) extensionBuild() *cobra.Command {
	var to, push string
	var architectures []string
	var o extension.PushOptions
	cmd := &cobra.Command{
		Use: "build DIR", Short: "Build an extension into an OCI image",
		Long: `Builds an extension into an OCI image for each architecture: into a folder with an OCI image layout, into one that is
packed as FILE.tar, or pushed to a registry, or both. The same folder always gives the same digests. An extension with
errors is not built.

The login to a registry is that of docker login. Talos' imager takes the image as --system-extension-image.`,
		Example: `  talos-manager extension build hello-world --output image
  talos-manager extension build hello-world --push ghcr.io/me/hello-world:v1.0.0
  talos-manager extension build hello-world --arch arm64 --push localhost:5000/hello-world`, Args: takes("DIR"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" && push == "" {
			return &usage{text: "extension build: say where to: give --output or --push", hint: cmd.UseLine()}
		}
		e, problems, err := extension.Lint(args[0], extension.LintOptions{})
		if err != nil {
			return err
		}
		p.warnAbout(problems)
		if err := problems.Err(); err != nil {
			return err
		}
		images, err := e.Build(architectures...)
		if err != nil {
			return err
		}
		if to != "" {
			if err := images.Write(to); err != nil {
				return err
			}
			p.done("written to %s", to)
		}
		if push != "" {
			o.UserAgent = "talos-manager/" + p.build.Version
			ref, err := images.Push(cmd.Context(), push, o)
			if err != nil {
				return err
			}
			p.done("pushed as %s", ref)
		}
		return p.built(images)
	}
	f := cmd.Flags()
	f.StringVar(&to, "output", "", "folder to write an OCI image layout to, or FILE.tar")
	f.StringVar(&push, "push", "", "reference in a registry to push to; without a tag, the extension's version is it")
	f.StringSliceVar(&architectures, "arch", nil, "amd64, arm64 or both; the default is all that it has programs for")
	f.BoolVar(&o.PlainHTTP, "plain-http", false, "the registry has no TLS; not needed for localhost")
	must(cmd.MarkFlagDirname("output"))
	complete(cmd, "arch", extension.Architectures()...)
	cmd.ValidArgsFunction = folders
	return cmd
}

// built prints what was built.
func (p *program) built(images *extension.Images) error {
	index, err := images.Index.Digest()
	if err != nil {
		return fleet.Errorf(fleet.Internal, "digest of the images: %w", err)
	}
	return p.show(nil, func(t *table) {
		t.row("IMAGE", "PLATFORM", "DIGEST", "SIZE")
		name := images.Name + ":" + images.Version
		for _, i := range images.Each {
			t.row(name, "linux/"+i.Architecture, i.Digest, size(i.Size))
		}
		t.row(name, "all", index.String(), "")
	})
}
