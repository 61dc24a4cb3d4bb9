package cli

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/httpd"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/wait"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const password = "correct horse"

// bundle is one secrets bundle for all scripts: making one takes a second of RSA.
var bundle = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()) })

// setup gives a script a manager on a simulated Hetzner with two Cloud and two dedicated servers, the files and the
// variables that its user has. Only in scripts named live-… operations are worked on; in the others the command
// "journal" does it.
func setup(env *testscript.Env) error {
	cloud := hetzner.Token("cli")
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: 50},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{{User: "#ws+cli", Password: "secret"}}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: cloud}}},
	})
	if err != nil {
		return err
	}
	env.Defer(sim.Close)
	for _, name := range []string{"cp-1", "worker-1"} {
		sim.AddCloud(cloud, name)
		sim.AddDedicated("#ws+cli", "metal-"+name)
	}
	a, err := manage(env, sim)
	if err != nil {
		return err
	}
	server := httptest.NewServer(httpd.Secure(a.Handler))
	env.Defer(server.Close)
	env.Defer(server.CloseClientConnections)
	if strings.HasPrefix(filepath.Base(env.WorkDir), "script-live-") {
		if err := a.Engine.Start(context.Background()); err != nil {
			return err
		}
		env.Defer(func() { a.Engine.Stop(context.Background()) })
	}
	secrets, err := bundle()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"secrets.yaml": string(secrets), "password": password, "cloud-token": cloud, "robot-password": "secret\n"} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	_, token, err := a.Access.NewToken(context.Background(), "admin", "script")
	if err != nil {
		return err
	}
	env.Values["app"] = a
	// Built with the race detector, the program would sleep a second before each exit.
	env.Vars = append(env.Vars, "GORACE=atexit_sleep_ms=0", "HOME="+env.WorkDir, "XDG_CONFIG_HOME=", "TALOS_MANAGER_URL="+server.URL, "TALOS_MANAGER_TOKEN="+token,
		"MANAGER="+server.URL, "TOKEN="+token, "SECRETS=@secrets.yaml", "TZ=UTC")
	return nil
}

func manage(env *testscript.Env, sim *simulator.Simulator) (*app.App, error) {
	dir, err := os.MkdirTemp("", "cli")
	if err != nil {
		return nil, err
	}
	env.Defer(func() { os.RemoveAll(dir) })
	settings, err := app.Read(map[string]string{
		"data-dir": dir, "password": password, "host": "https://manager.example.com",
		"cloud-url": sim.CloudURL(), "robot-url": sim.RobotURL(), "factory-url": sim.FactoryURL(), "pace": "50",
	}, func(string) string { return "" }, "")
	if err != nil {
		return nil, err
	}
	a, err := app.New(context.Background(), settings, app.Options{
		Version: "v1.2.3", Dial: sim.Dial,
		Engine: workflow.Options{Poll: 50 * time.Millisecond, Backoff: 50 * time.Millisecond},
	})
	if err != nil {
		return nil, err
	}
	env.Defer(func() { a.Close() })
	return a, nil
}

// commands are those of the scripts beside the program itself.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":    exits,
		"registry": keepRegistry,
		"field":    field,
		"journal":  journal,
		"port":     port,
		"await":    await,
		"mode":     mode,
		"until":    until,
	}
}

// exits CODE COMMAND… runs a command that must end with this exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		code = -1
		if _, text, ok := strings.Cut(err.Error(), "exit status "); ok {
			code, _ = strconv.Atoi(text)
		}
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d (%v), want %s", code, err, args[0])
	}
}

// field NAME PATH sets a variable to a field of the JSON that was printed last: items.0.id.
func field(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for part := range strings.SplitSeq(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			ts.Check(err)
			if i >= len(at) {
				ts.Fatalf("there is no item %d in %s", i, ts.ReadFile("stdout"))
			}
			v = at[i]
		}
	}
	text, ok := v.(string)
	if !ok {
		ts.Fatalf("%s is no text in %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], text)
}

// journal log|ask|fail|succeed OPERATION TEXT [STEP] does what a step would.
func journal(ts *testscript.TestScript, _ bool, args []string) {
	a := ts.Value("app").(*app.App)
	ctx := context.Background()
	claim, err := a.Store.ClaimOperation(ctx, args[1], "script", time.Now(), time.Minute)
	ts.Check(err)
	now, text := time.Now(), args[2]
	step := "reach the rescue system"
	if len(args) > 3 {
		step = args[3]
	}
	change := workflow.Change{
		Release: true, State: fleet.Waiting, WaitUntil: &now, Step: &step,
		Steps: []fleet.OperationStep{{Name: step, State: fleet.Running, Attempts: 1, StartedAt: now}},
	}
	switch args[0] {
	case "log":
		change.Log = []fleet.LogLine{{At: now, Step: step, Level: "info", Text: text}}
		change.WaitingFor = &text
	case "ask":
		change.State, change.Question = fleet.Asking, &text
	case "fail":
		hint := "do better"
		change.State, change.Error, change.Hint, change.Finished = fleet.Failed, &text, &hint, &now
	case "succeed":
		change.State, change.Finished = fleet.Succeeded, &now
	default:
		ts.Fatalf("journal %s?", args[0])
	}
	ts.Check(a.Store.WriteOperation(ctx, args[1], claim.Revision, change))
}

// port NAME sets a variable to a port that is free.
func port(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	_, p, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], p)
}

// await URL waits until something answers there.
func await(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ts.Check(wait.Until(ctx, args[0]+" to answer", 20*time.Millisecond, func(context.Context) (bool, error) {
		resp, err := http.Get(args[0])
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	}))
}

// mode PERMISSIONS FILE… checks who may read files.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has the mode %s, want %s", file, got, args[0])
		}
	}
}

// until SERVER active waits until an operation of the server is active: a command in the background has begun.
func until(ts *testscript.TestScript, _ bool, args []string) {
	a := ts.Value("app").(*app.App)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := a.Store.Server(ctx, args[0])
	ts.Check(err)
	ts.Check(wait.Until(ctx, "an active operation of "+args[0], 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		all, err := a.Store.Operations(ctx, store.OperationFilter{ServerID: s.ID, Active: true})
		return len(all) > 0, err
	}))
}
