package hetzner

// robotRoute is one endpoint and the group its calls are counted in.
type robotRoute struct {
	method, path, group string
	handle              func(*robotCall) answer
}

// allRoutes lists everything the webservice answers.
func (r *Robot) allRoutes() []robotRoute {
	return []robotRoute{
		{"GET", "/", "GET /", r.root},
		{"GET", "/server", "GET /server", r.listServers},
		{"GET", "/server/{n}", "GET /server", r.withServer(r.getServer)},
		{"POST", "/server/{n}", "POST /server", r.withServer(r.renameServer)},
		{"GET", "/server/{n}/cancellation", "GET /server", r.withServer(r.getCancellation)},

		{"GET", "/boot/{n}", "/boot", r.withServer(r.getBoot)},
		{"GET", "/boot/{n}/rescue", "/boot", r.withServer(r.getRescue)},
		{"POST", "/boot/{n}/rescue", "/boot", r.withServer(r.activateRescue)},
		{"DELETE", "/boot/{n}/rescue", "/boot", r.withServer(r.deactivateRescue)},
		{"GET", "/boot/{n}/rescue/last", "/boot", r.withServer(r.lastRescue)},
		{"GET", "/boot/{n}/linux", "/boot", r.withServer(r.getLinux)},

		{"GET", "/reset", "GET /reset", r.listResets},
		{"GET", "/reset/{n}", "GET /reset", r.withServer(r.getReset)},
		{"POST", "/reset/{n}", "POST /reset", r.withServer(r.reset)},
		{"GET", "/wol/{n}", "GET /wol", r.withServer(r.getWake)},
		{"POST", "/wol/{n}", "POST /wol", r.withServer(r.wake)},

		{"GET", "/key", "GET /key", r.listKeys},
		{"POST", "/key", "POST /key", r.addKey},
		{"GET", "/key/{fp}", "GET /key", r.withKey(r.getKey)},
		{"POST", "/key/{fp}", "POST /key", r.withKey(r.renameKey)},
		{"DELETE", "/key/{fp}", "DELETE /key", r.withKey(r.deleteKey)},

		{"GET", "/vswitch", "GET /vswitch", r.listVSwitches},
		{"POST", "/vswitch", "POST /vswitch", r.addVSwitch},
		{"GET", "/vswitch/{id}", "GET /vswitch", r.withVSwitch(r.getVSwitch)},
		{"POST", "/vswitch/{id}", "POST /vswitch", r.withVSwitch(r.changeVSwitch)},
		{"DELETE", "/vswitch/{id}", "DELETE /vswitch", r.withVSwitch(r.cancelVSwitch)},
		{"POST", "/vswitch/{id}/server", "POST /vswitch", r.withVSwitch(r.addMembers)},
		{"DELETE", "/vswitch/{id}/server", "DELETE /vswitch", r.withVSwitch(r.removeMembers)},

		{"GET", "/ip", "/ip", r.listIPs},
		{"GET", "/ip/{ip}", "/ip", r.getIP},
		{"GET", "/subnet", "/subnet", r.listSubnets},
		{"GET", "/subnet/{net}", "/subnet", r.getSubnet},
		{"GET", "/rdns", "/rdns", r.listPointers},
		{"GET", "/rdns/{ip}", "/rdns", r.withAddress(r.getPointer)},
		{"PUT", "/rdns/{ip}", "/rdns", r.withAddress(r.createPointer)},
		{"POST", "/rdns/{ip}", "/rdns", r.withAddress(r.setPointer)},
		{"DELETE", "/rdns/{ip}", "/rdns", r.withAddress(r.deletePointer)},

		{"GET", "/firewall/template", "/firewall", r.noList("/firewall/template")},
		{"GET", "/firewall/{n}", "/firewall", r.withServer(r.getFirewall)},
		{"POST", "/firewall/{n}", "/firewall", r.withServer(r.setFirewall)},
		{"DELETE", "/firewall/{n}", "/firewall", r.withServer(r.clearFirewall)},

		{"GET", "/failover", "GET /failover", r.noList("/failover")},
		{"GET", "/failover/{ip}", "GET /failover", r.noFailover},
		{"POST", "/failover/{ip}", "POST /failover", r.noFailover},
		{"DELETE", "/failover/{ip}", "DELETE /failover", r.noFailover},
		{"POST", "/traffic", "/traffic", r.traffic},

		{"GET", "/order/server/product", "/order", r.noOrdering},
		{"GET", "/order/server/product/{id}", "/order", r.noOrdering},
		{"GET", "/order/server_market/product", "/order", r.noOrdering},
		{"GET", "/order/server_market/product/{id}", "/order", r.noOrdering},
		{"GET", "/order/server/transaction", "/order", r.noOrdering},
		{"GET", "/order/server/transaction/{id}", "/order", r.noOrdering},
		{"POST", "/order/server/transaction", "/order", r.noOrdering},
		{"GET", "/order/server_market/transaction", "/order", r.noOrdering},
		{"GET", "/order/server_market/transaction/{id}", "/order", r.noOrdering},
		{"POST", "/order/server_market/transaction", "/order", r.noOrdering},
	}
}
