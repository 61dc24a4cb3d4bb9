package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"talos-manager": func() { os.Exit(Run("v0.9.0", os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// The scripts run the program as a user does, each against a manager of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, Setup: setup, Cmds: commands(),
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

func TestEveryCommandExplainsItself(t *testing.T) {
	p := &program{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}, now: time.Now}
	n := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.HasSubCommands() || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		n++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: what it does in short: %q", c.CommandPath(), c.Short)
		}
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: no example of it", c.CommandPath())
		}
		if c.Args == nil {
			t.Errorf("%s: it takes anything", c.CommandPath())
		}
	}
	visit(p.root())
	if n < 45 {
		t.Errorf("only %d commands", n)
	}
}

func TestEveryKindHasItsExitCode(t *testing.T) {
	for _, c := range []struct {
		why  string
		err  error
		want int
	}{
		{"wrong usage", &usage{text: "x"}, 2},
		{"the manager says it is invalid", &client.Error{Kind: client.Invalid}, 3},
		{"we say it is invalid", fleet.Errorf(fleet.Invalid, "x"), 3},
		{"not found", &client.Error{Kind: client.NotFound}, 4},
		{"conflict", &client.Error{Kind: client.Conflict}, 5},
		{"refused", fleet.Errorf(fleet.Refused, "x"), 6},
		{"not logged in", &client.Error{Kind: client.Unauthorized}, 7},
		{"not allowed", &client.Error{Kind: client.Forbidden}, 7},
		{"does not answer", &client.Error{Kind: client.Unavailable}, 8},
		{"budget used up", &client.Error{Kind: client.Exhausted}, 9},
		{"an operation failed", &client.Error{Kind: client.OperationFailed}, 10},
		{"a bug", os.ErrInvalid, 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.why, got, c.want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "59s": 59 * time.Second, "119s": 119 * time.Second, "2m": 2 * time.Minute, "3m7s": 187 * time.Second,
		"42m": 42*time.Minute + 3*time.Second, "179m": 179 * time.Minute, "3h": 3 * time.Hour, "47h": 47 * time.Hour, "3d": 80 * time.Hour,
	} {
		if got := short(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestSizesAreThoseOfShops(t *testing.T) {
	for want, n := range map[string]int64{"0 B": 0, "999 B": 999, "1 kB": 1000, "512 GB": 512e9, "1.9 TB": 1.92e12, "67.3 GB": 67.3e9} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// On a terminal one line below the others is written again and again; what stays must not be touched by it.
func TestTheChangingLineLeavesTheOthersAlone(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.live, s.columns = true, func() int { return 60 }
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.Local)
	op := client.Operation{ID: "1", Server: &client.Ref{Name: "db-1"}, State: client.Running, Step: "write the image", UpdatedAt: at, CreatedAt: at, Progress: &client.Progress{Done: 1, Total: 4}}
	s.event("1", "db-1", client.Event{Operation: &op})
	s.event("1", "db-1", client.Event{Line: &client.LogLine{At: at, Level: "warn", Text: "slow"}})
	done := op
	done.State, done.FinishedAt = client.Succeeded, at.Add(3*time.Minute)
	s.event("1", "db-1", client.Event{Operation: &done})
	s.close()
	var kept []string
	for line := range strings.SplitSeq(out.String(), "\n") {
		if i := strings.LastIndex(line, "\r\x1b[K"); i >= 0 {
			line = line[i+len("\r\x1b[K"):]
		}
		kept = append(kept, line)
	}
	if got, want := strings.Join(kept, "|"), "12:00:00  db-1  — write the image|12:00:00  db-1  warn: slow|12:00:00  db-1  succeeded after 3m|"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !strings.Contains(out.String(), "1 of 1 under way: db-1 write the image 25%") {
		t.Errorf("no changing line: %q", out.String())
	}
}

func TestACredentialOfTheEnvironmentFitsItsProvider(t *testing.T) {
	env := map[string]string{"HCLOUD_TOKEN": "t", "HETZNER_WEBSERVICE_USER": "u", "HETZNER_WEBSERVICE_PASSWORD": "p"}
	for _, c := range []struct {
		why      string
		in, want client.NewAccount
	}{
		{"a Cloud account is the default", client.NewAccount{}, client.NewAccount{Provider: "hetzner_cloud", Token: "t"}},
		{"a user means Robot", client.NewAccount{User: "me"}, client.NewAccount{Provider: "hetzner_robot", User: "me", Password: "p"}},
		{"the provider decides", client.NewAccount{Provider: "hetzner_robot"}, client.NewAccount{Provider: "hetzner_robot", User: "u", Password: "p"}},
		{"flags win", client.NewAccount{Token: "mine"}, client.NewAccount{Provider: "hetzner_cloud", Token: "mine"}},
	} {
		got := c.in
		if credentials(&got, func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}

func TestTextsOfMachinesDoNotDriveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{"a\x1b[2Jb": "a?[2Jb", "a\tb\nc": "a b\nc", "\u009bx": "?x", "é–世": "é–世"} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
