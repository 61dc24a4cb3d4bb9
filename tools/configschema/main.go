// Command configschema reads the Go sources of every Talos release and writes the table of machine config documents
// and fields that internal/machineconfig/schema embeds: what each release decodes, which it calls deprecated, and what
// its comments say.
//
//	configschema -git TALOS [-newest v1.14.1] [-machinery v1.14.1=DIR]... -out talos.txt.gz
//
// TALOS is a git checkout of github.com/siderolabs/talos (or its .git) with the tags of the releases. A release that
// has no tag there is read from a directory with its pkg/machinery instead. JSON schemas are not used: they lack
// deprecated fields, and a node decodes by its Go types.
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const oldestMinor = 6 // v1.6 is the oldest Talos that the manager supports

func main() {
	git := flag.String("git", "", "git checkout of Talos")
	out := flag.String("out", "", "file to write")
	newest := flag.String("newest", "", "leave out the releases behind this one")
	extra := map[string]string{}
	flag.Func("machinery", "RELEASE=DIR: a release that is not in the checkout", func(s string) error {
		tag, dir, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want RELEASE=DIR")
		}
		extra[tag] = dir
		return nil
	})
	flag.Parse()
	if *git == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*git, *out, *newest, extra); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(git, out, newest string, extra map[string]string) error {
	releases, err := listReleases(git, newest, extra)
	if err != nil {
		return err
	}
	m := newMerger(releases)
	for i, tag := range releases {
		dir, ok := extra[tag]
		if !ok {
			if dir, err = checkOut(git, tag); err != nil {
				return fmt.Errorf("%s: %w", tag, err)
			}
		}
		roots, err := readRelease(dir)
		if !ok {
			os.RemoveAll(dir)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", tag, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %d documents\n", tag, len(roots))
		m.add(i, roots)
	}
	return write(out, m)
}

var releaseTag = regexp.MustCompile(`^v1\.(\d+)\.(\d+)$`)

// listReleases gives the releases, oldest first. Alphas and release candidates are nobody's node.
func listReleases(git, newest string, extra map[string]string) ([]string, error) {
	out, err := exec.Command("git", "-C", git, "tag").Output()
	if err != nil {
		return nil, fmt.Errorf("git tag: %w", err)
	}
	tags := strings.Fields(string(out))
	for tag := range extra {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	tags = slices.DeleteFunc(tags, func(tag string) bool {
		return order(tag) < oldestMinor*1000 || newest != "" && order(tag) > order(newest)
	})
	slices.SortFunc(tags, func(a, b string) int { return order(a) - order(b) })
	return tags, nil
}

// order is minor*1000+patch, -1 for what is no release.
func order(tag string) int {
	m := releaseTag.FindStringSubmatch(tag)
	if m == nil {
		return -1
	}
	minor, _ := strconv.Atoi(m[1])
	patch, _ := strconv.Atoi(m[2])
	return minor*1000 + patch
}

// checkOut unpacks pkg/machinery of a release into a temporary directory.
func checkOut(git, tag string) (string, error) {
	dir, err := os.MkdirTemp("", "configschema")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("git", "-C", git, "archive", "--format=tar", tag, "pkg/machinery")
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	if err := untar(pipe, dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, "pkg/machinery"), cmd.Wait()
}

func untar(r io.Reader, dir string) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !strings.HasSuffix(h.Name, ".go") || !filepath.IsLocal(h.Name) {
			continue
		}
		name := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
}

func write(name string, m *merger) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := m.write(z); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}
