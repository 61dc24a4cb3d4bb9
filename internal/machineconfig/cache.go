package machineconfig

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Cache renders and keeps what it rendered, by the hash of every input: it is never stale. Errors are not kept. It is
// safe for concurrent use; callers that ask for the same config at once share one rendering.
type Cache struct {
	flight singleflight.Group
	limit  int64

	mu     sync.Mutex
	byKey  map[Key]*list.Element
	recent *list.List // of *kept, the one used last in front
	stats  CacheStats
}

// Key is the hash of everything a config is made of.
type Key [sha256.Size]byte

// CacheStats are figures of a cache.
type CacheStats struct {
	Entries      int
	Bytes        int64 // of the texts it keeps, and what it takes to keep them
	Hits, Misses int64
}

type kept struct {
	key  Key
	text []byte
}

// overhead is what an entry takes beside its text: key, list element, map slot, slice.
const overhead = 256

// NewCache makes a cache that keeps so many bytes at most. With 0 it keeps no config, but still what configs of one
// cluster have in common.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, byKey: map[Key]*list.Element{}, recent: list.New()}
}

// Render is as the package's Render. The result is shared: do not change it.
func (c *Cache) Render(in Input) ([]byte, error) {
	key := in.Key()
	if text, ok := c.get(key); ok {
		return text, nil
	}
	text, err, _ := c.flight.Do(string(key[:]), func() (any, error) {
		text, err := Render(in)
		if err == nil {
			c.put(key, text)
		}
		return text, err
	})
	if err != nil {
		return nil, err
	}
	return text.([]byte), nil
}

// Stats gives the figures as they are now.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = len(c.byKey)
	return s
}

func (c *Cache) get(key Key) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		c.stats.Misses++
		return nil, false
	}
	c.stats.Hits++
	c.recent.MoveToFront(e)
	return e.Value.(*kept).text, true
}

func (c *Cache) put(key Key, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(len(text)) + overhead
	if _, ok := c.byKey[key]; ok || size > c.limit {
		return
	}
	for c.stats.Bytes+size > c.limit {
		c.drop(c.recent.Back())
	}
	c.byKey[key] = c.recent.PushFront(&kept{key, bytes.Clone(text)})
	c.stats.Bytes += size
}

func (c *Cache) drop(e *list.Element) {
	k := c.recent.Remove(e).(*kept)
	delete(c.byKey, k.key)
	c.stats.Bytes -= int64(len(k.text)) + overhead
}

// Key hashes every field of the input, each with its length, so that no two inputs look alike.
func (in *Input) Key() Key {
	h := sha256.New()
	write(h, []byte(in.Server), []byte(in.ClusterName), []byte(in.Endpoint), in.Secrets, []byte(in.TalosVersion), []byte(in.KubernetesVersion),
		[]byte(in.Role), []byte(in.InstallImage), []byte(in.InstallDisk), []byte(in.EphemeralDisk))
	if in.KubeSpan {
		write(h, []byte("KubeSpan"))
	}
	for _, p := range in.Patches {
		write(h, []byte("patch"), []byte(p.Name), []byte(p.Text))
	}
	for _, name := range slices.Sorted(maps.Keys(in.Variables)) {
		write(h, []byte("variable"), []byte(name), []byte(in.Variables[name]))
	}
	return Key(h.Sum(nil))
}

func write(h hash.Hash, fields ...[]byte) {
	var length [8]byte
	for _, f := range fields {
		binary.BigEndian.PutUint64(length[:], uint64(len(f)))
		h.Write(length[:])
		h.Write(f)
	}
}
