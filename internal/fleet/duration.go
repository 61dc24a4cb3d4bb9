package fleet

import (
	"fmt"
	"time"
)

// InWords writes a duration for people: "48 s", "10 min", "1 h 30 min", "2 d"; two units at most, none that is zero.
func InWords(d time.Duration) string {
	d = max(0, d)
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units[:3] {
		next := units[i+1]
		if rounded := d.Round(next.size); rounded >= u.size {
			text := fmt.Sprintf("%d %s", rounded/u.size, u.name)
			if rest := rounded % u.size / next.size; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, next.name)
			}
			return text
		}
	}
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
}
