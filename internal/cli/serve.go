package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

func (p *program) serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "serve", Short: "Start a manager",
		Long: `Start a manager. Every setting can be given as a flag, as an environment variable or in a file (--config); flags win over
the environment, and that over the file. An unusable setting is an error that names it.`,
		Example: `  talos-manager serve --host manager.example.com
  HOST=manager.example.com HETZNER_CLOUD_API_TOKEN=… talos-manager serve
  talos-manager serve --config talos-manager.yaml --log-format json`,
		Args: takes(),
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "file with settings, YAML")
	for _, s := range app.List {
		f.String(s.Name, s.Default, s.Help+" ("+s.Env+")")
	}
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := app.Read(changed(f), os.Getenv, file)
		if err != nil {
			return err
		}
		return p.serve(cmd.Context(), settings)
	}
	return cmd
}

// changed gives the settings among the flags that were given.
func changed(f *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, s := range app.List {
		if f.Changed(s.Name) {
			given[s.Name] = f.Lookup(s.Name).Value.String()
		}
	}
	return given
}

// serve runs until ctx ends.
func (p *program) serve(ctx context.Context, s app.Settings) error {
	a, err := app.New(ctx, s, app.Options{Version: p.build.Version, Log: logger(p.err, s)})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return errors.Join(fleet.Errorf(fleet.Invalid, "setting listen (LISTEN): %w", err).WithHint("choose another address: --listen :8081"), a.Close())
	}
	fmt.Fprintf(p.out, "Talos Manager %s at %s\n", p.build.Version, address(s, l))
	if file := a.Access.PasswordFile; file != "" {
		fmt.Fprintf(p.out, "log in as admin with the password in %s\n", file)
	}
	if s.URL == "" {
		fmt.Fprintln(p.out, "HOST is not set: servers can be listed and rescued, but not installed")
	}
	return errors.Join(a.Run(ctx, l), a.Close())
}

// address is where people find the manager.
func address(s app.Settings, l net.Listener) string {
	if s.URL != "" {
		return s.URL
	}
	scheme := "http://"
	if s.TLSCert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return scheme + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}

// logger writes to stderr as the settings say.
func logger(w io.Writer, s app.Settings) *slog.Logger {
	var level slog.Level
	must(level.UnmarshalText([]byte(strings.ToUpper(s.LogLevel)))) // checked by app.Read
	o := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
