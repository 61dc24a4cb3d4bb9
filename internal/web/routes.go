package web

import "net/http"

// Routes adds the pages to mux: everything that no other surface answers.
func Routes(mux *http.ServeMux, p Parts) {
	s := newSite(p)
	known := http.NewServeMux()
	for _, a := range s.areas() {
		for path, load := range a.pages {
			known.HandleFunc("GET "+path, s.serve(s.page(load)))
			known.HandleFunc("GET "+livePrefix+path, s.serve(s.live(load)))
		}
		for route, h := range a.actions {
			known.HandleFunc(route, s.serve(h))
		}
	}
	mux.Handle("/", p.Access.Require(known, s.refuse))
	for route, h := range s.open() {
		mux.HandleFunc(route, s.serve(h))
	}
}

// area is a set of pages that belong together: addresses that can be looked at, and what can be done there.
type area struct {
	pages   map[string]loader
	actions map[string]handler
}

func (s *site) areas() []area {
	return []area{
		{s.pages(), s.actions()}, s.serversArea(), s.searchArea(), s.wizardArea(), s.serverArea(), s.configsArea(), s.galleryArea(), s.clusterArea(), s.settingsArea(),
	}
}

// pages are what can be looked at. Each has its stream of changes under /live.
func (s *site) pages() map[string]loader {
	return map[string]loader{
		"/{$}":             s.overview,
		"/servers":         s.servers,
		"/clusters":        s.clusters,
		"/clusters/{ref}":  s.cluster,
		"/accounts":        s.accounts,
		"/operations":      s.operations,
		"/operations/{id}": s.operation,
		"/events":          s.events,
	}
}

// actions are what can be done, and what is handed out.
func (s *site) actions() map[string]handler {
	return map[string]handler{
		"POST /clusters":                   s.createCluster,
		"POST /clusters/{ref}/bootstrap":   s.bootstrapCluster,
		"POST /clusters/{ref}/talosconfig": s.talosconfig,
		"POST /clusters/{ref}/kubeconfig":  s.kubeconfig,
		"POST /clusters/{ref}/delete":      s.deleteCluster,

		"POST /accounts":              s.addAccount,
		"POST /accounts/{ref}/check":  s.checkAccount,
		"POST /accounts/{ref}/sync":   s.syncAccount,
		"POST /accounts/{ref}/remove": s.removeAccount,

		"POST /operations/{id}/cancel": s.cancelOperation,
		"POST /operations/{id}/retry":  s.retryOperation,
		"POST /operations/{id}/skip":   s.skipStep,
		"POST /operations/{id}/answer": s.answerOperation,
		"GET /operations/{id}/log.txt": s.downloadLog,

		"POST /logout": s.logout,
		"/":            s.noPage,
	}
}

// open are the only routes for people who are not known.
func (s *site) open() map[string]handler {
	return map[string]handler{
		"GET /login":         s.loginPage,
		"POST /login":        s.login,
		"POST /theme":        s.setTheme,
		"GET /assets/{file}": s.asset,
		"GET /favicon.ico":   s.favicon,
	}
}
