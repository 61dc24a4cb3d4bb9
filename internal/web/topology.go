package web

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// topology is a cluster as a drawing: its endpoint above, and below a column for each site with the control planes first.
// All lengths are in pixels. The table of nodes beside it says the same, and more.
type topology struct {
	Width, Height int
	Endpoint      drawnEndpoint
	Lines         []string // paths from the endpoint to whoever answers there
	Sites         []drawnSite
	Nodes         []drawnNode
}

type drawnEndpoint struct {
	X, Y, W, H int
	Address    string // without https://
	What       string // what it is, as far as its form tells
}

type drawnSite struct {
	X, Y, W, H int
	Name       string
}

type drawnNode struct {
	X, Y, W, H   int
	Href         string
	Name, Full   string // Full where Name was cut
	Words        string // state and role
	Tone         tone
	ControlPlane bool
}

// Lengths of the drawing.
const (
	tileWidth, tileHeight = 220, 46
	tileGap               = 8
	sitePadding           = 8
	siteTitle             = 28
	siteGap               = 16
	letterWidth           = 8 // of the monospace
	endpointHeight        = 46
	belowEndpoint         = 44
	margin                = 1  // so that no edge is cut
	workersDrawn          = 8  // of one site; what is well and more is only counted
	nameLength            = 23 // letters that fit a tile
	wordsLength           = 30 // smaller ones
	addressLength         = 40
)

// topologyOf draws a cluster.
func topologyOf(c fleet.Cluster, rows []serverRow, addresses map[string][]string) topology {
	sites := sitesOf(rows)
	columns := siteGap * max(0, len(sites)-1)
	siteWidth := tileWidth + 2*sitePadding
	columns += siteWidth * len(sites)
	t := topology{Endpoint: drawnEndpoint{Address: cut(strings.TrimPrefix(c.Endpoint, "https://"), addressLength), H: endpointHeight}}
	t.Endpoint.W = max(siteWidth, utf8.RuneCountInString(t.Endpoint.Address)*letterWidth+2*sitePadding)
	t.Width = max(columns, t.Endpoint.W) + 2*margin
	t.Endpoint.X, t.Endpoint.Y = margin, margin // at the left, where a phone begins
	owner := endpointOwner(c.Endpoint, rows, addresses)
	t.Endpoint.What = endpointKind(c.Endpoint, owner)
	x, top := margin, margin+endpointHeight
	if len(sites) > 0 {
		top += belowEndpoint
	}
	for _, s := range sites {
		t.site(c.ID, s, x, top, siteWidth)
		x += siteWidth + siteGap
	}
	t.Height = top
	for _, s := range t.Sites {
		t.Height = max(t.Height, s.Y+s.H)
	}
	t.Height += margin
	t.lines(owner)
	return t
}

// siteNodes is what is drawn in one column.
type siteNodes struct {
	name            string
	planes, workers []serverRow
}

// noSite is the site of servers whose location nobody knows.
const noSite = "Elsewhere"

// siteOf is the site of a data centre: FSN1-DC8 and fsn1 are both FSN1.
func siteOf(location string) string {
	name, _, _ := strings.Cut(strings.ToUpper(location), "-")
	return cmp.Or(name, noSite)
}

// sitesOf groups nodes by site. Those with control planes come first.
func sitesOf(rows []serverRow) []siteNodes {
	var all []siteNodes
	for _, row := range rows {
		name := siteOf(row.Location)
		i := slices.IndexFunc(all, func(s siteNodes) bool { return s.name == name })
		if i < 0 {
			i, all = len(all), append(all, siteNodes{name: name})
		}
		if row.Role == fleet.ControlPlane {
			all[i].planes = append(all[i].planes, row)
		} else {
			all[i].workers = append(all[i].workers, row)
		}
	}
	slices.SortFunc(all, func(a, b siteNodes) int {
		return cmp.Or(
			cmp.Compare(min(len(b.planes), 1), min(len(a.planes), 1)),
			cmp.Compare(strings.Count(a.name, noSite), strings.Count(b.name, noSite)), cmp.Compare(a.name, b.name),
		)
	})
	return all
}

// site draws one column.
func (t *topology) site(clusterID string, s siteNodes, x, top, width int) {
	y := top + siteTitle
	add := func(n drawnNode) {
		n.X, n.Y, n.W, n.H = x+sitePadding, y, tileWidth, tileHeight
		t.Nodes = append(t.Nodes, n)
		y += tileHeight + tileGap
	}
	for _, row := range s.planes {
		add(tileOf(row))
	}
	if len(s.planes) > 0 && len(s.workers) > 0 {
		y += tileGap
	}
	workers, more := s.workers, []serverRow(nil)
	if len(workers) > workersDrawn {
		workers = slices.Clone(workers)
		slices.SortStableFunc(workers, func(a, b serverRow) int { return cmp.Compare(urgency(b.Status.Tone), urgency(a.Status.Tone)) })
		workers, more = workers[:workersDrawn-1], workers[workersDrawn-1:]
	}
	for _, row := range workers {
		add(tileOf(row))
	}
	if len(more) > 0 {
		add(moreOf(clusterID, more))
	}
	t.Sites = append(t.Sites, drawnSite{X: x, Y: top, W: width, H: y - tileGap + sitePadding - top, Name: s.name + " · " + count(len(s.planes)+len(s.workers), "server")})
}

func tileOf(row serverRow) drawnNode {
	n := drawnNode{Href: "/servers/" + row.ID, Full: cmp.Or(row.Hostname, row.Name), Tone: row.Status.Tone, ControlPlane: row.Role == fleet.ControlPlane}
	n.Name = cut(n.Full, nameLength)
	n.Words = cut(row.Status.Word+", "+strings.ToLower(roleTitle(row.Role)), wordsLength)
	return n
}

// moreOf counts workers for which there is no room.
func moreOf(clusterID string, rows []serverRow) drawnNode {
	worst := slices.MaxFunc(rows, func(a, b serverRow) int { return cmp.Compare(urgency(a.Status.Tone), urgency(b.Status.Tone)) })
	n := drawnNode{Href: serverFilter{Cluster: clusterID, Role: string(fleet.Worker)}.address(), Name: strconv.Itoa(len(rows)) + " more workers", Tone: worst.Status.Tone}
	same := 0
	for _, row := range rows {
		if row.Status.Word == worst.Status.Word {
			same++
		}
	}
	n.Full, n.Words = n.Name, strconv.Itoa(same)+" "+worst.Status.Word
	return n
}

// urgency orders tones by how much they want to be seen.
func urgency(t tone) int { return slices.Index([]tone{"", ok, working, attention, broken}, t) }

// lines lead from the endpoint to each site with control planes, or to the one node whose address the endpoint is.
func (t *topology) lines(owner string) {
	from := t.Endpoint.X + (tileWidth+2*sitePadding)/2 // above the first site
	bottom, bus := t.Endpoint.Y+t.Endpoint.H, t.Endpoint.Y+t.Endpoint.H+belowEndpoint/2
	for _, s := range t.Sites {
		var answers bool
		for _, n := range t.Nodes {
			if n.X > s.X && n.X < s.X+s.W && n.ControlPlane && (owner == "" || n.Href == "/servers/"+owner) {
				answers = true
			}
		}
		if answers {
			to := s.X + s.W/2
			t.Lines = append(t.Lines, "M"+strconv.Itoa(from)+" "+strconv.Itoa(bottom)+"V"+strconv.Itoa(bus)+"H"+strconv.Itoa(to)+"V"+strconv.Itoa(s.Y))
		}
	}
}

// endpointOwner is the id of the server whose address the endpoint is, "" if it is nobody's.
func endpointOwner(endpoint string, rows []serverRow, addresses map[string][]string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	ip := net.ParseIP(u.Hostname())
	for _, row := range rows {
		for _, a := range addresses[row.ID] {
			if ip != nil && ip.Equal(net.ParseIP(a)) {
				return row.ID
			}
		}
	}
	return ""
}

// endpointKind says what an endpoint is, as far as its form tells.
func endpointKind(endpoint, owner string) string {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return ""
	case owner != "":
		return "address of one server"
	case net.ParseIP(u.Hostname()) != nil:
		return "address of no server here"
	}
	return "name in DNS"
}

// cut takes out the middle of a name that has no room: names of nodes often differ at their ends only.
func cut(text string, length int) string {
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	all := []rune(text)
	head := length * 3 / 5
	return string(all[:head]) + "…" + string(all[len(all)-(length-head-1):])
}
