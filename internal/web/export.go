package web

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// sheet is the table of a page for other programs: all its rows under the page's filter, not only those of one page.
type sheet struct {
	name    string // of the file, without its ending
	columns []string
	rows    [][]string // each as long as columns
}

// exporting says whether a request wants the page's sheet, and in which format. A loader then reads all rows.
func exporting(r *http.Request) string { return r.URL.Query().Get("export") }

// exportAddress is where the sheet of the page at address is.
func exportAddress(address, format string) string {
	path, query, _ := strings.Cut(address, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		q = url.Values{}
	}
	q.Del("page")
	q.Set("export", format)
	return path + "?" + q.Encode()
}

// export answers with the page's sheet as CSV or JSON.
func (s *site) export(w http.ResponseWriter, v view, format string) error {
	if v.sheet == nil {
		return fleet.Errorf(fleet.NotFound, "page %s has no table to export", v.address)
	}
	sheet, err := v.sheet()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	kind := "text/csv; charset=utf-8; header=present"
	switch format {
	case "csv":
		c := csv.NewWriter(&out)
		if err := c.WriteAll(append([][]string{sheet.columns}, sheet.rows...)); err != nil {
			return err
		}
	case "json":
		kind = "application/json"
		if err := sheet.json(&out); err != nil {
			return err
		}
	default:
		return fleet.Errorf(fleet.Invalid, "tables are exported as csv or json, not as %s", format)
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+sheet.name+"."+format+`"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes()) // whoever is gone needs no answer
	return nil
}

// json writes the rows as objects, in the order of the columns.
func (s sheet) json(out *bytes.Buffer) error {
	out.WriteString("[")
	for i, row := range s.rows {
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n  {")
		for j, name := range s.columns {
			if j > 0 {
				out.WriteString(", ")
			}
			pair, err := json.Marshal([]string{name, row[j]})
			if err != nil {
				return err
			}
			out.WriteString(strings.Replace(strings.Trim(string(pair), "[]"), `","`, `": "`, 1))
		}
		out.WriteString("}")
	}
	out.WriteString("\n]\n")
	return nil
}
