package talosnode

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/container"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// attemptTime limits one download, downloadTime all of them (Talos pkg/machinery/constants).
const (
	attemptTime  = 3 * time.Minute
	downloadTime = 3 * time.Hour
)

// errNoSource says that a source has nothing to offer, which is no failure.
var errNoSource = errors.New("no config source")

// source is a place a config may come from, in Talos' order.
type source struct {
	name string
	get  func(context.Context) ([]byte, error)
}

// loadConfig ends when the node has a config it can boot with: found, or given to it in maintenance mode.
func (n *node) loadConfig(ctx context.Context) error {
	if !n.waitOnline(ctx) {
		return ctx.Err()
	}
	for !n.acquire(ctx) { // a failing source is asked again; maintenance mode is not reached
		if !n.sleep(ctx, retryTime) {
			return ctx.Err()
		}
	}
	if n.configured() {
		n.configComplete()
		return nil
	}
	return n.maintain(ctx)
}

// maintain serves the maintenance API until somebody applies a whole config.
func (n *node) maintain(ctx context.Context) error {
	n.mu.Lock()
	n.maintained = true
	n.mu.Unlock()
	n.events.publish(&machine.TaskEvent{Task: "runningMaintenance", Action: machine.TaskEvent_START}, "")
	n.status.maintenance(true)
	n.api.wake()
	select {
	case <-n.complete:
	case <-ctx.Done():
		return ctx.Err()
	}
	n.mu.Lock()
	n.maintained = false
	n.mu.Unlock()
	n.events.publish(&machine.TaskEvent{Task: "runningMaintenance", Action: machine.TaskEvent_STOP}, "")
	n.status.maintenance(false)
	n.announceAddress()
	n.api.wake()
	return nil
}

func (n *node) waitOnline(ctx context.Context) bool {
	for {
		n.mu.Lock()
		online := n.online
		n.mu.Unlock()
		if online {
			return true
		}
		if !n.sleep(ctx, stepTime) {
			return false
		}
	}
}

// acquire goes through the sources until the documents found are enough to boot. False: a source failed.
func (n *node) acquire(ctx context.Context) bool {
	var found config.Provider
	for _, s := range n.sources() {
		data, err := s.get(ctx)
		if errors.Is(err, errNoSource) {
			continue
		}
		next, err := n.check(data, err)
		if err != nil {
			n.log("machined", "failed to acquire config via %s: %v", s.name, err)
			return false
		}
		found = merge(found, next)
		n.log("machined", "machine config loaded successfully, sources %s", s.name)
		if found.CompleteForBoot() || s.name == "state" {
			break
		}
	}
	if found != nil {
		n.setConfig(found)
		if found.CompleteForBoot() {
			if err := n.setPersistent(found); err != nil {
				n.log("machined", "failed to write the config to %s: %v", stateLabel, err)
				return false
			}
		}
	}
	return true
}

func (n *node) check(data []byte, err error) (config.Provider, error) {
	if err != nil {
		return nil, err
	}
	if http.DetectContentType(data) == "application/x-gzip" {
		if data, err = gunzip(data); err != nil {
			return nil, err
		}
	}
	cfg, err := n.load(data)
	if err != nil {
		return nil, err
	}
	_, err = n.validate(cfg)
	return cfg, err
}

func (n *node) sources() []source {
	return []source{
		{"state", n.fromState},
		{"cmdline-early", n.fromCmdline("talos.config.early")},
		{n.info.Platform, n.fromPlatform},
		{"cmdline-late", n.fromCmdline("talos.config.inline")},
	}
}

func (n *node) fromState(context.Context) ([]byte, error) {
	if err := n.unlock(stateLabel); err != nil {
		return nil, err
	}
	if data := n.file(stateLabel, configFile); len(data) > 0 {
		return data, nil
	}
	return nil, errNoSource
}

// fromCmdline reads a config packed into a kernel argument: zstd, then base64.
func (n *node) fromCmdline(key string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		packed, _ := n.info.Arg(key)
		if packed == "" {
			return nil, errNoSource
		}
		raw, err := base64.StdEncoding.DecodeString(packed)
		if err != nil {
			return nil, err
		}
		r, err := zstd.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
}

func (n *node) fromPlatform(ctx context.Context) ([]byte, error) {
	if n.info.Platform == "hcloud" {
		return n.fromUserData()
	}
	where, _ := n.info.Arg("talos.config")
	if where == "" || where == "none" || where == "metal-iso" {
		return nil, errNoSource
	}
	return n.download(ctx, where)
}

// fromUserData is the Cloud server's user data, which may be base64.
func (n *node) fromUserData() ([]byte, error) {
	if n.env.UserData == nil {
		return nil, errNoSource
	}
	data := n.env.UserData(n.machine)
	if len(data) == 0 {
		return nil, errNoSource
	}
	if raw, err := base64.StdEncoding.DecodeString(string(data)); err == nil {
		return raw, nil
	}
	return data, nil
}

// download fetches a config. Every answer but 200 and 204 is tried again, with pauses that double, for three
// hours (Talos pkg/download). A 204 is an empty config, which the loader then refuses.
func (n *node) download(ctx context.Context, where string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.w.Real(downloadTime))
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}
	for try := 1; ; try++ {
		full, err := fill(where, n.variables())
		if err != nil {
			return nil, err
		}
		n.log("machined", "fetching machine config from: %q", full)
		data, err := n.fetch(ctx, client, full)
		if err == nil {
			return data, nil
		}
		n.log("machined", "retrying error: failed to download config from %q: %v", where, err)
		pause := time.Duration((math.Pow(2, float64(try))-1)/2) * time.Second
		if !n.sleep(ctx, pause+rand.N(time.Second)) {
			return nil, err
		}
	}
}

func (n *node) fetch(ctx context.Context, client *http.Client, where string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.w.Real(attemptTime))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	if answer.StatusCode != http.StatusOK {
		some, _ := io.ReadAll(io.LimitReader(answer.Body, 32))
		return nil, fmt.Errorf("failed to download config, status code %d, body %q", answer.StatusCode, some)
	}
	return io.ReadAll(answer.Body)
}

func (n *node) variables() map[string]string {
	return map[string]string{
		"uuid": n.uuid(), "serial": n.machine.Serial, "mac": n.machine.MAC,
		"hostname": n.hostname(), "code": n.metaValue(world.MetaDownloadURLCode),
	}
}

// dial opens a connection from this machine to the world or, if the world does not know the address, outside it.
// Addresses of a private network are looked up among the cluster's nodes.
func (n *node) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	addr = n.env.Clusters.public(n, addr)
	if n.env.Outside != nil && !n.w.Net.Knows(addr) {
		return n.env.Outside(ctx, network, addr)
	}
	return n.w.Net.Dialer(n.address())(ctx, network, addr)
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// merge puts the documents of two sources together; those of the later one win.
func merge(earlier, later config.Provider) config.Provider {
	if earlier == nil {
		return later
	}
	docs := later.Documents()
	for _, d := range earlier.Documents() {
		if !later.Has(d.Kind()) {
			docs = append(docs, d)
		}
	}
	both, err := container.New(docs...)
	if err != nil {
		return later
	}
	return both
}
