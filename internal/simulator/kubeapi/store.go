package kubeapi

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// remembered is how many changes a watch may lag behind before it gets 410 Gone and must list again; etcd's
// compaction does the same after five minutes.
const remembered = 20_000

// object is a typed Kubernetes object.
type object interface {
	runtime.Object
	metav1.Object
}

// entry is one stored version of an object. It never changes; JSON is made when first asked for.
type entry struct {
	object  object
	version uint64
	once    sync.Once
	json    []byte
}

// JSON of the object with its kind.
func (e *entry) JSON() []byte {
	e.once.Do(func() { e.json = encode(e.object) })
	return e.json
}

// change is one line of the history that watches read.
type change struct {
	version uint64
	kind    watch.EventType
	res     *resource
	now     *entry // the last state when deleted
	before  *entry // nil when added
}

// store is what the etcd of a cluster holds, with its history. Objects that it hands out are shared: never change
// them, use update.
type store struct {
	mu      sync.Mutex
	version uint64
	objects map[*resource]map[string]*entry // by "namespace/name"
	history []change                        // of consecutive versions, the last is version
	floor   uint64                          // changes up to here are forgotten
	changed chan struct{}                   // closed at the next change
	noticed func(change)                    // called with mu held after each change
}

func newStore(noticed func(change)) *store {
	return &store{version: 1, floor: 1, objects: map[*resource]map[string]*entry{}, changed: make(chan struct{}), noticed: noticed}
}

func key(namespace, name string) string { return namespace + "/" + name }

// entry finds an object, nil if there is none.
func (s *store) entry(res *resource, namespace, name string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[res][key(namespace, name)]
}

// entries lists in the order of etcd's keys, with the version that the list is of; an empty namespace is all.
func (s *store) entries(res *resource, namespace string) ([]*entry, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(s.objects[res]))
	for k := range s.objects[res] {
		if namespace == "" || strings.HasPrefix(k, namespace+"/") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	all := make([]*entry, len(keys))
	for i, k := range keys {
		all[i] = s.objects[res][k]
	}
	return all, s.version
}

// create stores a new object and owns it from now on.
func (s *store) create(res *resource, obj object) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key(obj.GetNamespace(), obj.GetName())
	if s.objects[res][k] != nil {
		return nil, apierrors.NewAlreadyExists(res.groupResource(), obj.GetName())
	}
	obj.SetUID(types.UID(uuid.NewString()))
	obj.SetCreationTimestamp(now())
	if res.generation {
		obj.SetGeneration(1)
	}
	e := s.put(res, k, obj)
	s.remember(change{kind: watch.Added, res: res, now: e})
	return e, nil
}

// update changes a copy of an object and stores it; an unchanged copy is no change, and a change that leaves an
// object without finalizers after its deletion removes it.
func (s *store) update(res *resource, namespace, name string, f func(object) error) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key(namespace, name)
	old := s.objects[res][k]
	if old == nil {
		return nil, apierrors.NewNotFound(res.groupResource(), name)
	}
	obj := old.object.DeepCopyObject().(object)
	if err := f(obj); err != nil {
		return nil, err
	}
	keepIdentity(obj, old.object)
	if equality.Semantic.DeepEqual(obj, old.object) {
		return old, nil
	}
	if res.generation && !equality.Semantic.DeepEqual(part(obj, "Spec"), part(old.object, "Spec")) {
		obj.SetGeneration(old.object.GetGeneration() + 1)
	}
	if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && len(old.object.GetFinalizers()) > 0 {
		return s.drop(res, k, old), nil
	}
	e := s.put(res, k, obj)
	s.remember(change{kind: watch.Modified, res: res, now: e, before: old})
	return e, nil
}

// remove deletes an object at once; nil if there was none.
func (s *store) remove(res *resource, namespace, name string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key(namespace, name)
	if old := s.objects[res][k]; old != nil {
		return s.drop(res, k, old)
	}
	return nil
}

func (s *store) drop(res *resource, k string, old *entry) *entry {
	delete(s.objects[res], k)
	last := old.object.DeepCopyObject().(object)
	last.SetResourceVersion(strconv.FormatUint(s.version+1, 10))
	e := &entry{object: last, version: s.version + 1}
	s.remember(change{kind: watch.Deleted, res: res, now: e, before: old})
	return e
}

func (s *store) put(res *resource, k string, obj object) *entry {
	obj.GetObjectKind().SetGroupVersionKind(res.kindVersion())
	obj.SetResourceVersion(strconv.FormatUint(s.version+1, 10))
	e := &entry{object: obj, version: s.version + 1}
	if s.objects[res] == nil {
		s.objects[res] = map[string]*entry{}
	}
	s.objects[res][k] = e
	return e
}

func (s *store) remember(c change) {
	s.version++
	c.version = s.version
	s.history = append(s.history, c)
	if len(s.history) > 2*remembered {
		s.floor = s.history[len(s.history)-remembered-1].version
		s.history = slices.Clone(s.history[len(s.history)-remembered:])
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.noticed(c)
}

// since gives the changes after a version and a channel that closes at the next one; false if they are forgotten.
func (s *store) since(version uint64) ([]change, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version < s.floor {
		return nil, nil, false
	}
	skip := min(version-s.floor, uint64(len(s.history)))
	return s.history[skip:len(s.history):len(s.history)], s.changed, true
}

// forget empties the store. Versions go on, so that no client mistakes the new state for the old one.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects, s.history = map[*resource]map[string]*entry{}, nil
	s.version += 10
	s.floor = s.version
	close(s.changed)
	s.changed = make(chan struct{})
}

// keepIdentity restores what a writer cannot change.
func keepIdentity(obj, old object) {
	obj.SetNamespace(old.GetNamespace())
	obj.SetName(old.GetName())
	obj.SetUID(old.GetUID())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	obj.SetResourceVersion(old.GetResourceVersion())
	obj.SetGeneration(old.GetGeneration())
	obj.GetObjectKind().SetGroupVersionKind(old.GetObjectKind().GroupVersionKind())
}

// now is a time as the API shows it: whole seconds.
func now() metav1.Time { return metav1.NewTime(time.Now().UTC().Truncate(time.Second)) }

// encode never fails: every type of the API marshals.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("kubeapi: marshal: " + err.Error())
	}
	return data
}
