package imagecache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path"
	"strings"
)

const (
	keyDigits = 32
	// Route is what machines ask for, as http.ServeMux takes it.
	Route = "GET /image/{signature}/{source}/{name}"
)

// key names what is kept of a source. A checksum makes another file of it: one source may have had two.
func (w wanted) key() string {
	sum := sha256.Sum256([]byte(w.source + "\n" + strings.ToLower(w.sum)))
	return hex.EncodeToString(sum[:])[:keyDigits]
}

// URL is where machines get an image from us. It holds the source, signed, so that every replica knows what is meant,
// after a restart too, and so that nobody has other addresses fetched through us. Its last part is the file's name.
func (c *Cache) URL(source, sha256 string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(source + "\n" + strings.ToLower(sha256)))
	return c.Options.URL + "/image/" + c.sign(text) + "/" + text + "/" + fileName(source)
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
	return url.PathEscape(name)
}

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
	plain, err := base64.RawURLEncoding.DecodeString(text)
	source, sum, ok := strings.Cut(string(plain), "\n")
	return wanted{source: source, sum: sum}, ok && err == nil
}
