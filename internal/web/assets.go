package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/*.woff2
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
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(path.Ext(y.Name()), path.Ext(x.Name())) }) // fonts before styles, which name them
	for _, e := range entries {
		content, err := embedded.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		a.add(e.Name(), content)
	}
	for _, name := range []string{
		"tokens.css", "base.css", "parts.css", "frame.css", "servers.css", "server.css", "install.css", "operation.css", "cluster.css", "configs.css",
		"gallery.css",
	} {
		a.Styles = append(a.Styles, a.address(name))
	}
	for _, name := range []string{"htmx-2.0.11.min.js", "htmx-ext-sse-2.2.4.min.js", "idiomorph-0.8.0.min.js", "app.js", "palette.js"} {
		a.Scripts = append(a.Scripts, a.address(name))
	}
	a.Icon = a.address("icon.svg")
	return a
}

// fontOf is how a style names a font of ours.
var fontOf = regexp.MustCompile(`url\("([^"/]+\.woff2)"\)`)

func (a assets) add(name string, content []byte) {
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) {
	case ".woff2":
		kind = "font/woff2" // not every machine knows
	case ".css":
		content = fontOf.ReplaceAllFunc(content, func(m []byte) []byte {
			return []byte(`url("` + a.address(string(fontOf.FindSubmatch(m)[1])) + `")`)
		})
	}
	sum := sha256.Sum256(content)
	a.files[name] = asset{kind: kind, hash: hex.EncodeToString(sum[:6]), plain: content, zipped: zip(content)}
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
