package resources_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// TestDefinitionsAreThoseOfARealNode holds the machinery's definitions against those a node of v1.13.9 listed:
// namespace, sensitivity, aliases, columns.
func TestDefinitionsAreThoseOfARealNode(t *testing.T) {
	b, err := os.ReadFile("testdata/04-resource-definitions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	all, err := safe.StateListAll[*meta.ResourceDefinition](t.Context(), newStore(t).State())
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]*meta.ResourceDefinitionSpec{}
	for d := range all.All() {
		have[d.TypedSpec().Type] = d.TypedSpec()
	}
	// What the machinery of v1.14 defines in another way than the node of v1.13 did.
	newer := map[string]bool{
		"LoadedKernelModules.runtime.talos.dev": true, // aliases went to KernelModuleStatuses
		"TimeServerSpecs.net.talos.dev":         true, // columns
		"TimeServerStatuses.net.talos.dev":      true, // columns
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")[2:]
	for _, line := range lines {
		c := strings.Split(line+"\t\t\t", "\t")
		d := have[c[0]]
		if d == nil {
			t.Errorf("%s is not defined", c[0])
			continue
		}
		var aliases, columns []string
		aliases = append(aliases, d.Aliases...)
		for _, p := range d.PrintColumns {
			columns = append(columns, p.Name+"="+p.JSONPath)
		}
		got := strings.Join([]string{d.Type, d.DisplayType, d.DefaultNamespace, string(d.Sensitivity), strings.Join(aliases, ","), strings.Join(columns, "; ")}, "\t")
		if want := strings.Join(c[:6], "\t"); got != want && !newer[d.Type] {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	if len(lines) != 167 {
		t.Errorf("%d definitions recorded, want 167", len(lines))
	}
}

// TestResourcesLookLikeThoseOfARealNode compares types, ids, owners and the fields of specs.
func TestResourcesLookLikeThoseOfARealNode(t *testing.T) {
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	for _, c := range []struct {
		reason, file string
		view         resources.View
	}{
		{"a control plane", "testdata/04-cosi-controlplane.jsonl", running(t, w, false)},
		{"a worker", "testdata/04-cosi-worker.jsonl", running(t, w, true)},
		{"maintenance", "testdata/04-cosi-maintenance.jsonl", maintenance(w)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newStore(t)
			apply(t, s, c.view)
			for _, r := range recording(t, c.file) {
				compare(t, s, r)
			}
		})
	}
}

func compare(t *testing.T, s *resources.Store, r recorded) {
	t.Helper()
	items := list(t, s, r.Type)
	if reason := absent(r.Type); reason != "" {
		if len(items) > 0 {
			t.Errorf("%s exists, although %s", r.Type, reason)
		}
		return
	}
	if len(items) == 0 {
		t.Errorf("%s: none, recorded %d", r.Type, r.Count)
	}
	keys := map[string]bool{}
	for _, i := range items {
		collect("", spec(t, i), keys)
	}
	for _, want := range r.Items {
		at := slices.IndexFunc(items, func(i resource.Resource) bool { return i.Metadata().ID() == want.ID })
		if at < 0 {
			if !chance(r.Type, want.ID) {
				t.Errorf("%s(%s) is missing", r.Type, want.ID)
			}
		} else if got := items[at].Metadata().Owner(); got != want.Owner {
			t.Errorf("%s(%s) is from %q, recorded %q", r.Type, want.ID, got, want.Owner)
		}
		for _, k := range want.Keys {
			if !keys[k] && !elsewhere(r.Type, k) {
				t.Errorf("%s has no field %q", r.Type, k)
			}
		}
	}
}

func list(t *testing.T, s *resources.Store, kind string) []resource.Resource {
	t.Helper()
	d, err := safe.StateGet[*meta.ResourceDefinition](t.Context(), s.State(),
		resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, strings.ToLower(kind), resource.VersionUndefined))
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.State().List(t.Context(), resource.NewMetadata(d.TypedSpec().DefaultNamespace, kind, "", resource.VersionUndefined))
	if err != nil {
		t.Fatal(err)
	}
	return all.Items
}

func spec(t *testing.T, r resource.Resource) any {
	t.Helper()
	b, err := yaml.Marshal(r.Spec())
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func collect(prefix string, v any, into map[string]bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for k, inner := range m {
		into[prefix+k] = true
		collect(prefix+k+".", inner, into)
	}
}

// absent says why a recorded type is not made here; "" if it must be.
func absent(kind string) string {
	switch {
	case strings.HasSuffix(kind, ".secrets.talos.dev") && !strings.HasPrefix(kind, "CertSANs"):
		return "keys stay in the node"
	case slices.Contains([]string{
		"AdmissionControlConfigs", "AuditPolicyConfigs", "AuthorizationConfigs", "BootstrapManifestsConfigs",
		"ExtraManifestsConfigs", "Manifests", "RegistryConfigs", "EtcFileSpecs",
	}, strings.Split(kind, ".")[0]):
		return "settings of what does not exist here"
	case strings.HasPrefix(kind, "DNSUpstreams"):
		return "its resource is a live connection"
	}
	return ""
}

// chance says that an id is one of that one node.
func chance(kind, id string) bool {
	switch {
	case strings.Contains(id, "10.5.0.6/"), strings.Contains(id, "fe80::"):
		return true // another node's addresses
	case id == "inet4/10.5.0.1//0":
		return true // the lab's default route has no metric; DHCP and configs give 1024
	case strings.HasPrefix(id, "Family("):
		return true // multicast rules of the lab's kernel
	case id == "YLZPunA6cNBKz4w6dIcx4zteCFyMPtYfePqWYMHRnX2A":
		return true // what was left of a node installed twice
	case strings.HasPrefix(kind, "VolumeMount"):
		return strings.Contains(id, "Controller-") || strings.HasPrefix(id, "service/") // every user of a volume by itself
	}
	return false
}

// elsewhere says that a field is one of a node that is not like ours.
func elsewhere(kind, field string) bool {
	name, _, _ := strings.Cut(kind, ".")
	top, _, _ := strings.Cut(field, ".")
	switch name + " " + top {
	case "EthernetStatuses features", "EthernetStatuses channels", "LinkStatuses driverVersion": // of a veth
	case "KubeletSpecs config", "StaticPods spec", "StaticPods metadata", "StaticPodStatuses resources", "StaticPodStatuses allocatedResources":
		// read by a kubelet only
	case "KubeletConfigs allowSchedulingOnControlPlane", "ControllerManagerConfigs extraArgs", "SchedulerConfigs extraArgs": // gone in v1.14, or left out when empty
	case "DiscoveryConfigs serviceEndpointInsecure": // the lab's own discovery service
	case "VolumeStatuses mountSpec": // in maintenance STATE is a directory of a container
	default:
		return false
	}
	return true
}
