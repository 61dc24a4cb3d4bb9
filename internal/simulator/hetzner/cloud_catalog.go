package hetzner

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// catalog is what Hetzner sells; the same for everybody.
type catalog struct {
	locations []location
	types     []serverType
	images    []image
	isos      []iso
}

type location struct {
	ID          int64   `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Country     string  `json:"country"`
	City        string  `json:"city"`
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
	NetworkZone string  `json:"network_zone"`
}

// serverType: cores and disk are whole numbers, memory is not.
type serverType struct {
	ID           int64          `json:"id"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	Category     string         `json:"category"`
	Cores        int            `json:"cores"`
	Memory       float64        `json:"memory"`
	Disk         int            `json:"disk"`
	StorageType  string         `json:"storage_type"`
	CPUType      string         `json:"cpu_type"`
	Architecture string         `json:"architecture"`
	Prices       []typePrice    `json:"prices"`
	Deprecated   bool           `json:"deprecated"`
	Deprecation  *deprecation   `json:"deprecation"`
	Locations    []typeLocation `json:"locations"`
}

type typeLocation struct {
	ID          int64        `json:"id"`
	Name        string       `json:"name"`
	Recommended bool         `json:"recommended"`
	Available   bool         `json:"available"`
	Deprecation *deprecation `json:"deprecation"`
}

type deprecation struct {
	Announced        stamp `json:"announced"`
	UnavailableAfter stamp `json:"unavailable_after"`
}

// price is written in strings.
type price struct {
	Net   string `json:"net"`
	Gross string `json:"gross"`
}

type typePrice struct {
	Location          string `json:"location"`
	PriceHourly       price  `json:"price_hourly"`
	PriceMonthly      price  `json:"price_monthly"`
	IncludedTraffic   int64  `json:"included_traffic"`
	PricePerTBTraffic price  `json:"price_per_tb_traffic"`
}

type image struct {
	ID           int64             `json:"id"`
	Type         string            `json:"type"`
	Status       string            `json:"status"`
	Name         *string           `json:"name"`
	Description  string            `json:"description"`
	ImageSize    *float64          `json:"image_size"`
	DiskSize     float64           `json:"disk_size"`
	Created      stamp             `json:"created"`
	CreatedFrom  *struct{}         `json:"created_from"`
	BoundTo      *int64            `json:"bound_to"`
	OSFlavor     string            `json:"os_flavor"`
	OSVersion    *string           `json:"os_version"`
	Architecture string            `json:"architecture"`
	RapidDeploy  bool              `json:"rapid_deploy"`
	Protection   map[string]bool   `json:"protection"`
	Deprecated   *stamp            `json:"deprecated"`
	Deleted      *stamp            `json:"deleted"`
	Labels       map[string]string `json:"labels"`
}

type iso struct {
	ID           int64        `json:"id"`
	Name         string       `json:"name"`
	Description  string       `json:"description"`
	Type         string       `json:"type"`
	Architecture *string      `json:"architecture"`
	Deprecation  *deprecation `json:"deprecation"`
}

func newCatalog(now time.Time) catalog {
	c := catalog{locations: []location{
		{1, "fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"},
		{2, "nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"},
		{3, "hel1", "Helsinki DC Park 1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"},
		{4, "ash", "Ashburn, VA", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"},
		{5, "hil", "Hillsboro, OR", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"},
		{6, "sin", "Singapore", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast"},
	}}
	for _, t := range []struct {
		id          int64
		name, cpu   string
		cores, disk int
		memory      float64
		cents       int
	}{
		{114, "cx23", "shared", 2, 40, 4, 349},
		{115, "cx33", "shared", 4, 80, 8, 549},
		{116, "cx43", "shared", 8, 160, 16, 949},
		{117, "cx53", "shared", 16, 320, 32, 1749},
		{45, "cax11", "shared", 2, 40, 4, 379},
		{93, "cax21", "shared", 4, 80, 8, 649},
		{94, "cax31", "shared", 8, 160, 16, 1249},
		{95, "cax41", "shared", 16, 320, 32, 2449},
		{96, "ccx13", "dedicated", 2, 80, 8, 1249},
		{97, "ccx23", "dedicated", 4, 160, 16, 2449},
		{98, "ccx33", "dedicated", 8, 240, 32, 4849},
	} {
		c.types = append(c.types, c.newType(t.id, t.name, t.cpu, t.cores, t.disk, t.memory, t.cents))
	}
	for i, o := range []struct{ flavor, version string }{{"ubuntu", "24.04"}, {"debian", "12"}, {"debian", "13"}, {"rocky", "9"}} {
		for j, arch := range []string{"x86", "arm"} {
			c.images = append(c.images, image{
				ID: 161547269 + int64(2*i+j), Type: "system", Status: "available", Name: new(o.flavor + "-" + o.version),
				Description: o.flavor + " " + o.version, DiskSize: 5, Created: stamp(now), OSFlavor: o.flavor, OSVersion: new(o.version),
				Architecture: arch, RapidDeploy: true, Protection: map[string]bool{"delete": false}, Labels: map[string]string{},
			})
		}
	}
	c.isos = []iso{ // Hetzner publishes Talos since 2025-04-23
		{122629, "talos-v1.12.4-arm64.iso", "Talos Linux 1.12.4 arm64", "public", new("arm"), nil},
		{125127, "talos-v1.12.4-amd64.iso", "Talos Linux 1.12.4 amd64", "public", new("x86"), nil},
	}
	return c
}

func (c *catalog) newType(id int64, name, cpu string, cores, disk int, memory float64, cents int) serverType {
	t := serverType{
		ID: id, Name: name, Description: name, Category: "Shared vCPU", Cores: cores, Memory: memory, Disk: disk,
		StorageType: "local", CPUType: cpu, Architecture: "x86", Prices: []typePrice{}, Locations: []typeLocation{},
	}
	if len(name) > 2 && name[:3] == "cax" {
		t.Architecture = "arm"
	}
	if cpu == "dedicated" {
		t.Category = "Dedicated vCPU"
	}
	for _, l := range c.locations {
		if l.NetworkZone != "eu-central" {
			continue
		}
		t.Locations = append(t.Locations, typeLocation{ID: l.ID, Name: l.Name, Recommended: l.ID == 1, Available: true})
		t.Prices = append(t.Prices, typePrice{l.Name, euros(float64(cents) / 624), euros(float64(cents)), 20 << 40, euros(100)})
	}
	return t
}

func euros(cents float64) price {
	return price{fmt.Sprintf("%.4f", cents/100), fmt.Sprintf("%.10f", cents*1.19/100)}
}

// typeOf finds the type of a machine; one that is not in the catalogue is described by the machine.
func (c *catalog) typeOf(m *world.Machine) serverType {
	if i := slices.IndexFunc(c.types, func(t serverType) bool { return t.Name == m.Product }); i >= 0 {
		return c.types[i]
	}
	disk := int64(0)
	if len(m.Disks) > 0 {
		disk = m.Disks[0].SizeBytes >> 30
	}
	t := c.newType(1, m.Product, "shared", m.Cores, int(disk), float64(m.MemoryBytes)/(1<<30), 0)
	t.Architecture = map[string]string{"amd64": "x86", "arm64": "arm"}[m.Arch]
	return t
}

// place finds a location by name, by its id in text (which hcloud-go sends), or by a data centre of it (fsn1-dc14);
// the first one otherwise.
func (c *catalog) place(name string) (location, bool) {
	for _, l := range c.locations {
		if l.Name == name || strconv.FormatInt(l.ID, 10) == name || len(name) > len(l.Name) && name[:len(l.Name)+1] == l.Name+"-" {
			return l, true
		}
	}
	return c.locations[0], name == ""
}

func show(v any) func() any { return func() any { return v } }

func (cl *Cloud) locationItems() []item {
	var all []item
	for _, l := range cl.catalog.locations {
		all = append(all, item{id: l.ID, name: l.Name, view: show(l)})
	}
	return all
}

func (cl *Cloud) typeItems() []item {
	var all []item
	for _, t := range cl.catalog.types {
		all = append(all, item{id: t.ID, name: t.Name, view: show(t)})
	}
	return all
}

func (cl *Cloud) imageItems() []item {
	var all []item
	for _, i := range cl.catalog.images {
		all = append(all, item{
			id: i.ID, name: *i.Name, labels: i.Labels, view: show(i),
			fields: map[string]string{"type": i.Type, "architecture": i.Architecture, "status": i.Status},
		})
	}
	return all
}

func (cl *Cloud) isoItems() []item {
	var all []item
	for _, i := range cl.catalog.isos {
		all = append(all, item{id: i.ID, name: i.Name, view: show(i), fields: map[string]string{"architecture": *i.Architecture, "type": i.Type}})
	}
	return all
}

// listOf and oneOf serve a part of the catalogue.
func listOf(plural string, items func() []item) func(*cloudCall) answer {
	return func(c *cloudCall) answer { return list(c, plural, items()) }
}

func oneOf(singular string, items func() []item) func(*cloudCall) answer {
	return func(c *cloudCall) answer {
		for _, i := range items() {
			if strconv.FormatInt(i.id, 10) == c.args[0] {
				return ok(map[string]any{singular: i.view()})
			}
		}
		return notFound(singular)
	}
}

// pricing repeats the prices of the server types, and some more.
func (cl *Cloud) pricing(*cloudCall) answer {
	types := []any{}
	for _, t := range cl.catalog.types {
		types = append(types, map[string]any{"id": t.ID, "name": t.Name, "prices": t.Prices})
	}
	zero := euros(0)
	return ok(wrap("pricing", map[string]any{
		"currency": "EUR", "vat_rate": "19.000000",
		"image": map[string]any{"price_per_gb_month": euros(1.1)}, "server_types": types, "load_balancer_types": []any{},
		"primary_ips": []any{}, "floating_ips": []any{}, "floating_ip": map[string]any{"price_monthly": euros(300)},
		"traffic": map[string]any{"price_per_tb": zero}, "volume": map[string]any{"price_per_gb_month": euros(4.4)},
		"server_backup": map[string]any{"percentage": "20.0000000000"},
	}))
}
