package kubeapi

import (
	"encoding/json"
	"net/http"
	"reflect"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// The patches that the API takes.
var patchKinds = []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.ApplyPatchType)}

func (s *server) patch(w http.ResponseWriter, q *request) error {
	data, kind, err := q.body(patchKinds...)
	if err != nil {
		return err
	}
	if types.PatchType(kind) == types.ApplyPatchType {
		return s.apply(w, q, data)
	}
	e, err := s.replace(q, func(old object) (object, error) { return q.patched(old, types.PatchType(kind), data) })
	if err != nil {
		return err
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.one(e))
	return nil
}

// apply is server-side apply by merging: it creates or merges, and keeps no record of who owns which field. So
// unlike the real one it never takes away what an earlier apply of the same manager had.
func (s *server) apply(w http.ResponseWriter, q *request, data []byte) error {
	if q.query.Get("fieldManager") == "" {
		return apierrors.NewBadRequest("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
	}
	data, err := yaml.YAMLToJSON(data)
	if err != nil {
		return apierrors.NewBadRequest("error decoding YAML: " + err.Error())
	}
	if s.entry(q.res, q.namespace, q.name) == nil && q.sub == "" {
		obj, err := q.read(data)
		if err != nil {
			return err
		}
		obj.SetName(q.name)
		e, err := s.insert(q, obj)
		if err != nil {
			return err
		}
		answerJSON(w, http.StatusCreated, q.shape.kind(), q.one(e))
		return nil
	}
	e, err := s.replace(q, func(old object) (object, error) { return q.patched(old, types.StrategicMergePatchType, data) })
	if err != nil {
		return err
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.one(e))
	return nil
}

// patched applies a patch to an object.
func (q *request) patched(old object, kind types.PatchType, patch []byte) (object, error) {
	before := encode(old)
	after, err := applyPatch(before, kind, patch, q.res.make())
	if err != nil {
		return nil, err
	}
	obj := q.res.make()
	if err := decode(after, obj); err != nil {
		return nil, err
	}
	if obj.GetName() != old.GetName() {
		return nil, apierrors.NewBadRequest("metadata.name: Invalid value: field is immutable")
	}
	return obj, nil
}

func applyPatch(before []byte, kind types.PatchType, patch []byte, schema object) ([]byte, error) {
	switch kind {
	case types.JSONPatchType:
		p, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		after, err := p.Apply(before)
		if err != nil { // a test that fails, a path that is not there
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity,
				Reason: metav1.StatusReasonInvalid, Message: "the server rejected our request due to an error in our request: " + err.Error(),
			}}
		}
		return after, nil
	case types.MergePatchType:
		if !json.Valid(patch) {
			return nil, apierrors.NewBadRequest("the patch is no JSON")
		}
		return jsonpatch.MergePatch(before, patch)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, schema)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return after, nil
}

// assign copies all of from into to; both have the same type.
func assign(to, from object) {
	reflect.ValueOf(to).Elem().Set(reflect.ValueOf(from).Elem())
}
