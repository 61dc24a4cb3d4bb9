package kubeapi_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// next waits for the next event of a watch.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happened")
	}
	return watch.Event{}
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func TestAWatchResumesWhereItStopped(t *testing.T) {
	l := newLab(t, 1)
	maps := l.admin().CoreV1().ConfigMaps("default")
	first, err := maps.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(t.Context(), configMap("b", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := next(t, w); e.Type != watch.Added || e.Object.(*corev1.ConfigMap).Name != "b" {
		t.Errorf("first %v", e)
	}
	if e := next(t, w); e.Type != watch.Deleted || e.Object.(*corev1.ConfigMap).Name != "a" {
		t.Errorf("second %v", e)
	}
	if _, err := maps.Create(t.Context(), configMap("c", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Type != watch.Added || e.Object.(*corev1.ConfigMap).Name != "c" {
		t.Errorf("live %v", e)
	}
}

func TestAWatchWithoutAVersionBeginsWithWhatIsThere(t *testing.T) {
	l := newLab(t, 1)
	w, err := l.admin().CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, want := range []string{"default", "kube-node-lease", "kube-public", "kube-system"} {
		if e := next(t, w); e.Type != watch.Added || e.Object.(*corev1.Namespace).Name != want {
			t.Errorf("%v, want %s", e, want)
		}
	}
}

func TestASelectedWatchSeesObjectsComeAndGo(t *testing.T) {
	l := newLab(t, 1)
	maps := l.admin().CoreV1().ConfigMaps("default")
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion, LabelSelector: "in=yes"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	x, err := maps.Create(t.Context(), configMap("x", nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"yes", "no"} {
		x.Labels = map[string]string{"in": value}
		if x, err = maps.Update(t.Context(), x, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if e := next(t, w); e.Type != watch.Added {
		t.Errorf("begins to match: %v", e.Type)
	}
	if e := next(t, w); e.Type != watch.Deleted {
		t.Errorf("stops to match: %v", e.Type)
	}
}

func TestAWatchThatAsksForItEndsWithABookmark(t *testing.T) {
	l := newLab(t, 1)
	second := int64(1)
	w, err := l.admin().CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1", AllowWatchBookmarks: true, TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := next(t, w); e.Type != watch.Bookmark || e.Object.(*corev1.ConfigMap).ResourceVersion < "1" {
		t.Errorf("got %v", e)
	}
	if _, more := <-w.ResultChan(); more {
		t.Error("the watch goes on after its time")
	}
}

func TestAForgottenVersionIsGone(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin().CoreV1()
	list, err := c.Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.kube.Forget("prod")
	w, err := c.Nodes().Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := next(t, w); e.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
		t.Errorf("got %v", e)
	}
}

// Informers of client-go 0.36 list by watching (sendInitialEvents); if that failed they would fall back silently,
// so the log of requests is not looked at, but their cache must follow.
func TestAnInformerFollows(t *testing.T) {
	l := newLab(t, 100)
	factory := informers.NewSharedInformerFactory(l.admin(), 0)
	nodes := factory.Core().V1().Nodes()
	informer := nodes.Informer()
	factory.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("never in sync")
	}
	l.kubelet("w-1", nil)
	l.until("the informer sees w-1 Ready", func() bool {
		n, err := nodes.Lister().Get("w-1")
		return err == nil && ready(n).Status == corev1.ConditionTrue
	})
	if err := l.admin().CoreV1().Nodes().Delete(t.Context(), "w-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.until("the informer sees w-1 go", func() bool { _, err := nodes.Lister().Get("w-1"); return apierrors.IsNotFound(err) })
}
