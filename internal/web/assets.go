package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

//go:embed assets/*.css assets/*.js assets/*.svg
var embedded embed.FS

// assets are the files that pages load, with a hash of their contents in their addresses: browsers may keep them
// for ever.
type assets struct {
	files   map[string]asset
	Styles  []string // addresses, in the order they are loaded
	Scripts []string
	Icon    string
}

type asset struct {
	kind, hash    string
	plain, zipped []byte
}

// newAssets reads the embedded files; that they are there is the compiler's promise.
func newAssets() assets {
	a := assets{files: map[string]asset{}}
	entries, err := embedded.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		content, err := embedded.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		a.files[e.Name()] = asset{kind: mime.TypeByExtension(path.Ext(e.Name())), hash: hex.EncodeToString(sum[:6]), plain: content, zipped: zip(content)}
	}
	for _, name := range []string{
		"tokens.css", "base.css", "parts.css", "frame.css", "servers.css", "server.css", "install.css", "operation.css", "cluster.css", "configs.css",
		"gallery.css",
	} {
		a.Styles = append(a.Styles, a.address(name))
	}
	for _, name := range []string{"htmx-2.0.11.min.js", "htmx-ext-sse-2.2.4.min.js", "idiomorph-0.8.0.min.js", "app.js"} {
		a.Scripts = append(a.Scripts, a.address(name))
	}
	a.Icon = a.address("icon.svg")
	return a
}

func zip(content []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

func (a assets) address(name string) string {
	f, there := a.files[name]
	if !there {
		panic(fmt.Sprintf("no asset %s", name))
	}
	return "/assets/" + name + "?v=" + f.hash
}

// asset sends a file.
func (s *site) asset(w http.ResponseWriter, r *http.Request) error {
	f, there := s.assets.files[r.PathValue("file")]
	if !there {
		return fleet.Errorf(fleet.NotFound, "there is no file %s", r.URL.Path)
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+f.hash+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == f.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), f.hash) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	_, _ = w.Write(body)
	return nil
}

// favicon is for what asks without reading the page's link to its icon.
func (s *site) favicon(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, s.assets.Icon, http.StatusFound)
	return nil
}
