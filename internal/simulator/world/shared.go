package world

import (
	"bytes"
	"hash/maphash"
	"sync"
	"weak"
)

// pool keeps chunks of equal content once, as long as some disk has them: a thousand machines with the same image
// take the memory of one.
type pool struct {
	seed maphash.Seed

	mu     sync.Mutex
	chunks map[uint64]weak.Pointer[[chunk]byte]
	sweep  int // entries after which those of no disk are dropped
}

func newPool() *pool {
	return &pool{seed: maphash.MakeSeed(), chunks: map[uint64]weak.Pointer[[chunk]byte]{}, sweep: 1024}
}

// of gives the chunk with that content. It must not be changed.
func (s *pool) of(p []byte) []byte {
	key := maphash.Bytes(s.seed, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.chunks[key].Value(); c != nil && bytes.Equal(c[:], p) {
		return c[:]
	}
	c := new([chunk]byte)
	copy(c[:], p)
	s.chunks[key] = weak.Make(c)
	if len(s.chunks) >= s.sweep {
		for k, w := range s.chunks {
			if w.Value() == nil {
				delete(s.chunks, k)
			}
		}
		s.sweep = max(1024, 2*len(s.chunks))
	}
	return c[:]
}
