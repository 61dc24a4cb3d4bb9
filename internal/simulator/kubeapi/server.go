package kubeapi

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// requestTimeout ends a request that etcd does not answer (kube-apiserver's --request-timeout).
const requestTimeout = time.Minute

// server is one kube-apiserver.
type server struct {
	*cluster
	conf     world.APIServer
	inflight sync.WaitGroup
}

func (s *server) quorum() bool { return s.conf.HasQuorum == nil || s.conf.HasQuorum() }

// ServeHTTP authenticates first, for every path: Talos runs kube-apiserver with --anonymous-auth=false, so that
// even /version and /healthz answer 401 to strangers (recorded: the command line of the static pod).
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.inflight.Add(1)
	defer s.inflight.Done()
	who, ok := s.authenticate(r)
	if !ok {
		refuse(w, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	switch head, _, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/"); head {
	case "version":
		answer(w, http.StatusOK, versionInfo(s.conf.Version))
	case "healthz", "livez", "readyz":
		s.health(w, r)
	case "openapi":
		openAPI(w, r)
	case "api", "apis":
		s.api(w, r, who)
	case "":
		answer(w, http.StatusOK, metav1.RootPaths{Paths: rootPaths()})
	default:
		refuse(w, notThere())
	}
}

// api serves discovery and resources.
func (s *server) api(w http.ResponseWriter, r *http.Request, who identity) {
	if discover(w, r) {
		return
	}
	q, err := s.parse(r, who)
	if err == nil {
		err = s.authorize(q)
	}
	if err == nil {
		err = s.awaitQuorum(q)
	}
	if err == nil {
		err = s.serve(w, q)
	}
	if err != nil {
		refuse(w, err)
	}
}

// awaitQuorum holds a request while etcd cannot answer, as a real API server does (recorded: kubectl without
// quorum runs into its own timeout); reads that allow any age come from the API server's cache.
func (s *server) awaitQuorum(q *request) error {
	if (q.verb == "list" || q.verb == "get" || q.verb == "watch") && q.query.Get("resourceVersion") == "0" {
		return nil
	}
	const pause = time.Second
	for waited := time.Duration(0); !s.quorum(); waited += pause {
		if waited >= requestTimeout || !s.world.Sleep(q.http.Context(), pause) {
			return apierrors.NewTimeoutError("the server was unable to return a response in the time allotted, but may still be processing the request", 0)
		}
	}
	return nil
}

func (s *server) serve(w http.ResponseWriter, q *request) error {
	if q.review != nil {
		return s.review(w, q)
	}
	switch q.verb {
	case "get":
		return s.get(w, q)
	case "list":
		return s.list(w, q)
	case "watch":
		return s.watch(w, q)
	case "create":
		return s.post(w, q)
	case "update":
		return s.put(w, q)
	case "patch":
		return s.patch(w, q)
	case "delete":
		return s.delete(w, q)
	case "deletecollection":
		return s.deleteAll(w, q)
	}
	return apierrors.NewMethodNotSupported(q.res.groupResource(), q.verb)
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, v any) {
	answerJSON(w, code, "application/json", encode(v))
}

func answerJSON(w http.ResponseWriter, code int, kind string, data []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	w.Write(data)
}

// refuse writes an error as the Status that clients understand.
func refuse(w http.ResponseWriter, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", itoa(int(status.Details.RetryAfterSeconds)))
	}
	answer(w, int(status.Code), status)
}

// notThere is the 404 of a path that the API does not have.
func notThere() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// notAllowed is the 405 of a verb that a resource does not have.
func notAllowed(method string, of schema.GroupResource) error {
	return apierrors.NewMethodNotSupported(of, strings.ToLower(method))
}
