package web

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// sideLine is a line of two texts side by side: of both, or of one beside nothing, or a pair of which one became the
// other.
type sideLine struct {
	Left, Right     string
	LeftNo, RightNo int // from 1; 0: there is none on this side
	Same            bool
	Skipped         int // this many lines of both, which are the same, stand here and are not shown
}

// mostSideCells is how many pairs of lines are compared to find what stayed; beyond, all between is other.
const mostSideCells = 1 << 20

// sideBySide lays two texts side by side, equal lines in one row.
func sideBySide(old, new string) []sideLine {
	a, b := linesOfText(old), linesOfText(new)
	var out []sideLine
	i, j := 0, 0
	for _, p := range append(commonLines(a, b), [2]int{len(a), len(b)}) {
		for i < p[0] || j < p[1] {
			var l sideLine
			if i < p[0] {
				l.Left, l.LeftNo = a[i], i+1
				i++
			}
			if j < p[1] {
				l.Right, l.RightNo = b[j], j+1
				j++
			}
			out = append(out, l)
		}
		if i < len(a) && j < len(b) {
			out = append(out, sideLine{Left: a[i], Right: b[j], LeftNo: i + 1, RightNo: j + 1, Same: true})
			i, j = i+1, j+1
		}
	}
	return out
}

// folded leaves out of long stretches that are the same all but their ends.
func folded(lines []sideLine) (out []sideLine) {
	const around = 3
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines) && lines[end].Same {
			end++
		}
		from, to := i+around, end-around
		if i == 0 {
			from = 0
		}
		if end == len(lines) {
			to = end
		}
		if to-from > 1 {
			out = append(append(out, lines[i:from]...), sideLine{Skipped: to - from})
			i = to
		}
		end = min(end+1, len(lines))
		out = append(out, lines[i:end]...)
		i = end
	}
	return out
}

// patchSides is a patch before and after a change.
type patchSides struct {
	Name  string
	Lines []sideLine
}

// changedPatches lays the patches that a change changes side by side; renamed is the name before of the one that is
// called name now.
func changedPatches(before, after fleet.Contents, renamed, name string) (all []patchSides) {
	add := func(name, old, new string) {
		if old != new {
			all = append(all, patchSides{name, folded(sideBySide(old, new))})
		}
	}
	for _, p := range after.Patches {
		was := p.Name
		if was == name {
			was = renamed
		}
		add(p.Name, before.Text(was), p.Text)
	}
	for _, p := range before.Patches {
		if after.Patch(p.Name) < 0 && p.Name != renamed {
			add(p.Name, p.Text, "")
		}
	}
	return all
}

// commonLines are the places of the longest run of lines that both have in this order.
func commonLines(a, b []string) (pairs [][2]int) {
	if len(a)*len(b) > mostSideCells {
		return nil
	}
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if table[i][j] = max(table[i+1][j], table[i][j+1]); a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case table[i+1][j] >= table[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}

func linesOfText(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}
