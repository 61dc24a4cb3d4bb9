package kubeapi_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestDiscoveryNamesEverythingBothWays(t *testing.T) {
	l := newLab(t, 1)
	d := l.admin().Discovery()
	_, lists, err := d.ServerGroupsAndResources() // aggregated
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, list := range lists {
		for _, r := range list.APIResources {
			names[list.GroupVersion+"/"+r.Name] = true
		}
	}
	for _, want := range []string{
		"v1/nodes", "v1/nodes/status", "v1/pods/eviction", "apps/v1/deployments", "policy/v1/poddisruptionbudgets",
		"certificates.k8s.io/v1/certificatesigningrequests/approval", "coordination.k8s.io/v1/leases",
	} {
		if !names[want] {
			t.Errorf("aggregated discovery lacks %s", want)
		}
	}
	old, err := discovery.NewDiscoveryClientForConfig(l.config("admin", "system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	for version := range map[string]bool{"v1": true, "apps/v1": true, "certificates.k8s.io/v1": true} {
		list, err := old.ServerResourcesForGroupVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !names[version+"/"+r.Name] {
				t.Errorf("%s/%s is in the old discovery only", version, r.Name)
			}
		}
	}
	if _, err := d.OpenAPISchema(); err != nil {
		t.Errorf("OpenAPI 2: %v", err)
	}
	if v, err := d.ServerVersion(); err != nil || v.GitVersion != "v1.36.3" || v.Major != "1" || v.Minor != "36" {
		t.Errorf("version %v, %v", v, err)
	}
}

func TestAccessFollowsTheCertificate(t *testing.T) {
	l := newLab(t, 1)
	other := newAuthority(t)
	for _, c := range []struct {
		reason string
		config *rest.Config
		want   func(error) bool
	}{
		{"masters may do everything", l.config("admin", "system:masters"), func(err error) bool { return err == nil }},
		{"nodes read nodes", l.config("system:node:w-1", "system:nodes"), func(err error) bool { return err == nil }},
		{"a node's name without the group is nobody", l.config("system:node:w-1", "x"), apierrors.IsForbidden},
		{"others are known, but may nothing", l.config("jane", "developers"), apierrors.IsForbidden},
		{"no certificate: Talos has no anonymous users", l.config(""), apierrors.IsUnauthorized},
		{"another CA's certificate", withClient(l.config(""), other), apierrors.IsUnauthorized},
	} {
		t.Run(c.reason, func(t *testing.T) {
			client, err := kubernetes.NewForConfig(c.config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !c.want(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func withClient(c *rest.Config, a *authority) *rest.Config {
	c.CertData, c.KeyData = a.client("admin", "system:masters")
	return c
}

func TestANodeMayDoWhatKubeletsDo(t *testing.T) {
	l := newLab(t, 1)
	c := l.client("system:node:w-1", "system:nodes")
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w-1"}}
	if _, err := c.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Errorf("register: %v", err)
	}
	if _, err := c.CoreV1().Nodes().Patch(t.Context(), "w-1", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("label itself: %v", err)
	}
	if _, err := c.CoreV1().Nodes().Patch(t.Context(), "w-2", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("label another: %v", err)
	}
	if err := c.CoreV1().Nodes().Delete(t.Context(), "w-1", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete itself: %v", err)
	}
}

func TestObjectsAreKeptAsTheAPIPromises(t *testing.T) {
	l := newLab(t, 1)
	maps := l.admin().CoreV1().ConfigMaps("default")
	made, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Data: map[string]string{"a": "1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.Namespace != "default" {
		t.Errorf("made %+v", made.ObjectMeta)
	}
	if _, err := maps.Create(t.Context(), made.DeepCopy(), metav1.CreateOptions{}); !apierrors.IsBadRequest(err) {
		t.Errorf("create with a resourceVersion: %v", err)
	}
	twin := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	if _, err := maps.Create(t.Context(), twin, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create twice: %v", err)
	}

	next := made.DeepCopy()
	next.Data["a"] = "2"
	changed, err := maps.Update(t.Context(), next, metav1.UpdateOptions{})
	if err != nil || changed.ResourceVersion == made.ResourceVersion || changed.UID != made.UID {
		t.Errorf("update: %+v, %v", changed.ObjectMeta, err)
	}
	if _, err := maps.Update(t.Context(), next, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale update: %v", err)
	}
	same, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{})
	if err != nil || same.ResourceVersion != changed.ResourceVersion {
		t.Errorf("an update without a change: %s after %s, %v", same.ResourceVersion, changed.ResourceVersion, err)
	}

	if _, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Errorf("dry run: %v", err)
	}
	wrong := types.UID("wrong")
	if err := maps.Delete(t.Context(), "x", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}}); !apierrors.IsConflict(err) {
		t.Errorf("delete another with this name: %v", err)
	}
	if err := maps.Delete(t.Context(), "x", metav1.DeleteOptions{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := maps.Get(t.Context(), "x", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestBadObjectsAreInvalid(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin().CoreV1()
	if _, err := c.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := c.ConfigMaps("nowhere").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("no such namespace: %v", err)
	}
	bad := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "a", Effect: "Never"}}}}
	if _, err := c.Nodes().Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a bad taint: %v", err)
	}
}

func TestAFinalizerHoldsADeletion(t *testing.T) {
	l := newLab(t, 1)
	maps := l.admin().CoreV1().ConfigMaps("default")
	x := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", Finalizers: []string{"example.com/hold"}}}
	if _, err := maps.Create(t.Context(), x, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), "x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	held, err := maps.Get(t.Context(), "x", metav1.GetOptions{})
	if err != nil || held.DeletionTimestamp == nil {
		t.Fatalf("held: %+v, %v", held, err)
	}
	held.Finalizers = nil
	if _, err := maps.Update(t.Context(), held, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(t.Context(), "x", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the finalizer: %v", err)
	}
}

func TestEveryKindOfPatchWorks(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin().CoreV1().Nodes()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "one", Labels: map[string]string{"a": "1"}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	if _, err := c.Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		reason string
		kind   types.PatchType
		patch  string
		subs   []string
		ok     func(*corev1.Node) bool
	}{
		{
			"merge adds and removes", types.MergePatchType, `{"metadata":{"labels":{"a":null,"b":"2"}}}`, nil,
			func(n *corev1.Node) bool { return n.Labels["b"] == "2" && len(n.Labels) == 1 },
		},
		{
			"JSON patch", types.JSONPatchType, `[{"op":"test","path":"/metadata/labels/b","value":"2"},{"op":"add","path":"/metadata/labels/c","value":"3"}]`, nil,
			func(n *corev1.Node) bool { return n.Labels["c"] == "3" },
		},
		{
			"strategic merge keeps list items of other keys", types.StrategicMergePatchType, `{"status":{"conditions":[{"type":"DiskPressure","status":"False"}]}}`,
			[]string{"status"},
			func(n *corev1.Node) bool { return len(n.Status.Conditions) == 2 },
		},
		{
			"the status is not changed by the main path", types.MergePatchType, `{"status":{"conditions":null},"spec":{"unschedulable":true}}`, nil,
			func(n *corev1.Node) bool { return len(n.Status.Conditions) == 2 && n.Spec.Unschedulable },
		},
		{
			"nor the spec by the status path", types.MergePatchType, `{"spec":{"unschedulable":false}}`,
			[]string{"status"},
			func(n *corev1.Node) bool { return n.Spec.Unschedulable },
		},
		{
			"server-side apply merges", types.ApplyPatchType, "apiVersion: v1\nkind: Node\nmetadata: {name: one, labels: {d: '4'}}", nil,
			func(n *corev1.Node) bool { return n.Labels["d"] == "4" && n.Labels["c"] == "3" },
		},
	} {
		options := metav1.PatchOptions{FieldManager: "test"}
		got, err := c.Patch(t.Context(), "one", s.kind, []byte(s.patch), options, s.subs...)
		if err != nil || !s.ok(got) {
			t.Errorf("%s: %+v, %v", s.reason, got, err)
		}
	}
	_, err := c.Patch(t.Context(), "one", types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/labels/b","value":"no"}]`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a test that fails: %v", err)
	}
	_, err = c.Patch(t.Context(), "one", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1","labels":{"x":"y"}}}`), metav1.PatchOptions{})
	if !apierrors.IsConflict(err) {
		t.Errorf("a stale patch: %v", err)
	}
	_, err = c.Patch(t.Context(), "new", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"new"}}`), metav1.PatchOptions{FieldManager: "test"})
	if err != nil {
		t.Errorf("apply creates: %v", err)
	}
}

func TestListsAreCutAndSelected(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin().CoreV1()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"vowel": map[bool]string{true: "yes", false: "no"}[name == "a" || name == "e"]}}}
		if _, err := c.ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	pages := 0
	for page := (metav1.ListOptions{Limit: 2}); ; pages++ {
		list, err := c.ConfigMaps("default").List(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.Items {
			got = append(got, m.Name)
		}
		if page.Continue = list.Continue; page.Continue == "" {
			break
		}
	}
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) || pages != 2 {
		t.Errorf("%v in %d pages", got, pages+1)
	}
	for _, s := range []struct{ reason, label, field, want string }{
		{"equal", "vowel=yes", "", "a e"},
		{"not equal", "vowel!=yes", "", "b c d"},
		{"in a set", "vowel in (yes,maybe)", "", "a e"},
		{"absent", "!vowel", "", ""},
		{"by name", "", "metadata.name=c", "c"},
		{"by name, not", "vowel=no", "metadata.name!=c", "b d"},
	} {
		list, err := c.ConfigMaps("default").List(t.Context(), metav1.ListOptions{LabelSelector: s.label, FieldSelector: s.field})
		var names []string
		for _, m := range list.Items {
			names = append(names, m.Name)
		}
		if err != nil || strings.Join(names, " ") != s.want {
			t.Errorf("%s: %v, %v", s.reason, names, err)
		}
	}
	if _, err := c.ConfigMaps("").List(t.Context(), metav1.ListOptions{FieldSelector: "data.a=b"}); !apierrors.IsBadRequest(err) {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestKubectlGetsItsTables(t *testing.T) {
	l := newLab(t, 100)
	c := l.admin()
	l.kubelet("cp-1", controlPlane)
	l.until("cp-1 has its role", func() bool { return len(l.node(c, "cp-1").Annotations["talos.dev/owned-labels"]) > 0 })
	l.until("pods run", func() bool {
		pods, err := c.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return err == nil && len(pods.Items) == 7
	})
	for _, s := range []struct{ path, columns, row string }{
		{"/api/v1/nodes", "Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime", "cp-1 Ready control-plane"},
		{"/api/v1/namespaces/kube-system/pods/kube-scheduler-cp-1", "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", "kube-scheduler-cp-1 1/1 Running 0"},
		{"/api/v1/namespaces/default/services", "Name Age", "kubernetes"},
	} {
		table := metav1.Table{}
		data, err := c.CoreV1().RESTClient().Get().AbsPath(s.path).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").DoRaw(t.Context())
		if err == nil {
			err = json.Unmarshal(data, &table)
		}
		if err != nil || table.Kind != "Table" || len(table.Rows) != 1 {
			t.Errorf("%s: %s, %v", s.path, data, err)
			continue
		}
		var columns, cells []string
		for _, d := range table.ColumnDefinitions {
			columns = append(columns, d.Name)
		}
		for _, cell := range table.Rows[0].Cells {
			cells = append(cells, cell.(string))
		}
		if strings.Join(columns, " ") != s.columns || !strings.HasPrefix(strings.Join(cells, " "), s.row) {
			t.Errorf("%s: %v, %v", s.path, columns, cells)
		}
	}
}

func TestWithoutQuorumRequestsHangAndHealthFails(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin()
	l.quorum.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); ctx.Err() == nil {
		t.Errorf("a read answered: %v", err)
	}
	if _, err := c.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); err != nil {
		t.Errorf("a read of any age: %v", err)
	}
	for _, path := range []string{"/readyz", "/livez", "/healthz"} {
		if data, err := c.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(t.Context()); !apierrors.IsInternalError(err) || !strings.Contains(string(data), "[-]etcd failed") {
			t.Errorf("%s: %s, %v", path, data, err)
		}
	}
	l.quorum.Store(false)
	if data, err := c.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context()); err != nil || string(data) != "ok" {
		t.Errorf("%s, %v", data, err)
	}
}

func TestWithoutQuorumRequestsEndAfterAMinute(t *testing.T) {
	l := newLab(t, 2000)
	l.quorum.Store(true)
	if _, err := l.admin().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsTimeout(err) {
		t.Errorf("error %v", err)
	}
}

func TestAnotherServerShowsTheSameState(t *testing.T) {
	l := newLab(t, 1)
	c := l.admin()
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.stop()
	l.serve("cp-2", address)
	l.until("the second has it too", func() bool { // the first try may still meet the dead connection
		_, err := c.CoreV1().ConfigMaps("default").Get(t.Context(), "x", metav1.GetOptions{})
		return err == nil
	})
}
