// Package imagefactory asks a Talos Image Factory for what machines boot: schematics (what an image is made of),
// versions, extensions, and the names of images and installers. It speaks through the factory's own Go client and
// computes ids as the factory does, so that one is known without asking.
//
// Schematics are public: whoever knows an id reads its contents. So this package refuses to send one with
// something in it that looks like a secret.
package imagefactory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/siderolabs/image-factory/pkg/client"
	"github.com/siderolabs/talos/pkg/machinery/imager/quirks"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// DefaultURL is the factory of Sidero Labs.
const DefaultURL = "https://factory.talos.dev"

// Client of one factory.
type Client struct {
	base *url.URL
	http *http.Client
	api  *client.Client

	lists lists
}

// New makes a client; it does not connect. An empty address is DefaultURL; a nil http.Client a plain one.
func New(baseURL string, httpClient *http.Client) (*Client, error) {
	if baseURL == "" {
		baseURL = DefaultURL
	}
	base, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fleet.Errorf(fleet.Invalid, "image factory: %q is not the address of one", baseURL).
			WithHint("use an address like %s", DefaultURL)
	}
	if httpClient == nil {
		httpClient = &http.Client{Timeout: time.Minute}
	}
	api, err := client.New(base.String(), client.WithClient(*httpClient))
	if err != nil {
		return nil, err
	}
	return &Client{base: base, http: httpClient, api: api}, nil
}

// CreateSchematic gives the schematic to the factory, which may have it already, and returns its id.
func (c *Client) CreateSchematic(ctx context.Context, yaml string) (string, error) {
	d, err := read(yaml)
	if err != nil {
		return "", err
	}
	if err := d.secrets(); err != nil {
		return "", err
	}
	want, err := d.id()
	if err != nil {
		return "", err
	}
	text, err := d.canonical()
	if err != nil {
		return "", err
	}
	answer, err := c.do(ctx, http.MethodPost, c.base.JoinPath("schematics"), text)
	var made struct {
		ID string `json:"id"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &made)
	}
	if err != nil {
		return "", c.explain(ctx, err, "create a schematic")
	}
	if made.ID != want { // names of installers are made from our computation
		return "", fleet.Errorf(fleet.Internal, "image factory: it calls schematic %s %q", want, made.ID).
			WithHint("the factory is newer than this talos-manager, or %s is none", c.base)
	}
	return made.ID, nil
}

// Schematic reads a schematic, as YAML.
func (c *Client) Schematic(ctx context.Context, id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	answer, err := c.do(ctx, http.MethodGet, c.base.JoinPath("schematics", id), nil)
	if err == nil {
		_, err = read(string(answer))
	}
	return string(answer), c.explain(ctx, err, "read schematic %s", id)
}

// do is a call of the API of schematics, of which the factory's own client knows only an older form.
func (c *Client) do(ctx context.Context, method string, at *url.URL, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/yaml")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = &client.HTTPError{Code: resp.StatusCode, Message: strings.TrimSpace(string(answer))}
	}
	return answer, err
}

// ImageURL is where the raw disk image is: platform metal or hcloud, arch amd64 or arm64. Talos 1.8 and later
// come with zstd, earlier ones with xz (talos pkg/machinery/imager/quirks).
func (c *Client) ImageURL(id, version, platform, arch string) string {
	format := "raw.xz"
	if quirks.New(version).UseZSTDCompression() {
		format = "raw.zst"
	}
	return c.base.JoinPath("image", id, tag(version), fmt.Sprintf("%s-%s.%s", platform, arch, format)).String()
}

// InstallerImage is the OCI image to install or upgrade from. Since Talos 1.10 it is one per platform; a cloud
// server upgraded with the metal one would come up as the wrong platform.
func (c *Client) InstallerImage(id, version, platform string) string {
	name := "installer"
	if quirks.New(version).SupportsUnifiedInstaller() {
		name = platform + "-installer"
	}
	return fmt.Sprintf("%s/%s/%s:%s", c.base.Host, name, id, tag(version))
}

// CheckImage asks whether there is such an image, before a disk is wiped for it, and gives its size in bytes,
// compressed; -1 if the factory does not say. A factory that has to build it first takes a minute or two.
func (c *Client) CheckImage(ctx context.Context, imageURL string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, imageURL, nil)
	if err != nil {
		return 0, fleet.Errorf(fleet.Invalid, "image %s cannot be asked for", fleet.ShownURL(imageURL)) // err has the whole address
	}
	resp, err := c.http.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok { // its text has the whole address
		err = e.Err
	}
	if err != nil {
		return 0, c.explain(ctx, err, "look for image %s", fleet.ShownURL(imageURL))
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err = &client.HTTPError{Code: resp.StatusCode, Message: http.StatusText(resp.StatusCode)}
		return 0, c.explain(ctx, err, "look for image %s", fleet.ShownURL(imageURL))
	}
	return resp.ContentLength, nil
}

// explain turns an error of the factory's client into one for people. Nil stays nil.
func (c *Client) explain(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := "image factory: " + fmt.Sprintf(format, args...)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	kind, hint := fleet.Unavailable, fmt.Sprintf("check that this machine reaches %s, or try again later", c.base)
	if client.IsInvalidSchematicError(err) { // any 400
		kind, hint = fleet.Invalid, "correct the schematic; Talos versions differ in the extensions they have"
	}
	if e, ok := errors.AsType[*client.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			kind, hint = fleet.NotFound, "check the Talos version, and that the schematic was created at "+c.base.String()
		case http.StatusUnauthorized, http.StatusForbidden:
			kind, hint = fleet.Forbidden, "the factory wants a login, which talos-manager does not have"
		case http.StatusBadRequest:
			kind, hint = fleet.Invalid, "correct the schematic; Talos versions differ in the extensions they have, and factories in the fields they know"
		case http.StatusPaymentRequired, http.StatusMethodNotAllowed:
			kind, hint = fleet.Invalid, "the factory does not offer this"
		}
	}
	return &fleet.Error{Kind: kind, Text: doing, Hint: hint, Err: err}
}

// checkVersion refuses what is no version: the factory answers 500 for it.
func checkVersion(version string) error {
	if quirks.New(version).Version() != nil {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%q is not a Talos version", version).WithHint("write it like v1.14.1")
}

// checkID refuses what is no schematic id: 64 hexadecimal digits of a SHA-256.
func checkID(id string) error {
	if len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "%q is not the id of a schematic", id)
}

// tag is the version with its v.
func tag(version string) string { return "v" + strings.TrimPrefix(version, "v") }
