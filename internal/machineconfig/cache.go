package machineconfig

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// Cache renders and keeps what it rendered, by the hash of every input: it is never stale. Errors are not kept. It is
// safe for concurrent use; callers that ask for the same config at once share one rendering.
type Cache struct {
	maker        *maker
	texts        *lru[Key, []byte]
	flight       singleflight.Group
	hits, misses atomic.Int64
}

// Key is the hash of everything a config is made of.
type Key [sha256.Size]byte

// CacheStats are figures of a cache.
type CacheStats struct {
	Entries      int
	Bytes        int64 // of the texts it keeps, and what it takes to keep them
	Hits, Misses int64
}

// overhead is what an entry takes beside its text: key, list element, map slot, slice.
const overhead = 256

// NewCache makes a cache that keeps so many bytes of configs at most. With 0 it keeps no config, but still what
// configs of one cluster have in common: parsed secrets, generated documents and parsed patches, some 32 MB at most.
func NewCache(limit int64) *Cache {
	return &Cache{maker: newMaker(), texts: newLRU[Key, []byte](limit)}
}

// Render is as the package's Render. The result is shared: do not change it.
func (c *Cache) Render(in Input) ([]byte, error) {
	secrets := Key(sha256.Sum256(in.Secrets))
	key := in.key(secrets)
	if text, ok := c.texts.get(key); ok {
		c.hits.Add(1)
		return text, nil
	}
	c.misses.Add(1)
	text, err, _ := c.flight.Do(string(key[:]), func() (any, error) {
		text, err := c.maker.render(&in, secrets)
		if err == nil {
			c.texts.put(key, text, int64(len(text))+overhead)
		}
		return text, err
	})
	if err != nil {
		return nil, err
	}
	return text.([]byte), nil
}

// Explain is as the package's Explain.
func (c *Cache) Explain(in Input) (Explained, error) { return c.maker.explain(&in) }

// Stats gives the figures as they are now.
func (c *Cache) Stats() CacheStats {
	s := CacheStats{Hits: c.hits.Load(), Misses: c.misses.Load()}
	s.Entries, s.Bytes = c.texts.size()
	return s
}

// Key hashes every field of the input, each with its length, so that no two inputs look alike.
func (in *Input) Key() Key { return in.key(sha256.Sum256(in.Secrets)) }

func (in *Input) key(secrets Key) Key {
	h := sha256.New()
	h.Write(secrets[:])
	for _, field := range []string{
		in.Server, in.ClusterName, in.Endpoint, in.TalosVersion, in.KubernetesVersion,
		string(in.Role), in.InstallImage, in.InstallDisk, in.EphemeralDisk,
	} {
		write(h, field)
	}
	if in.KubeSpan {
		write(h, "KubeSpan")
	}
	if in.InstallsItself {
		write(h, "installs itself")
	}
	for _, p := range in.Patches {
		write(h, "patch")
		write(h, p.Name)
		write(h, p.Text)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Variables)) {
		write(h, "variable")
		write(h, name)
		write(h, in.Variables[name])
	}
	return Key(h.Sum(nil))
}

func write(h hash.Hash, field string) {
	writeLength(h, len(field))
	h.Write([]byte(field))
}

func writeLength(h hash.Hash, n int) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(n))
	h.Write(length[:])
}
