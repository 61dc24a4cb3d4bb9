package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

// contexts is the context file: which managers there are, and which one is meant.
type contexts struct {
	Context  string             `yaml:"context"`
	Contexts map[string]manager `yaml:"contexts"`
}

// manager is where one is, and what opens it.
type manager struct {
	URL   string `yaml:"url"`
	Token string `yaml:"token"`
}

// contextFile is TALOS_MANAGER_CONFIG, or the usual place.
func contextFile() (string, error) {
	if file := os.Getenv("TALOS_MANAGER_CONFIG"); file != "" {
		return file, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fleet.Errorf(fleet.Invalid, "context file: %w", err).WithHint("set TALOS_MANAGER_CONFIG to a file")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "talos-manager", "config.yaml"), nil
}

// readContexts reads the file; one that is not there is empty.
func readContexts() (contexts, error) {
	all := contexts{Contexts: map[string]manager{}}
	file, err := contextFile()
	if err != nil {
		return all, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = yaml.Unmarshal(text, &all)
	}
	if err != nil {
		return all, fleet.Errorf(fleet.Invalid, "context file %s: %w", file, err).WithHint("mend it, or delete it and begin anew: talos-manager context add")
	}
	if all.Contexts == nil {
		all.Contexts = map[string]manager{}
	}
	return all, nil
}

// write replaces the file in one go; only its owner may read it.
func (all contexts) write() error {
	file, err := contextFile()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fleet.Errorf(fleet.Invalid, "context file: %w", err)
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fleet.Errorf(fleet.Invalid, "context file: %w", err)
	}
	return os.Rename(temporary, file)
}

// current is the context that is meant.
func (p *program) current() (manager, error) {
	all, err := readContexts()
	if err != nil {
		return manager{}, err
	}
	chosen := first(p.context, all.Context)
	if chosen == "" {
		return manager{}, &usage{
			text: "which manager?",
			hint: "name it with --url and --token, with TALOS_MANAGER_URL and TALOS_MANAGER_TOKEN, or log in once: talos-manager context add NAME --url URL --password-stdin",
		}
	}
	return all.find(chosen)
}

func (all contexts) find(name string) (manager, error) {
	m, ok := all.Contexts[name]
	if !ok {
		return m, fleet.Errorf(fleet.NotFound, "there is no context %q", name).
			WithHint("there are: %s", first(strings.Join(slices.Sorted(maps.Keys(all.Contexts)), ", "), "none"))
	}
	return m, nil
}

// contextNames is for completion, where errors are of no use.
func (p *program) contextNames() []string {
	all, _ := readContexts()
	return slices.Sorted(maps.Keys(all.Contexts))
}

func (p *program) contextCommand() *cobra.Command {
	return p.noun("context", "Which managers the command line talks to",
		"Contexts are kept in ~/.config/talos-manager/config.yaml; TALOS_MANAGER_CONFIG names another file.",
		p.contextAdd(), p.contextList(), p.contextUse(), p.contextRemove())
}

func (p *program) contextAdd() *cobra.Command {
	var withToken, withPassword bool
	cmd := &cobra.Command{
		Use: "add NAME --url URL", Short: "Log in to a manager and use it from now on",
		Long: "Log in to a manager and use it from now on. With the password of its web page, an API token is made for this\ncomputer, and only that is kept.",
		Example: `  talos-manager context add prod --url https://manager.example.com --password-stdin < password
  talos-manager context add prod --url https://manager.example.com --token tm_…`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if withToken == withPassword && (withToken || p.token == "") {
				return &usage{text: "context add: give either a token or a password", hint: "--token, --token-stdin or --password-stdin"}
			}
			m := manager{URL: strings.TrimRight(first(p.url, os.Getenv("TALOS_MANAGER_URL")), "/"), Token: p.token}
			var password string
			var err error
			switch {
			case withToken:
				m.Token, err = p.line("token-stdin")
			case withPassword:
				password, err = p.line("password-stdin")
			}
			if err != nil {
				return err
			}
			return explain(p.login(cmd.Context(), args[0], m, password))
		},
	}
	cmd.Flags().BoolVar(&withToken, "token-stdin", false, "read an API token from stdin")
	cmd.Flags().BoolVar(&withPassword, "password-stdin", false, "read the password of the web page from stdin")
	return cmd
}

// login proves that a manager lets us in, and keeps it.
func (p *program) login(ctx context.Context, name string, m manager, password string) error {
	all, err := readContexts() // before a token is made that could not be kept
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{URL: m.URL, Token: m.Token, Password: password})
	if err != nil {
		return &usage{text: "--url: " + err.Error(), hint: hintOf(err)}
	}
	if password != "" {
		made, err := c.CreateToken(ctx, client.NewToken{Name: tokenName()})
		if err != nil {
			return err
		}
		m.Token = made.Token
	} else if _, err := c.Version(ctx); err != nil {
		return err
	}
	all.Context, all.Contexts[name] = name, m
	if err := all.write(); err != nil {
		return err
	}
	p.done("context %s is used from now on: %s", name, m.URL)
	return nil
}

// tokenName says in the audit log from which computer somebody came. The random part lets one be made again.
func tokenName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "computer"
	}
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	host = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(host, "-"), "-")
	return fmt.Sprintf("cli-%.40s-%s", host, strings.ToLower(rand.Text()[:6]))
}

func (p *program) contextList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts", Example: "  talos-manager context list", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			type context struct {
				Name    string `json:"name"`
				URL     string `json:"url"`
				Current bool   `json:"current"`
			}
			list := client.List[context]{Items: []context{}}
			for _, n := range slices.Sorted(maps.Keys(all.Contexts)) {
				list.Items = append(list.Items, context{n, all.Contexts[n].URL, n == all.Context})
			}
			p.none(len(list.Items), "contexts", "talos-manager context add NAME --url URL --password-stdin")
			return p.show(list, func(t *table) {
				for i, c := range list.Items {
					if i == 0 {
						t.row("CURRENT", "NAME", "URL")
					}
					t.row(map[bool]string{true: "*", false: " "}[c.Current], c.Name, c.URL)
				}
			})
		},
	}
}

func (p *program) contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Use another manager from now on", Example: "  talos-manager context use staging", Args: takes("NAME"),
		ValidArgsFunction: cobra.FixedCompletions(p.contextNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			m, err := all.find(args[0])
			if err != nil {
				return err
			}
			all.Context = args[0]
			if err := all.write(); err != nil {
				return err
			}
			p.done("context %s is used from now on: %s", args[0], m.URL)
			return nil
		},
	}
}

func (p *program) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a manager; its token stays valid",
		Long:    "Forget a manager. Its token stays valid until it is revoked: talos-manager token delete.",
		Example: "  talos-manager context remove staging", Args: takes("NAME"),
		ValidArgsFunction: cobra.FixedCompletions(p.contextNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			if _, err := all.find(args[0]); err != nil {
				return err
			}
			delete(all.Contexts, args[0])
			if all.Context == args[0] {
				all.Context = ""
			}
			if err := all.write(); err != nil {
				return err
			}
			p.done("context %s removed", args[0])
			return nil
		},
	}
}
