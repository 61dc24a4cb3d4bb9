package web

// clusterArea is what clusters have beyond their first page, and accounts beyond their list.
func (s *site) clusterArea() area {
	return area{
		pages: map[string]loader{
			"/clusters/{ref}/nodes":    s.clusterNodesPage,
			"/clusters/{ref}/versions": s.clusterVersions,
			"/clusters/{ref}/access":   s.clusterAccess,
			"/clusters/{ref}/settings": s.clusterSettings,
			"/clusters/{ref}/secrets":  s.clusterSecrets,
		},
		actions: map[string]handler{
			"POST /clusters/{ref}/change":  s.changeCluster,
			"POST /clusters/{ref}/secrets": s.replaceSecrets,
			"POST /accounts/{ref}/rotate":  s.rotateAccount,
		},
	}
}
