package fleet

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest lists those of the known words which somebody may have meant who wrote another, nearest first, three at
// most: words that differ in a few letters, and longer ones that contain what was written.
func Nearest(word string, known []string) []string {
	type near struct {
		word     string
		distance int
	}
	var all []near
	lower := strings.ToLower(word)
	for _, k := range known {
		d := distance(lower, strings.ToLower(k))
		switch {
		case k == word:
		case d <= max(1, len(word)/3):
			all = append(all, near{k, d})
		case len(word) >= 3 && strings.Contains(strings.ToLower(k), lower):
			all = append(all, near{k, len(word) + d})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var words []string
	for _, n := range all[:min(len(all), 3)] {
		if all[0].distance < len(word) && n.distance < len(word) && n.distance > all[0].distance+1 {
			continue // nobody means it who is so much nearer to another
		}
		words = append(words, n.word)
	}
	return words
}

// distance is how many letters have to be added, taken away, replaced or swapped with their neighbour.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, replaced)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
