package machineconfig

import (
	"container/list"
	"sync"
)

// lru keeps values until their weights exceed the limit; those used least recently go first. It is safe for
// concurrent use; values are shared, so they must not be changed.
type lru[K comparable, V any] struct {
	limit int64

	mu     sync.Mutex
	weight int64
	byKey  map[K]*list.Element
	recent *list.List // of *weighed[K, V], the one used last in front
}

type weighed[K comparable, V any] struct {
	key    K
	value  V
	weight int64
}

func newLRU[K comparable, V any](limit int64) *lru[K, V] {
	return &lru[K, V]{limit: limit, byKey: map[K]*list.Element{}, recent: list.New()}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if !ok {
		return value, false
	}
	l.recent.MoveToFront(e)
	return e.Value.(*weighed[K, V]).value, true
}

// put keeps a value, unless it is heavier than everything may be. The first value of a key stays.
func (l *lru[K, V]) put(key K, value V, weight int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.byKey[key]; ok || weight > l.limit {
		return
	}
	for l.weight+weight > l.limit {
		l.drop(l.recent.Back())
	}
	l.byKey[key] = l.recent.PushFront(&weighed[K, V]{key, value, weight})
	l.weight += weight
}

func (l *lru[K, V]) drop(e *list.Element) {
	w := l.recent.Remove(e).(*weighed[K, V])
	delete(l.byKey, w.key)
	l.weight -= w.weight
}

func (l *lru[K, V]) size() (entries int, weight int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byKey), l.weight
}
