package diff

// kinds are the document kinds of the library; a test finds those that a newer library adds.
var kinds = []string{
	"BGPInstanceConfig", "BlackholeRouteConfig", "BondConfig", "BridgeConfig", "CRIBaseRuntimeSpecConfig",
	"CRICustomizationConfig", "ContainerConfig", "DHCPv4Config", "DHCPv6Config", "DiscoveryIdentityConfig",
	"DiscoveryServiceConfig", "DummyLinkConfig", "EnvironmentConfig", "EtcFileConfig", "EthernetConfig",
	"EventSinkConfig", "ExistingVolumeConfig", "ExtensionServiceConfig", "ExternalVolumeConfig",
	"FilesystemScrubConfig", "FilesystemTrimConfig", "HCloudVIPConfig", "HTTPProbeConfig", "HostnameConfig",
	"ImageCacheConfig", "ImageVerificationConfig", "KernelModuleConfig", "KmsgLogConfig", "KubeAPIServerCAConfig",
	"KubeAPIServerConfig", "KubeAdmissionControlConfig", "KubeAggregatorCAConfig", "KubeAuditPolicyConfig",
	"KubeAuthenticationConfig", "KubeAuthorizerConfig", "KubeClusterConfig", "KubeControllerManagerConfig",
	"KubeCoreDNSConfig", "KubeCredentialProviderConfig", "KubeEtcdEncryptionConfig", "KubeExternalManifestConfig",
	"KubeFlannelCNIConfig", "KubeInlineManifestConfig", "KubeNetworkConfig", "KubeNodeConfig", "KubePrismConfig",
	"KubeProxyConfig", "KubeSchedulerConfig", "KubeServiceAccountConfig", "KubeSpanConfig", "KubeSpanEndpointsConfig",
	"KubeStaticPodConfig", "KubeTalosAPIAccessConfig", "KubeletConfig", "LVMLogicalVolumeConfig",
	"LVMVolumeGroupConfig", "Layer2VIPConfig", "LinkAliasConfig", "LinkConfig", "NetworkDefaultActionConfig",
	"NetworkRuleConfig", "OOMConfig", "PCIDriverRebindConfig", "RAIDArrayConfig", "RawVolumeConfig",
	"RegistryAuthConfig", "RegistryMirrorConfig", "RegistryTLSConfig", "ResolverConfig", "RoutingRuleConfig",
	"SecurityProfileConfig", "SideroLinkConfig", "StaticHostConfig", "SwapVolumeConfig", "SysctlConfig", "SysfsConfig",
	"TCPProbeConfig", "TimeSyncConfig", "TrustedRootsConfig", "UdevRulesConfig", "UnattendedInstallConfig",
	"UserVolumeConfig", "VLANConfig", "VRFConfig", "VethConfig", "VolumeConfig", "WatchdogTimerConfig",
	"WireguardConfig", "ZswapConfig",
}
