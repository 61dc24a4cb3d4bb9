package kubeapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *server) get(w http.ResponseWriter, q *request) error {
	e := s.entry(q.res, q.namespace, q.name)
	if e == nil {
		return apierrors.NewNotFound(q.res.groupResource(), q.name)
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.one(e))
	return nil
}

// list answers the whole list or a page of it. Later pages show the newest state and not, as etcd does, the state
// of the first page; they carry the first page's version, so that a watch from there misses nothing.
func (s *server) list(w http.ResponseWriter, q *request) error {
	wanted, err := q.selector()
	if err != nil {
		return err
	}
	limit, _ := strconv.Atoi(q.query.Get("limit"))
	from, err := readContinue(q.query.Get("continue"))
	if err != nil {
		return err
	}
	all, version := s.entries(q.res, q.namespace)
	if from.Version != 0 {
		version = from.Version
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(version, 10)}
	var page []*entry
	for i, e := range all {
		k := key(e.object.GetNamespace(), e.object.GetName())
		if k <= from.After || !wanted(e.object) {
			continue
		}
		if limit > 0 && len(page) == limit {
			last := page[len(page)-1].object
			meta.Continue = writeContinue(place{Version: version, After: key(last.GetNamespace(), last.GetName())})
			if left := int64(len(all) - i); q.query.Get("labelSelector") == "" && q.query.Get("fieldSelector") == "" {
				meta.RemainingItemCount = &left
			}
			break
		}
		page = append(page, e)
	}
	answerJSON(w, http.StatusOK, q.shape.kind(), q.many(page, meta))
	return nil
}

// place is where the next page begins.
type place struct {
	Version uint64 `json:"rv"`
	After   string `json:"start"`
}

func writeContinue(p place) string { return base64.RawURLEncoding.EncodeToString(encode(p)) }

func readContinue(token string) (place, error) {
	var p place
	if token == "" {
		return p, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(data, &p) != nil {
		return p, apierrors.NewBadRequest("continue key is not valid: " + token)
	}
	return p, nil
}

// shape is how the answer looks: the objects, a table for people, or their metadata only.
type shape string

const (
	whole    shape = ""
	tabular  shape = "Table"
	metadata shape = "PartialObjectMetadata"
)

// shapeOf reads Accept. What we cannot make (protobuf, CBOR) we answer as JSON, which every client accepts too.
func shapeOf(r *http.Request) shape {
	for accepted := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if !strings.HasPrefix(strings.TrimSpace(accepted), "application/json") {
			continue
		}
		for param := range strings.SplitSeq(accepted, ";") {
			switch strings.TrimSpace(param) {
			case "as=Table":
				return tabular
			case "as=PartialObjectMetadata", "as=PartialObjectMetadataList":
				return metadata
			}
		}
		return whole
	}
	return whole
}

func (s shape) kind() string { return "application/json" }

// one encodes an object in the shape that was asked for.
func (q *request) one(e *entry) []byte {
	switch q.shape {
	case tabular:
		return encode(q.table([]*entry{e}, metav1.ListMeta{ResourceVersion: e.object.GetResourceVersion()}))
	case metadata:
		return encode(partial(e.object))
	}
	return e.JSON()
}

// many encodes a list in the shape that was asked for.
func (q *request) many(page []*entry, meta metav1.ListMeta) []byte {
	switch q.shape {
	case tabular:
		return encode(q.table(page, meta))
	case metadata:
		l := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"}, ListMeta: meta}
		for _, e := range page {
			l.Items = append(l.Items, *partial(e.object))
		}
		return encode(l)
	}
	items := make([]json.RawMessage, len(page))
	for i, e := range page {
		items[i] = e.JSON()
	}
	return encode(struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}{metav1.TypeMeta{Kind: q.res.kind + "List", APIVersion: q.res.version.String()}, meta, items})
}

func partial(o object) *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}}
	copyPart(p, o, "ObjectMeta")
	return p
}
