package manage

import "strings"

// step leads from one text to another: a line of the old one (a < 0: none), of the new one (b < 0: none), or both.
type step struct{ a, b int }

// steps gives the shortest way from the lines of a to those of b, or for texts of thousands of lines that have little in
// common, a short one.
func steps(a, b []string) []step {
	var out []step
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		out = append(out, step{start, start})
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	out = append(out, middle(a[start:len(a)-end], b[start:len(b)-end], start)...)
	for i := end; i > 0; i-- {
		out = append(out, step{len(a) - i, len(b) - i})
	}
	return out
}

// middle is steps for what differs at both ends; offset is added to all lines.
func middle(a, b []string, offset int) []step {
	const most = 4 << 20 // cells of the table
	var out []step
	i, j := 0, 0
	if (len(a)+1)*(len(b)+1) <= most {
		common := commonLines(a, b)
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				out = append(out, step{i + offset, j + offset})
				i, j = i+1, j+1
			case common[i+1][j] >= common[i][j+1]:
				out = append(out, step{i + offset, -1})
				i++
			default:
				out = append(out, step{-1, j + offset})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		out = append(out, step{i + offset, -1})
	}
	for ; j < len(b); j++ {
		out = append(out, step{-1, j + offset})
	}
	return out
}

// commonLines says how many lines the rests of two texts have in common, in order.
func commonLines(a, b []string) [][]int32 {
	table := make([][]int32, len(a)+1)
	for i := range table {
		table[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}

// linesOf splits a text; the end of the last line makes no line of its own.
func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
