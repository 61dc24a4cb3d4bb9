package web

// command is something that can be done on a page, as done by a shell.
type command struct {
	What string // as "Install Talos on it"
	CLI  string // arguments of talos-manager, quoted for a shell; "" where there is none
	API  string // method, path and body of the REST API, as `POST /api/v1/servers/ID/install {"wipe": true}`; "" where there is none
}
