//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/skip"
)

// The disk under SQLite takes nothing more while a server is installed. What is ordered then is refused with the name
// of the database and what to do; what was stored can be read; and as soon as there is room again the install goes
// on where it stood.
func TestAnInstallSurvivesADiskThatTakesNothingMore(t *testing.T) {
	for _, c := range []struct {
		why  string
		disk func(t *testing.T) disk
		says string
	}{
		{"its file system is full", smallDisk, "disk full"},
		{"writes fail", func(t *testing.T) disk { return &limit{dir: t.TempDir()} }, "cannot be read or written"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			d := c.disk(t)
			l := newLab(t, 0, 2)
			p := serve(t, l, "DATA_DIR="+d.path())
			p.start()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			l.accounts(ctx, p.client)
			ops := l.install(ctx, p.client)
			eventually(t, 10*time.Second, "it writes the image", func() bool {
				op, err := p.client.Operation(ctx, ops[0].ID)
				return err == nil && op.Step == "write the image"
			})
			d.fill(t, p)
			begun := time.Now()
			refused(ctx, t, p, d.path(), c.says)
			// A long time for the machine: rescue, image and boot would be over.
			eventually(t, 5*time.Second, "", func() bool { return time.Since(begun) > 3*time.Second })
			if list, err := p.client.Servers(ctx, client.ServerFilter{}); err != nil || list.Total != 2 {
				t.Errorf("reading: %d servers, %v", list.Total, err)
			}
			for _, op := range ops {
				if now, err := p.client.Operation(ctx, op.ID); err != nil || now.Final() {
					t.Errorf("%s became %s: %s %v", op.Subject(), now.State, now.Error, err)
				}
			}
			d.free(t, p)
			l.finished(ctx, p.client, ops)
			l.written()
			l.etcd(ctx, p.client)
		})
	}
}

// refused orders something that has to be stored, in the API and at the shell.
func refused(ctx context.Context, t *testing.T, p *program, path, says string) {
	t.Helper()
	_, err := p.client.CreateRule(ctx, client.NewRule{Cluster: clusterName, Match: "worker", Labels: map[string]string{"a": "b"}})
	e := new(client.Error)
	if !errors.As(err, &e) || e.Kind != client.Unavailable || !strings.Contains(e.Message, path) || !strings.Contains(e.Message, says) || !strings.Contains(e.Hint, "disk") {
		t.Errorf("a rule is refused with: %v (%s; hint: %s)", err, e.Kind, e.Hint)
	}
	_, stderr, code := p.run("cluster", "create", "second", "--endpoint", "https://192.0.2.1:6443")
	if code != 8 || !strings.Contains(stderr, says) || !strings.Contains(stderr, "hint: ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// disk is what can be filled, and what has room again.
type disk interface {
	path() string
	fill(t *testing.T, p *program)
	free(t *testing.T, p *program)
}

// tmpfs is a file system of 12 MB.
type tmpfs struct{ dir string }

func smallDisk(t *testing.T) disk {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m,mode=700"); err != nil {
		skip.UnlessCI(t, "mounting a small disk: %v: run as root", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return tmpfs{dir}
}

func (d tmpfs) path() string { return d.dir }

func (d tmpfs) fill(t *testing.T, _ *program) {
	t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

func (d tmpfs) free(t *testing.T, _ *program) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "ballast")); err != nil {
		t.Fatal(err)
	}
}

// limit is a limit on the size of files that the process may write (RLIMIT_FSIZE): a quota, which root has too.
type limit struct {
	dir string
	old unix.Rlimit
}

func (d *limit) path() string { return d.dir }

func (d *limit) fill(t *testing.T, p *program) {
	t.Helper()
	pid := p.process.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &d.old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: d.old.Max}, nil); err != nil {
		t.Fatal(fmt.Errorf("limit files: %w", err))
	}
}

func (d *limit) free(t *testing.T, p *program) {
	t.Helper()
	if err := unix.Prlimit(p.process.Process.Pid, unix.RLIMIT_FSIZE, &d.old, nil); err != nil {
		t.Fatal(err)
	}
}
