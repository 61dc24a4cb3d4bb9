package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/client"
)

// phases of an install, each with the step it begins with and the sign it is drawn with.
var phases = []struct {
	from, name string
	sign       rune
}{
	{"check the records", "to rescue", '░'},
	{"choose the disk", "image", '▒'},
	{"boot Talos", "boot", '▓'},
	{"check the node", "Kubernetes", '█'},
}

const (
	barWidth = 50
	rows     = 20
)

// timeline draws the installs on one axis of time, one row a server.
func timeline(operations []client.Operation, begun time.Time) string {
	var installs []client.Operation
	end := begun
	for _, op := range operations {
		if op.Kind == "server.install" {
			installs = append(installs, op)
		}
		if op.FinishedAt.After(end) {
			end = op.FinishedAt
		}
	}
	slices.SortFunc(installs, func(a, b client.Operation) int { return cmp.Compare(a.Subject(), b.Subject()) })
	width := 0
	for _, op := range installs {
		width = max(width, len(op.Subject()))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  0s%*s\n", width, "", barWidth-2, fmt.Sprintf("%.1fs", end.Sub(begun).Seconds()))
	for i, op := range installs {
		if i == rows {
			fmt.Fprintf(&b, "%-*s  … and %d more\n", width, "", len(installs)-rows)
			break
		}
		fmt.Fprintf(&b, "%-*s  %s  %5.1fs\n", width, op.Subject(), bar(op, begun, end), op.FinishedAt.Sub(op.CreatedAt).Seconds())
	}
	fmt.Fprintf(&b, "%-*s ", width, "")
	for _, p := range phases {
		fmt.Fprintf(&b, " %c %s ", p.sign, p.name)
	}
	return b.String() + "\n"
}

// bar draws one install.
func bar(op client.Operation, begun, end time.Time) string {
	cells := []rune(strings.Repeat(" ", barWidth))
	at := func(t time.Time) int {
		return min(barWidth, max(0, int(float64(barWidth)*float64(t.Sub(begun))/float64(end.Sub(begun)))))
	}
	sign := ' '
	for _, step := range op.Steps {
		for _, p := range phases {
			if p.from == step.Name {
				sign = p.sign
			}
		}
		if step.StartedAt.IsZero() {
			continue
		}
		until := step.FinishedAt
		if until.IsZero() {
			until = end
		}
		for i := at(step.StartedAt); i < at(until); i++ {
			cells[i] = sign
		}
	}
	return string(cells)
}
