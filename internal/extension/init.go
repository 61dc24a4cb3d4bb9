package extension

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Template is what Init lays out.
type Template struct {
	Name        string   // of the extension and of its service
	Version     string   // default v1.0.0
	Author      string   // default "unknown"
	Description string   // default says what it is
	Talos       string   // range of versions; default >= v1.6.0
	Programs    []string // files of the program: one, or one of each architecture; none: it comes later
}

const manifestTemplate = `version: v1alpha1
metadata:
  name: {{.Name}}
  version: {{quote .Version}}
  author: {{quote .Author}}
  description: {{quote .Description}}
  compatibility:
    talos:
      version: {{quote .Talos}}
`

const serviceTemplate = `# Talos runs this as the service ext-{{.Name}}, in a container of its own.
name: {{.Name}}
container:
  # As seen from the container's root, which is rootfs/usr/local/lib/containers/{{.Name}} here.
  entrypoint: ./{{.Name}}
  # args: [--config, config.ini]
  # environment: [NAME=value]
  # mounts:
  #   - source: /var/lib/{{.Name}}
  #     destination: /var/lib/{{.Name}}
  #     type: bind
  #     options: [bind, rw]
# The service starts once all of it is there: service: NAME, path: /PATH, network: […], time: true, configuration: true.
depends:
  - network: [addresses]
# always, never (once), or untilSuccess.
restart: always
`

// Init lays out a new extension in dir, which must not have anything in it, and lists the files.
func Init(dir string, t Template) ([]string, error) {
	if !serviceName.MatchString(t.Name) || !extensionName.MatchString(t.Name) {
		return nil, fleet.Errorf(fleet.Invalid, "%q cannot be the name of an extension", t.Name).WithHint("use a-z and 0-9, with - between them: hello-world")
	}
	have, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(have) > 0 {
		return nil, fleet.Errorf(fleet.Conflict, "folder %s has %s in it", dir, have[0].Name()).WithHint("choose another with --dir, or remove what is there")
	}
	t.Version, t.Author, t.Talos = first(t.Version, "v1.0.0"), first(t.Author, "unknown"), first(t.Talos, ">= v1.6.0")
	t.Description = first(t.Description, "This system extension runs "+t.Name+" as a service of Talos.")
	places, err := programPlaces(t)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, text := range map[string]string{ManifestFile: manifestTemplate, "rootfs" + ServiceFiles + "/" + t.Name + ".yaml": serviceTemplate} {
		if files[name], err = fill(text, t); err != nil {
			return nil, err
		}
	}
	if _, problems := ParseManifest(files[ManifestFile]); problems.Err() != nil {
		return nil, problems.Err()
	}
	return lay(dir, t, files, places)
}

// lay writes the files, and copies the programs.
func lay(dir string, t Template, files map[string][]byte, places map[string]string) ([]string, error) {
	var written []string
	for name, text := range files {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return nil, err
		}
		written = append(written, name)
	}
	if err := os.MkdirAll(filepath.Join(dir, "rootfs", Containers, t.Name), 0o755); err != nil {
		return nil, err
	}
	for name, from := range places {
		if err := copyProgram(from, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		written = append(written, name)
	}
	slices.Sort(written)
	return written, nil
}

// programPlaces says where which program goes: the only one into rootfs, several by their architecture.
func programPlaces(t Template) (map[string]string, error) {
	places := map[string]string{}
	for _, from := range t.Programs {
		facts, err := readELF(from)
		if err != nil {
			return nil, fleet.Errorf(fleet.NotFound, "program: %w", err)
		}
		name := "rootfs"
		if len(t.Programs) > 1 {
			if facts == nil || !slices.Contains(Architectures(), facts.arch) {
				return nil, fleet.Errorf(fleet.Invalid, "%s is not a Linux program for amd64 or arm64", from).WithHint("give one program for each architecture, or a script alone")
			}
			name += "-" + facts.arch
		}
		name += Containers + "/" + t.Name + "/" + t.Name
		if places[name] != "" {
			return nil, fleet.Errorf(fleet.Invalid, "%s and %s are both for %s", places[name], from, facts.arch).WithHint("give one program for each architecture")
		}
		places[name] = from
	}
	return places, nil
}

func copyProgram(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func fill(text string, t Template) ([]byte, error) {
	parsed, err := template.New("").Funcs(template.FuncMap{"quote": quote}).Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, t)
	return out.Bytes(), err
}

// quote writes a text that YAML reads back as it is.
func quote(text string) string {
	return fmt.Sprintf(`"%s"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(text))
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
