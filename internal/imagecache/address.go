package imagecache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path"
	"regexp"
	"strings"
)

const (
	keyDigits = 32
	// Route is what machines ask for, as http.ServeMux takes it.
	Route = "GET /image/{signature}/{source...}"
)

// key names what is kept of a source. A checksum makes another file of it: one source may have had two.
func (w wanted) key() string {
	sum := sha256.Sum256([]byte(w.source + "\n" + strings.ToLower(w.sum)))
	return hex.EncodeToString(sum[:])[:keyDigits]
}

// URL is where machines get an image from us. It holds the source, signed, so that every replica knows what is meant,
// after a restart too, and so that nobody has other addresses fetched through us. Its last part is the file's name.
func (c *Cache) URL(source, sha256 string) string {
	text := wanted{source, strings.ToLower(sha256)}.text()
	return c.Options.URL + "/image/" + c.sign(text) + "/" + text
}

// simple are sources that can stand in a path as they are; paths of URLs are not to be cleaned or escaped.
var simple = regexp.MustCompile(`^(https?)://([A-Za-z0-9.:-]+/[A-Za-z0-9._~/-]+)$`)

const coded = "base64"

// text is an image as a path: legible where that is possible.
func (w wanted) text() string {
	m := simple.FindStringSubmatch(w.source)
	if m == nil || path.Clean(m[2]) != m[2] {
		return coded + "/" + base64.RawURLEncoding.EncodeToString([]byte(w.source+"\n"+w.sum)) + "/" + fileName(w.source)
	}
	return strings.TrimPrefix(w.sum+"/"+m[1]+"/"+m[2], "/")
}

// parse is the inverse of text.
func parse(text string) (w wanted, ok bool) {
	first, rest, _ := strings.Cut(text, "/")
	if first == coded {
		middle, _, _ := strings.Cut(rest, "/")
		plain, err := base64.RawURLEncoding.DecodeString(middle)
		w.source, w.sum, ok = strings.Cut(string(plain), "\n")
		return w, ok && err == nil
	}
	if first != "http" && first != "https" {
		w.sum = first
		first, rest, _ = strings.Cut(rest, "/")
	}
	w.source = first + "://" + rest
	return w, true
}

// fileName is the last part of an address: it tells the form of an image by its ending.
func fileName(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return "image"
	}
	name := path.Base(u.Path)
	if name == "/" || name == "." {
		name = "image"
	}
	return odd.ReplaceAllString(name, "_")
}

// odd is what would be escaped in a path.
var odd = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func (c *Cache) sign(text string) string {
	mac := hmac.New(sha256.New, c.Key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))[:keyDigits]
}

// read gives back what URL was made of; false for what it did not make.
func (c *Cache) read(signature, text string) (wanted, bool) {
	if !hmac.Equal([]byte(signature), []byte(c.sign(text))) {
		return wanted{}, false
	}
	return parse(text)
}
