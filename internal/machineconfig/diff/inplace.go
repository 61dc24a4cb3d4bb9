package diff

import "regexp"

var (
	keyBegins = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----`)
	keyEnds   = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY-----`)
)

// Lines takes the secrets out of the lines of a text and leaves every line in its place: comments stay, and so do the
// numbers of the lines.
func (r *Redactor) Lines(lines []string) []string {
	out := make([]string, len(lines))
	within := false
	for i, line := range lines {
		begins := keyBegins.MatchString(line)
		if out[i] = r.String(line); within || begins && !keyEnds.MatchString(line) {
			out[i] = Secret
		}
		within = (within || begins) && !keyEnds.MatchString(line)
	}
	return out
}
