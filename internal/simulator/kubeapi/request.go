package kubeapi

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxBody is the size of a request body that kube-apiserver accepts.
const maxBody = 3 << 20

// request is what a request to a resource asks for.
type request struct {
	http      *http.Request
	who       identity
	query     url.Values
	verb      string
	res       *resource
	review    func(*server, *request, []byte) (any, error) // instead of res: answered, never stored
	sub       string
	namespace string
	name      string
	shape     shape
}

// parse reads /api/v1/… and /apis/GROUP/VERSION/…, with [namespaces/NAMESPACE/]PLURAL[/NAME[/SUB]].
func (s *server) parse(r *http.Request, who identity) (*request, error) {
	q := &request{http: r, who: who, query: r.URL.Query(), shape: shapeOf(r)}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	version := schema.GroupVersion{}
	if parts[0] == "api" && len(parts) > 2 {
		version, parts = schema.GroupVersion{Version: parts[1]}, parts[2:]
	} else if parts[0] == "apis" && len(parts) > 3 {
		version, parts = schema.GroupVersion{Group: parts[1], Version: parts[2]}, parts[3:]
	} else {
		return nil, notThere()
	}
	// "namespaces/x" and "namespaces/x/status" are the namespace itself, "namespaces/x/pods" is not.
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" {
		q.namespace, parts = parts[1], parts[2:]
	}
	if q.review = reviews[version.String()+"/"+parts[0]]; q.review == nil {
		q.res = find(version, parts[0])
		if q.res == nil || len(parts) > 3 || (q.namespace != "" && !q.res.namespaced) {
			return nil, notThere()
		}
	}
	if len(parts) > 1 {
		q.name = parts[1]
	}
	if len(parts) > 2 {
		q.sub = parts[2]
		if !q.res.has(q.sub) {
			return nil, notThere()
		}
	}
	return q, q.findVerb()
}

func (q *request) findVerb() error {
	switch q.http.Method {
	case http.MethodGet, http.MethodHead:
		watching, _ := strconv.ParseBool(q.query.Get("watch"))
		switch {
		case q.name == "" && watching:
			q.verb = "watch"
		case q.name == "":
			q.verb = "list"
		default:
			q.verb = "get"
		}
	case http.MethodPost:
		q.verb = "create"
	case http.MethodPut:
		q.verb = "update"
	case http.MethodPatch:
		q.verb = "patch"
	case http.MethodDelete:
		q.verb = "delete"
		if q.name == "" {
			q.verb = "deletecollection"
		}
	default:
		return notAllowed(q.http.Method, schema.GroupResource{})
	}
	return q.fits()
}

// fits refuses combinations of verb and path that do not exist.
func (q *request) fits() error {
	if q.review != nil {
		if q.verb != "create" {
			return notAllowed(q.http.Method, schema.GroupResource{})
		}
		return nil
	}
	bad := false
	switch q.verb {
	case "create":
		bad = (q.name != "") != (q.sub == "eviction") || (q.res.namespaced && q.namespace == "")
	case "update", "patch", "delete":
		bad = q.name == "" || q.sub == "eviction" || (q.verb == "delete" && q.sub != "") || (q.res.namespaced && q.namespace == "")
	case "deletecollection":
		bad = q.res.namespaced && q.namespace == ""
	case "get":
		bad = q.sub == "eviction" || (q.res.namespaced && q.namespace == "")
	}
	if bad {
		return notAllowed(q.http.Method, q.res.groupResource())
	}
	return nil
}

const (
	jsonBody  = "application/json"
	protoBody = "application/vnd.kubernetes.protobuf" // what client-go's typed clients send
)

// body reads a body of one of these kinds; where JSON is one, protobuf is too, and becomes JSON here.
func (q *request) body(kinds ...string) ([]byte, string, error) {
	kind, _, _ := mime.ParseMediaType(q.http.Header.Get("Content-Type"))
	if kind == "" {
		kind = jsonBody
	}
	proto := kind == protoBody && slices.Contains(kinds, jsonBody)
	if !proto && !slices.Contains(kinds, kind) {
		return nil, "", unsupported(kind, kinds)
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, q.http.Body, maxBody))
	if err != nil {
		return nil, "", apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	if !proto || len(data) == 0 {
		return data, kind, nil
	}
	obj, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, "", apierrors.NewBadRequest(err.Error())
	}
	obj.GetObjectKind().SetGroupVersionKind(*gvk)
	return encode(obj), jsonBody, nil
}

func unsupported(kind string, kinds []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(kinds, ", ") + " (got " + kind + ")",
	}}
}

func (q *request) dryRun() bool { return q.query.Get("dryRun") == metav1.DryRunAll }

// selector makes the function that says which objects the request is about.
func (q *request) selector() (func(object) bool, error) {
	byLabel, err := labels.Parse(q.query.Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest("unable to parse requirement: " + err.Error())
	}
	byField, err := fields.ParseSelector(q.query.Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	known := q.res.fieldsOf(q.res.make())
	for _, need := range byField.Requirements() {
		if !known.Has(need.Field) {
			return nil, apierrors.NewBadRequest("field label not supported: " + need.Field)
		}
	}
	if byLabel.Empty() && byField.Empty() {
		return func(object) bool { return true }, nil
	}
	return func(o object) bool {
		return byLabel.Matches(labels.Set(o.GetLabels())) && (byField.Empty() || byField.Matches(q.res.fieldsOf(o)))
	}, nil
}

func (r *resource) fieldsOf(o object) fields.Set {
	set := fields.Set{"metadata.name": o.GetName()}
	if r.namespaced {
		set["metadata.namespace"] = o.GetNamespace()
	}
	if r.fields != nil {
		for k, v := range r.fields(o) {
			set[k] = v
		}
	}
	return set
}

func itoa(n int) string { return strconv.Itoa(n) }
