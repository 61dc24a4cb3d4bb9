package web

// serversArea is what is done in the table of servers, to one of them or to many.
func (s *site) serversArea() area {
	return area{
		pages: map[string]loader{
			"/rescue":          s.rescueMany,
			"/servers/assign":  s.assignMany,
			"/servers/vswitch": s.vswitchMany,
		},
		actions: map[string]handler{
			"POST /servers/sync":             s.syncServers,
			"POST /servers/columns":          s.chooseColumns,
			"POST /servers/{ref}/row/name":   s.renameRow,
			"POST /servers/{ref}/row/assign": s.assignRow,
			"POST /servers/{ref}/row/move":   s.moveRow,

			"GET /servers/install":  s.installMany,
			"POST /rescue":          s.doRescueMany,
			"POST /servers/assign":  s.doAssignMany,
			"POST /servers/vswitch": s.doVSwitchMany,

			"POST /guide/account": s.guideAccount,
			"POST /guide/cluster": s.guideCluster,
			"POST /guide/assign":  s.guideAssign,
		},
	}
}
