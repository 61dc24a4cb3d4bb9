package kubeapi

import (
	"net/http"
	"slices"
	"strings"

	openapiv2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	discoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

var (
	objectVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	statusVerbs = []string{"get", "patch", "update"}
)

// discover answers the paths that describe the API; false if r is none of them.
func discover(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	core := parts[0] == "api"
	asV2 := strings.Contains(strings.ReplaceAll(r.Header.Get("Accept"), " ", ""), aggregated)
	switch {
	case len(parts) == 1 && asV2:
		answerJSON(w, http.StatusOK, aggregated, encode(discovery(core)))
	case len(parts) == 1 && core:
		answer(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case len(parts) == 1:
		answer(w, http.StatusOK, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: apiGroups()})
	case len(parts) == 2 && !core:
		groups := apiGroups()
		i := slices.IndexFunc(groups, func(g metav1.APIGroup) bool { return g.Name == parts[1] })
		if i < 0 {
			return false
		}
		g := groups[i]
		g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		answer(w, http.StatusOK, g)
	case core && len(parts) == 2:
		return describe(w, schema.GroupVersion{Version: parts[1]})
	case !core && len(parts) == 3:
		return describe(w, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	default:
		return false
	}
	return true
}

// versions are the group versions in the order of their first resource.
func versions() []schema.GroupVersion {
	var all []schema.GroupVersion
	for _, res := range resources {
		if !slices.Contains(all, res.version) {
			all = append(all, res.version)
		}
	}
	return all
}

func apiGroups() []metav1.APIGroup {
	var groups []metav1.APIGroup
	for _, v := range append(versions(), reviewVersions...) {
		if v.Group == "" {
			continue
		}
		d := metav1.GroupVersionForDiscovery{GroupVersion: v.String(), Version: v.Version}
		groups = append(groups, metav1.APIGroup{Name: v.Group, Versions: []metav1.GroupVersionForDiscovery{d}, PreferredVersion: d})
	}
	return groups
}

var reviewVersions = []schema.GroupVersion{{Group: "authentication.k8s.io", Version: "v1"}, {Group: "authorization.k8s.io", Version: "v1"}}

// describe lists the resources of a version the old way.
func describe(w http.ResponseWriter, v schema.GroupVersion) bool {
	l := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: v.String(), APIResources: []metav1.APIResource{}}
	for _, res := range resources {
		if res.version != v {
			continue
		}
		l.APIResources = append(l.APIResources, metav1.APIResource{
			Name: res.plural, SingularName: res.singular(), Kind: res.kind,
			Namespaced: res.namespaced, ShortNames: res.short, Categories: res.categories(), Verbs: objectVerbs,
		})
		for sub := range strings.FieldsSeq(res.subs) {
			kind, verbs := subresource(res, sub)
			l.APIResources = append(l.APIResources, metav1.APIResource{
				Name: res.plural + "/" + sub, Kind: kind.Kind, Group: kind.Group,
				Version: kind.Version, Namespaced: res.namespaced, Verbs: verbs,
			})
		}
	}
	for _, review := range reviewResources {
		if review.version == v {
			l.APIResources = append(l.APIResources, metav1.APIResource{Name: review.plural, SingularName: strings.ToLower(review.kind), Kind: review.kind, Verbs: []string{"create"}})
		}
	}
	if len(l.APIResources) == 0 {
		return false
	}
	answer(w, http.StatusOK, l)
	return true
}

var reviewResources = []struct {
	version      schema.GroupVersion
	plural, kind string
}{
	{reviewVersions[0], "selfsubjectreviews", "SelfSubjectReview"},
	{reviewVersions[1], "selfsubjectaccessreviews", "SelfSubjectAccessReview"},
}

func (r *resource) categories() []string {
	if r.all {
		return []string{"all"}
	}
	return nil
}

// subresource gives the kind of a subresource, with its group only if it is another one's, and its verbs.
func subresource(res *resource, sub string) (schema.GroupVersionKind, []string) {
	if sub == "eviction" {
		return schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}, []string{"create"}
	}
	return schema.GroupVersionKind{Kind: res.kind}, statusVerbs
}

// discovery is everything in one answer, which keeps kubectl quick.
func discovery(core bool) discoveryv2.APIGroupDiscoveryList {
	l := discoveryv2.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: discoveryv2.SchemeGroupVersion.String()}}
	for _, v := range append(versions(), reviewVersions...) {
		if (v.Group == "") != core {
			continue
		}
		g := discoveryv2.APIGroupDiscovery{Versions: []discoveryv2.APIVersionDiscovery{{Version: v.Version, Freshness: discoveryv2.DiscoveryFreshnessCurrent, Resources: discovered(v)}}}
		g.Name = v.Group
		l.Items = append(l.Items, g)
	}
	return l
}

func discovered(v schema.GroupVersion) []discoveryv2.APIResourceDiscovery {
	var all []discoveryv2.APIResourceDiscovery
	for _, res := range resources {
		if res.version != v {
			continue
		}
		d := discoveryv2.APIResourceDiscovery{
			Resource: res.plural, SingularResource: res.singular(), Scope: discoveryv2.ScopeCluster,
			ResponseKind: &metav1.GroupVersionKind{Group: v.Group, Version: v.Version, Kind: res.kind},
			ShortNames:   res.short, Categories: res.categories(), Verbs: objectVerbs,
		}
		if res.namespaced {
			d.Scope = discoveryv2.ScopeNamespace
		}
		for sub := range strings.FieldsSeq(res.subs) {
			kind, verbs := subresource(res, sub)
			if kind.Version == "" {
				kind.Group, kind.Version = v.Group, v.Version
			}
			d.Subresources = append(d.Subresources, discoveryv2.APISubresourceDiscovery{
				Subresource: sub, Verbs: verbs,
				ResponseKind: &metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
			})
		}
		all = append(all, d)
	}
	for _, review := range reviewResources {
		if review.version == v {
			all = append(all, discoveryv2.APIResourceDiscovery{
				Resource: review.plural, SingularResource: strings.ToLower(review.kind), Scope: discoveryv2.ScopeCluster,
				ResponseKind: &metav1.GroupVersionKind{Group: v.Group, Version: v.Version, Kind: review.kind}, Verbs: []string{"create"},
			})
		}
	}
	return all
}

func rootPaths() []string {
	paths := []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
	for _, g := range apiGroups() {
		paths = append(paths, "/apis/"+g.Name, "/apis/"+g.PreferredVersion.GroupVersion)
	}
	slices.Sort(paths)
	return paths
}

const emptySwagger = `{"swagger":"2.0","info":{"title":"Kubernetes","version":"v1.36.3"},"paths":{},"definitions":{}}`

// openAPI describes nothing: kubectl falls back to the types it was built with. Its client reads version 2 as
// protobuf only.
func openAPI(w http.ResponseWriter, r *http.Request) {
	switch strings.Trim(r.URL.Path, "/") {
	case "openapi/v3":
		answerJSON(w, http.StatusOK, "application/json", []byte(`{"paths":{}}`))
	case "openapi/v2":
		if !strings.Contains(r.Header.Get("Accept"), "proto-openapi") {
			answerJSON(w, http.StatusOK, "application/json", []byte(emptySwagger))
			return
		}
		doc, err := openapiv2.ParseDocument([]byte(emptySwagger))
		if err != nil {
			refuse(w, err)
			return
		}
		data, err := proto.Marshal(doc)
		if err != nil {
			refuse(w, err)
			return
		}
		answerJSON(w, http.StatusOK, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", data)
	default:
		refuse(w, notThere())
	}
}
