package kubeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// decode reads a body into a typed object. Unknown fields are dropped, as the API does without strict validation.
func decode(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided cannot be read: %v", err))
	}
	return nil
}

// read makes an object of the request's kind from JSON and checks that it is meant for this path.
func (q *request) read(data []byte) (object, error) {
	obj := q.res.make()
	if err := decode(data, obj); err != nil {
		return nil, err
	}
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Kind != "" && gvk != q.res.kindVersion() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version and kind in the data (%s) do not match the expected %s", gvk, q.res.kindVersion()))
	}
	if q.namespace != "" && obj.GetNamespace() != "" && obj.GetNamespace() != q.namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if q.name != "" && obj.GetName() != "" && obj.GetName() != q.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), q.name))
	}
	obj.SetNamespace(q.namespace)
	return obj, nil
}

func (s *server) post(w http.ResponseWriter, q *request) error {
	data, _, err := q.body(jsonBody)
	if err != nil {
		return err
	}
	if q.sub == "eviction" {
		return s.evict(w, q, data)
	}
	obj, err := q.read(data)
	if err != nil {
		return err
	}
	e, err := s.insert(q, obj)
	if err != nil {
		return err
	}
	answerJSON(w, http.StatusCreated, q.shape.kind(), q.one(e))
	return nil
}

// insert creates what a client sent.
func (s *server) insert(q *request, obj object) (*entry, error) {
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(obj.GetGenerateName() + rand.String(5))
	}
	if ns, ok := get[*corev1.Namespace](s.cluster, namespaces, "", q.namespace); q.res.namespaced && (!ok || ns.DeletionTimestamp != nil) {
		return nil, apierrors.NewNotFound(namespaces.groupResource(), q.namespace)
	}
	q.setDefaults(obj)
	if err := q.validate(obj); err != nil {
		return nil, err
	}
	if obj.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if q.dryRun() {
		return &entry{object: obj}, nil
	}
	return s.create(q.res, obj)
}

func (s *server) put(w http.ResponseWriter, q *request) error {
	data, _, err := q.body(jsonBody)
	if err != nil {
		return err
	}
	obj, err := q.read(data)
	if err != nil {
		return err
	}
	e, err := s.replace(q, func(object) (object, error) { return obj.DeepCopyObject().(object), nil })
	if err != nil {
		return err
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.one(e))
	return nil
}

// replace changes an object as an update or patch of it or of one of its subresources may: a stale resourceVersion
// is a conflict, "/status" changes the status only, the main path everything else.
func (s *server) replace(q *request, next func(old object) (object, error)) (*entry, error) {
	var dry object
	errDry := fmt.Errorf("dry run")
	e, err := s.update(q.res, q.namespace, q.name, func(old object) error {
		obj, err := next(old)
		if err != nil {
			return err
		}
		if v := obj.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
			return conflict(q)
		}
		if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
			return conflict(q)
		}
		q.limit(obj, old)
		keepIdentity(obj, old)
		if err := q.validate(obj); err != nil {
			return err
		}
		assign(old, obj)
		if q.dryRun() {
			dry = obj
			return errDry
		}
		return nil
	})
	if err == errDry {
		return &entry{object: dry}, nil
	}
	return e, err
}

func conflict(q *request) error {
	return apierrors.NewConflict(q.res.groupResource(), q.name,
		fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
}

// limit takes back what this path may not change.
func (q *request) limit(obj, old object) {
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	switch {
	case q.sub == "status":
		copyPart(obj, old, "Spec")
		copyPart(obj, old, "ObjectMeta")
	case q.sub == "approval":
		asked := obj.(*certificatesv1.CertificateSigningRequest).Status.Conditions
		old.DeepCopyObject().(*certificatesv1.CertificateSigningRequest).DeepCopyInto(obj.(*certificatesv1.CertificateSigningRequest))
		obj.(*certificatesv1.CertificateSigningRequest).Status.Conditions = stamp(asked)
	case q.res.has("status"):
		copyPart(obj, old, "Status")
	}
}

// delete removes an object, at once or when the kubelet has stopped its containers.
func (s *server) delete(w http.ResponseWriter, q *request) error {
	options, err := q.deleteOptions()
	if err != nil {
		return err
	}
	e := s.entry(q.res, q.namespace, q.name)
	if e == nil {
		return apierrors.NewNotFound(q.res.groupResource(), q.name)
	}
	if p := options.Preconditions; p != nil {
		if (p.UID != nil && *p.UID != e.object.GetUID()) || (p.ResourceVersion != nil && *p.ResourceVersion != e.object.GetResourceVersion()) {
			return conflict(q)
		}
	}
	if q.dryRun() {
		answerJSON(w, http.StatusOK, q.shape.kind(), q.one(e))
		return nil
	}
	last, gone := s.expire(q.res, e.object, options.GracePeriodSeconds)
	if gone && q.res != pods {
		answer(w, http.StatusOK, metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
			Details: &metav1.StatusDetails{Name: q.name, Group: q.res.version.Group, Kind: q.res.plural, UID: e.object.GetUID()},
		})
		return nil
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.one(last))
	return nil
}

func (q *request) deleteOptions() (metav1.DeleteOptions, error) {
	var options metav1.DeleteOptions
	data, _, err := q.body(jsonBody)
	if err == nil && len(data) > 0 {
		err = decode(data, &options)
	}
	return options, err
}

func (s *server) deleteAll(w http.ResponseWriter, q *request) error {
	options, err := q.deleteOptions()
	if err != nil {
		return err
	}
	wanted, err := q.selector()
	if err != nil {
		return err
	}
	all, version := s.entries(q.res, q.namespace)
	var gone []*entry
	for _, e := range all {
		if wanted(e.object) {
			gone = append(gone, e)
			if !q.dryRun() {
				s.expire(q.res, e.object, options.GracePeriodSeconds)
			}
		}
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.many(gone, metav1.ListMeta{ResourceVersion: fmt.Sprint(version)}))
	return nil
}

// expire begins or finishes a deletion: a running pod gets its grace, an object with finalizers waits for them.
// True says that it is gone.
func (c *cluster) expire(res *resource, obj object, grace *int64) (*entry, bool) {
	seconds := int64(0)
	if p, ok := obj.(*corev1.Pod); ok {
		seconds = graceOf(p, grace)
	}
	if seconds == 0 && len(obj.GetFinalizers()) == 0 {
		if res == namespaces {
			c.empty(obj.GetName())
		}
		if e := c.remove(res, obj.GetNamespace(), obj.GetName()); e != nil {
			return e, true
		}
		return &entry{object: obj}, true
	}
	e, err := c.update(res, obj.GetNamespace(), obj.GetName(), func(o object) error {
		if at := o.GetDeletionTimestamp(); at == nil || *o.GetDeletionGracePeriodSeconds() > seconds {
			end := metav1.NewTime(now().Add(time.Duration(seconds) * time.Second))
			o.SetDeletionTimestamp(&end)
			o.SetDeletionGracePeriodSeconds(&seconds)
		}
		return nil
	})
	if err != nil {
		return &entry{object: obj}, true
	}
	return e, false
}

// graceOf is how long a pod may take to stop. One that never got to a node, or has ended, needs no time.
func graceOf(p *corev1.Pod, asked *int64) int64 {
	switch {
	case p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		return 0
	case asked != nil:
		return *asked
	case p.Spec.TerminationGracePeriodSeconds != nil:
		return *p.Spec.TerminationGracePeriodSeconds
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

// empty deletes everything in a namespace, as the namespace controller does.
func (c *cluster) empty(namespace string) {
	for _, res := range resources {
		if !res.namespaced {
			continue
		}
		all, _ := c.entries(res, namespace)
		for _, e := range all {
			c.remove(res, namespace, e.object.GetName())
		}
	}
}
