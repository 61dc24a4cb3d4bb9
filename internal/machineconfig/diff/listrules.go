package diff

// listRuleOf says how Talos reads a list, by kind and path, or by path alone where several kinds have it.
func listRuleOf(kind, path string) listRule {
	if rule, ok := listRules[kind+" "+path]; ok {
		return rule
	}
	return listRules[path]
}

// orderedDocuments are the kinds whose documents are read in the order in which they are written: the authorizers of the
// API server are asked in that order (k8s/control_plane.go of Talos). Documents of other kinds are sorted by Talos, or
// are of their own.
var orderedDocuments = []string{"KubeAuthorizerConfig"}

// listRules are the lists that are more than values in an order that counts. Each says why.
var listRules = map[string]listRule{
	// Names and addresses of certificates, and bundles of authorities: sets by nature.
	"machine.certSANs":                   {set: true},
	"machine.acceptedCAs":                {set: true},
	"cluster.acceptedCAs":                {set: true},
	"cluster.apiServer.certSANs":         {set: true},
	"KubeAPIServerConfig certExtraSANs":  {set: true},
	"KubeAPIServerCAConfig acceptedCAs":  {set: true},
	"KubeAggregatorCAConfig acceptedCAs": {set: true},

	"KubeServiceAccountConfig accepted.publicKeys": {set: true}, // any of them verifies

	// Roles and namespaces are looked up.
	"machine.features.kubernetesTalosAPIAccess.allowedRoles":                {set: true},
	"machine.features.kubernetesTalosAPIAccess.allowedKubernetesNamespaces": {set: true},
	"KubeTalosAPIAccessConfig allowedRoles":                                 {set: true},
	"KubeTalosAPIAccessConfig allowedKubernetesNamespaces":                  {set: true},

	// The network controllers make a resource of each, named after it, and read those by name.
	"machine.network.interfaces":                                {key: "interface|deviceSelector"},
	"machine.network.interfaces[].addresses":                    {set: true},
	"machine.network.interfaces[].routes":                       {key: "network", set: true},
	"machine.network.interfaces[].vlans":                        {key: "vlanId"},
	"machine.network.interfaces[].vlans[].addresses":            {set: true},
	"machine.network.interfaces[].vlans[].routes":               {key: "network", set: true},
	"machine.network.interfaces[].wireguard.peers":              {key: "publicKey", set: true}, // sorted by Talos
	"machine.network.interfaces[].wireguard.peers[].allowedIPs": {set: true},
	"machine.network.interfaces[].bridge.interfaces":            {set: true},
	"machine.network.extraHostEntries":                          {key: "ip"},
	"addresses":                                                 {key: "address", set: true},
	"routes":                                                    {key: "destination", set: true},
	"VethConfig peer.addresses":                                 {key: "address", set: true},
	"VethConfig peer.routes":                                    {key: "destination", set: true},
	"WireguardConfig peers":                                     {key: "publicKey", set: true},
	"WireguardConfig peers[].allowedIPs":                        {set: true},
	"BridgeConfig links":                                        {set: true}, // unlike a bond's, where the first gives the MAC
	"VRFConfig links":                                           {set: true},
	"KubeSpanEndpointsConfig extraAnnouncedEndpoints":           {set: true},
	"BGPInstanceConfig neighbors":                               {key: "address|link", ordered: true},
	"ResolverConfig nameservers":                                {key: "address", ordered: true}, // asked in this order
	"NetworkRuleConfig ingress":                                 {key: "subnet", set: true},
	"NetworkRuleConfig portSelector.ports":                      {set: true},
	"EthernetConfig wakeOnLan":                                  {set: true},

	// Found by name, path or place.
	"machine.pods":                           {key: "metadata.name"},
	"machine.disks":                          {key: "device"},
	"machine.files":                          {key: "path"},
	"machine.kernel.modules":                 {key: "name"},
	"machine.seccompProfiles":                {key: "name"},
	"machine.logging.destinations":           {key: "endpoint", set: true},
	"machine.kubelet.extraMounts":            {key: "destination", ordered: true}, // one may be within another
	"cluster.apiServer.extraVolumes":         {key: "mountPath"},
	"cluster.controllerManager.extraVolumes": {key: "mountPath"},
	"cluster.scheduler.extraVolumes":         {key: "mountPath"},
	"cluster.apiServer.admissionControl":     {key: "name"},
	"cluster.apiServer.authorizationConfig":  {key: "name", ordered: true}, // asked in this order
	"cluster.inlineManifests":                {key: "name"},
	"machine.install.extensions":             {key: "image", ordered: true},
	"RegistryMirrorConfig endpoints":         {key: "url", ordered: true},   // tried in this order
	"ImageVerificationConfig rules":          {key: "image", ordered: true}, // the first that matches decides

	// LUKS: a key is in its slot; options and PCRs are bits.
	"machine.systemDiskEncryption.state.keys":        {key: "slot"},
	"machine.systemDiskEncryption.ephemeral.keys":    {key: "slot"},
	"machine.systemDiskEncryption.state.options":     {set: true},
	"machine.systemDiskEncryption.ephemeral.options": {set: true},
	"encryption.keys":                    {key: "slot"},
	"encryption.keys[].tpm.options.pcrs": {set: true},
	"encryption.options":                 {set: true},

	// Environment and files of services of ours.
	"ExtensionServiceConfig configFiles":         {key: "mountPath"},
	"ExtensionServiceConfig environment":         {key: "="},
	"ContainerConfig environment":                {key: "="},
	"ContainerConfig mounts":                     {key: "userVolume.destination|tmpfs.destination|hostPath.destination", ordered: true},
	"ContainerConfig security.capabilities.add":  {set: true},
	"ContainerConfig security.capabilities.drop": {set: true},
	"ContainerConfig dependsOn.paths":            {set: true},
	"ContainerConfig dependsOn.networks":         {set: true},
	"ContainerConfig dependsOn.containers":       {set: true},
}
