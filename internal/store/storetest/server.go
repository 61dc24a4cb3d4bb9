package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/talos-manager/talos-manager/internal/wait"
)

// Server is a private Postgres: its data, socket and life belong to this process.
type Server struct {
	bin, dir string
	settings []string
	running  *exec.Cmd
	lifeline io.Closer // the watch's input: it acts when this closes, with us at the latest
}

// StartServer makes a database cluster in a temporary directory and starts a Postgres on it. It ends with this
// process; Stop ends it earlier.
//
// Settings come after ours, and win: "fsync=on".
func StartServer(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg") // short: a socket's path has 107 characters at most
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, settings: settings}
	if err := ownDirectory(dir); err != nil {
		return nil, err
	}
	initdb := s.command("initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "trust", "--no-sync", "--no-instructions",
		"--encoding", "UTF8", "--locale", "C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, s.watchOver()
}

// Start starts the server, again after Stop, and waits until it answers.
func (s *Server) Start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-k", s.dir}
	for _, setting := range append([]string{
		"listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB",
		"wal_level=minimal", "max_wal_senders=0", "autovacuum=off", "jit=off",
	}, s.settings...) {
		args = append(args, "-c", setting)
	}
	s.running = s.command("postgres", args...)
	s.running.Stdout, s.running.Stderr = log, log
	if err := s.running.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = wait.Until(ctx, "postgres to answer", 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		conn, err := pgx.Connect(ctx, s.Address("postgres"))
		if err != nil {
			return false, nil
		}
		return true, conn.Close(ctx)
	})
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

// watchOver starts a shell that waits for the end of this process, however it ends, and clears up after it.
func (s *Server) watchOver() error {
	const clearUp = `read nothing
		if pid=$(head -n 1 "$1/postmaster.pid"); then
			kill -QUIT "$pid"
			while kill -0 "$pid"; do sleep 0.05; done
		fi
		rm -rf "$0"`
	watch := exec.Command("sh", "-c", clearUp, s.dir, s.data())
	detach(watch)
	lifeline, err := watch.StdinPipe()
	if err != nil {
		return err
	}
	s.lifeline = lifeline
	return watch.Start()
}

// command prepares a program of Postgres, which refuses to run as root.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "LC_ALL=C")
	detach(c)
	dropRoot(c)
	return c
}

// Stop ends the server at once, as a crash would: clients lose their connections, what was committed stays.
func (s *Server) Stop() error {
	if err := s.running.Process.Signal(os.Interrupt); err != nil { // SIGINT: fast shutdown
		return err
	}
	var ended *exec.ExitError
	if err := s.running.Wait(); err != nil && !errors.As(err, &ended) {
		return err
	}
	return nil
}

// Remove ends the server and removes its data.
func (s *Server) Remove() error { return s.lifeline.Close() }

// Address is the connection string for a database of the server.
func (s *Server) Address(database string) string {
	query := url.Values{"host": {s.dir}, "user": {"postgres"}}
	return "postgres:///" + database + "?" + query.Encode()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// binaries finds the newest installed Postgres.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	sort.Slice(found, func(i, j int) bool { // 9 < 15
		return len(found[i]) < len(found[j]) || len(found[i]) == len(found[j]) && found[i] < found[j]
	})
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no initdb in /usr/lib/postgresql/*/bin or in PATH")
	}
	return filepath.Dir(path), nil
}
