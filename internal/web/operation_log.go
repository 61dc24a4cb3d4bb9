package web

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// logFilter is what of a log is shown, and how: it is in the page's address.
type logFilter struct {
	Text, Level, Step string
	Elapsed           bool // times since the first line, in place of the clock's
	NoWrap            bool
}

func logFilterOf(q url.Values) logFilter {
	return logFilter{Text: strings.TrimSpace(q.Get("log")), Level: q.Get("level"), Step: q.Get("step"), Elapsed: q.Get("times") == "elapsed", NoWrap: q.Get("wrap") == "no"}
}

func (f logFilter) query() string {
	q := url.Values{}
	for name, value := range map[string]string{"log": f.Text, "level": f.Level, "step": f.Step} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Elapsed {
		q.Set("times", "elapsed")
	}
	if f.NoWrap {
		q.Set("wrap", "no")
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// keeps says whether a line is shown. log.js knows the same rules.
func (f logFilter) keeps(l fleet.LogLine) bool {
	return (f.Level == "" || l.Level == f.Level || f.Level == "warn" && l.Level == "error") && (f.Step == "" || l.Step == f.Step) &&
		strings.Contains(strings.ToLower(l.Text), strings.ToLower(f.Text))
}

func (f logFilter) kept(lines []fleet.LogLine) int {
	n := 0
	for _, l := range lines {
		if f.keeps(l) {
			n++
		}
	}
	return n
}

func levelOptions() []option {
	return []option{{"", "All lines"}, {"warn", "Warnings and errors"}, {"error", "Errors"}}
}

// stepOptions are the steps that have lines.
func stepOptions(lines []fleet.LogLine) []option {
	all, seen := []option{{"", "All steps"}}, map[string]bool{"": true}
	for _, l := range lines {
		if !seen[l.Step] {
			seen[l.Step] = true
			all = append(all, option{l.Step, upper(l.Step)})
		}
	}
	return all
}

// logCount says how many lines are shown. log.js knows the same words.
func logCount(shown, all int) string {
	if shown == all {
		return count(all, "line")
	}
	return fmt.Sprintf("%d of %s", shown, count(all, "line"))
}

// elapsed is a time since a log's first line. log.js knows the same words.
func elapsed(d time.Duration) string {
	d = max(0, d.Truncate(time.Second))
	if d < time.Hour {
		return fmt.Sprintf("+%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("+%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}
