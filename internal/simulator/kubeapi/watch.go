package kubeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// bookmarkEvery is how often an idle watch hears the version it is at (kube-apiserver: about a minute).
const bookmarkEvery = time.Minute

// frame is one line of a watch.
type frame struct {
	Type   watch.EventType `json:"type"`
	Object json.RawMessage `json:"object"`
}

// watcher is one running watch.
type watcher struct {
	*request
	store     *store
	wanted    func(object) bool
	bookmarks bool
	at        uint64 // everything up to this version was sent
	out       *json.Encoder
	flush     func() error
}

// watch streams changes after a version; without one (or "0") it begins with the present state as ADDED.
// sendInitialEvents does the same and marks its end with a bookmark (KEP-3157: what client-go's informers use).
func (s *server) watch(w http.ResponseWriter, q *request) error {
	wanted, err := q.selector()
	if err != nil {
		return err
	}
	bookmarks, _ := strconv.ParseBool(q.query.Get("allowWatchBookmarks"))
	initial, _ := strconv.ParseBool(q.query.Get("sendInitialEvents"))
	from := q.query.Get("resourceVersion")
	at, err := strconv.ParseUint(from, 10, 64)
	if err != nil && from != "" {
		return apierrors.NewBadRequest("invalid resource version " + strconv.Quote(from))
	}
	wa := &watcher{
		request: q, store: s.store, wanted: wanted, bookmarks: bookmarks, at: at,
		out: json.NewEncoder(w), flush: http.NewResponseController(w).Flush,
	}
	w.Header().Set("Content-Type", q.shape.kind())
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(http.StatusOK)
	if at == 0 || initial {
		wa.present(initial)
	}
	wa.run(wa.deadline())
	return nil
}

// deadline is the request's context, or earlier when the client says timeoutSeconds.
func (w *watcher) deadline() (context.Context, context.CancelFunc) {
	seconds, _ := strconv.Atoi(w.query.Get("timeoutSeconds"))
	if seconds <= 0 {
		return context.WithCancel(w.http.Context())
	}
	return context.WithTimeout(w.http.Context(), time.Duration(seconds)*time.Second)
}

// present sends what is there now.
func (w *watcher) present(mark bool) {
	all, version := w.store.entries(w.res, w.namespace)
	for _, e := range all {
		if w.wanted(e.object) {
			w.send(watch.Added, e)
		}
	}
	w.at = version
	if mark && w.bookmarks {
		w.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
}

func (w *watcher) run(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	idle := time.NewTicker(bookmarkEvery)
	defer idle.Stop()
	for {
		changes, next, ok := w.store.since(w.at)
		if !ok {
			w.gone()
			return
		}
		for _, c := range changes {
			w.pass(c)
			w.at = c.version
		}
		if w.flush() != nil {
			return
		}
		select {
		case <-next:
		case <-idle.C:
			w.bookmark(nil)
		case <-ctx.Done():
			w.bookmark(nil)
			return
		}
	}
}

// pass sends a change as the selector sees it: an object that begins to match is added, one that stops is deleted.
func (w *watcher) pass(c change) {
	if c.res != w.res || (w.namespace != "" && c.now.object.GetNamespace() != w.namespace) {
		return
	}
	is, was := w.wanted(c.now.object), c.before != nil && w.wanted(c.before.object)
	switch {
	case c.kind == watch.Deleted:
		if was {
			w.send(watch.Deleted, c.now)
		}
	case is && was:
		w.send(watch.Modified, c.now)
	case is:
		w.send(watch.Added, c.now)
	case was:
		w.send(watch.Deleted, c.now)
	}
}

func (w *watcher) send(kind watch.EventType, e *entry) {
	w.out.Encode(frame{Type: kind, Object: w.one(e)}) // a broken connection shows at flush
}

// bookmark tells the version the watch is at, if the client wants to know.
func (w *watcher) bookmark(annotations map[string]string) {
	if !w.bookmarks {
		return
	}
	o := w.res.make()
	o.GetObjectKind().SetGroupVersionKind(w.res.kindVersion())
	o.SetResourceVersion(strconv.FormatUint(w.at, 10))
	o.SetAnnotations(annotations)
	w.send(watch.Bookmark, &entry{object: o})
	w.flush()
}

// gone ends a watch whose version is forgotten.
func (w *watcher) gone() {
	status := apierrors.NewResourceExpired("too old resource version: " + strconv.FormatUint(w.at, 10)).Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.out.Encode(frame{Type: watch.Error, Object: encode(status)})
	w.flush()
}
