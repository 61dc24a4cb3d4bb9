package web

import (
	"cmp"
	"slices"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/store"
)

// fleetMap says where the servers of each cluster are: a row for each location, a column for each cluster.
type fleetMap struct {
	Clusters []option // the last is of the free ones, if there are some
	Rows     []mapRow
}

type mapRow struct {
	Location string
	Cells    []mapCell // one for each cluster
}

// mapCell are the servers of one cluster at one place.
type mapCell struct {
	Cluster, Location string
	Planes, Workers   int // both 0 for free ones
	Free              int
	Words             []mapWord // those that are not well
	Tiles             []tile    // the first of them, drawn
	More              int       // that are not drawn
}

// mapWord says how many are in a state that is worth a word.
type mapWord struct {
	State  fleet.State
	Tone   tone
	Number int
	Word   string
}

// tile is one server as a square: a control plane has a frame, a shape says its state.
type tile struct {
	Tone  tone // "" if nothing runs on it
	Plane bool
}

const (
	tilesShown  = 48 // in one cell
	tilesAcross = 12
	tileSize    = 14 // points, with the gap to the next
)

// height of the drawing of a cell.
func (c mapCell) height() int { return (len(c.Tiles) + tilesAcross - 1) / tilesAcross * tileSize }

func (c mapCell) width() int { return min(len(c.Tiles), tilesAcross) * tileSize }

// fleetMapOf draws the map. Servers that are missing are nowhere.
func fleetMapOf(servers []store.ServerBrief, clusters []fleet.Cluster) fleetMap {
	var m fleetMap
	column, used := map[string]int{}, map[string]bool{}
	for _, v := range servers {
		used[v.ClusterID] = used[v.ClusterID] || !v.Missing
	}
	for _, c := range clusters {
		if used[c.ID] {
			column[c.ID] = len(m.Clusters)
			m.Clusters = append(m.Clusters, option{c.ID, c.Name})
		}
	}
	if used[""] {
		column[""] = len(m.Clusters)
		m.Clusters = append(m.Clusters, option{unassigned, "Free"})
	}
	row := map[string]int{}
	for _, v := range servers {
		i, known := column[v.ClusterID]
		if v.Missing || !known {
			continue
		}
		place, there := row[v.Location]
		if !there {
			place = len(m.Rows)
			row[v.Location] = place
			m.Rows = append(m.Rows, m.newRow(v.Location))
		}
		m.Rows[place].Cells[i].add(v)
	}
	slices.SortFunc(m.Rows, func(a, b mapRow) int { return cmp.Compare(a.Location, b.Location) })
	for _, r := range m.Rows {
		for i := range r.Cells {
			r.Cells[i].settle()
		}
	}
	return m
}

func (m *fleetMap) newRow(location string) mapRow {
	r := mapRow{Location: location}
	for _, c := range m.Clusters {
		r.Cells = append(r.Cells, mapCell{Cluster: c.Value, Location: location})
	}
	return r
}

func (c *mapCell) add(v store.ServerBrief) {
	is := serverStatus(fleet.Server{State: v.State, Assignment: fleet.Assignment{ClusterID: v.ClusterID}}, nil)
	t := tile{Tone: is.Tone}
	switch {
	case v.ClusterID == "":
		c.Free++
		t.Tone = ""
	case v.Role == fleet.ControlPlane:
		c.Planes++
		t.Plane = true
	default:
		c.Workers++
	}
	c.Tiles = append(c.Tiles, t)
	if is.Tone == ok {
		return
	}
	i := slices.IndexFunc(c.Words, func(w mapWord) bool { return w.State == v.State })
	if i < 0 {
		i = len(c.Words)
		c.Words = append(c.Words, mapWord{State: v.State, Tone: is.Tone, Word: is.Word})
	}
	c.Words[i].Number++
}

// settle puts control planes first, then what is not well, and leaves out what does not fit.
func (c *mapCell) settle() {
	order := map[tone]int{broken: 0, attention: 1, working: 2, ok: 3, "": 4}
	slices.SortStableFunc(c.Tiles, func(a, b tile) int {
		if a.Plane != b.Plane {
			if a.Plane {
				return -1
			}
			return 1
		}
		return cmp.Compare(order[a.Tone], order[b.Tone])
	})
	if c.More = max(0, len(c.Tiles)-tilesShown); c.More > 0 {
		c.Tiles = c.Tiles[:tilesShown]
	}
	slices.SortFunc(c.Words, func(a, b mapWord) int {
		return cmp.Or(cmp.Compare(order[a.Tone], order[b.Tone]), cmp.Compare(a.Word, b.Word))
	})
}

// href is the table of just these servers.
func (c mapCell) href(role fleet.Role, state fleet.State) string {
	return serverFilter{Cluster: c.Cluster, Location: c.Location, Role: string(role), State: string(state)}.address()
}

// legend is a square and what it means.
type legend struct {
	Tile tile
	Word string
}

func mapLegends() []legend {
	return []legend{
		{tile{Tone: ok}, "Ready"},
		{tile{Tone: working}, "Under way"},
		{tile{Tone: attention}, "Not installed"},
		{tile{Tone: broken}, "Not Ready, or its install stopped"},
		{tile{}, "Free"},
		{tile{Tone: ok, Plane: true}, "With a frame: control plane"},
	}
}
