package web

// configLine is a line of a machine config, and who set it.
type configLine struct {
	Number int
	Text   string
	By     string // for people
	Href   string // where what set it is changed; "" if nowhere
	Own    bool   // marked
}

// begins says whether it is the first of lines that follow one another and are of one source.
func (l configLine) begins(before []configLine) bool {
	if len(before) == 0 {
		return true
	}
	last := before[len(before)-1]
	return last.By != l.By || last.Number != l.Number-1
}
