package hetzner

// cloudRoute is one endpoint below /v1.
type cloudRoute struct {
	method, path string
	handle       func(*cloudCall) answer
}

// allRoutes lists everything the API answers. Routes with fixed parts stand before those with variables.
func (cl *Cloud) allRoutes() []cloudRoute {
	routes := cl.serverRoutes()
	for _, s := range shelves() {
		routes = append(routes, []cloudRoute{
			{"GET", "/" + s.plural, cl.listThings(s)},
			{"POST", "/" + s.plural, cl.createThing(s)},
			{"GET", "/" + s.plural + "/{id}", cl.getThing(s)},
			{"PUT", "/" + s.plural + "/{id}", cl.updateThing(s)},
			{"DELETE", "/" + s.plural + "/{id}", cl.deleteThing(s)},
		}...)
	}
	for plural, items := range map[string]func() []item{
		"locations": cl.locationItems, "server_types": cl.typeItems,
		"images": cl.imageItems, "isos": cl.isoItems,
	} {
		routes = append(routes,
			cloudRoute{"GET", "/" + plural, listOf(plural, items)},
			cloudRoute{"GET", "/" + plural + "/{id}", oneOf(plural[:len(plural)-1], items)})
	}
	for plural, what := range map[string]string{
		"volumes": "volume", "floating_ips": "floating ip", "load_balancers": "load balancer",
		"load_balancer_types": "load balancer type", "certificates": "certificate",
	} {
		routes = append(routes,
			cloudRoute{"GET", "/" + plural, emptyList(plural)},
			cloudRoute{"GET", "/" + plural + "/{id}", absent(what)})
	}
	return append(routes,
		cloudRoute{"GET", "/primary_ips", cl.listPrimaryIPs},
		cloudRoute{"GET", "/primary_ips/{id}", cl.getPrimaryIP},
		cloudRoute{"GET", "/actions", cl.listActions},
		cloudRoute{"GET", "/actions/{id}", cl.getAction},
		cloudRoute{"GET", "/pricing", cl.pricing},
		cloudRoute{"GET", "/datacenters", gone},
		cloudRoute{"GET", "/datacenters/{id}", gone},
	)
}

func (cl *Cloud) serverRoutes() []cloudRoute {
	const act = "/servers/{id}/actions/"
	return []cloudRoute{
		{"GET", "/servers", cl.listServers},
		{"POST", "/servers", cl.createServer},
		{"GET", "/servers/actions", cl.listKindActions("server")},
		{"GET", "/servers/{id}", cl.withServer(cl.getServer)},
		{"PUT", "/servers/{id}", cl.withServer(cl.updateServer)},
		{"DELETE", "/servers/{id}", cl.withServer(cl.deleteServer)},
		{"GET", "/servers/{id}/actions", cl.withServer(cl.listServerActions)},
		{"GET", act + "{action}", cl.getAction},
		{"POST", act + "poweron", cl.powerOn()},
		{"POST", act + "poweroff", cl.powerOff()},
		{"POST", act + "reset", cl.reset()},
		{"POST", act + "reboot", cl.reboot()},
		{"POST", act + "shutdown", cl.shutdown()},
		{"POST", act + "enable_rescue", cl.on(cl.enableRescue)},
		{"POST", act + "disable_rescue", cl.disableRescue()},
		{"POST", act + "reset_password", cl.on(cl.resetPassword)},
		{"POST", act + "request_console", cl.on(cl.requestConsole)},
		{"POST", act + "change_protection", cl.on(cl.changeProtection)},
		{"POST", act + "rebuild", cl.on(cl.rebuild)},
		{"POST", act + "attach_iso", cl.on(cl.attachISO)},
		{"POST", act + "detach_iso", cl.on(cl.detachISO)},
		{"POST", act + "attach_to_network", cl.on(cl.attachToNetwork)},
		{"POST", act + "detach_from_network", cl.on(cl.detachFromNetwork)},
	}
}
