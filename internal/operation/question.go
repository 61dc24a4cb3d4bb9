package operation

import (
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
)

// Question is what an operation asks about disks, taken apart for a form.
type Question struct {
	Intro string // its first sentence
	Disks []AskedDisk
	names []string // that the answer has to name
}

// AskedDisk is a disk that a question is about.
type AskedDisk struct {
	Name    string     // by which the answer calls it: its serial number, if it has one
	Disk    fleet.Disk // as the rescue system saw it; the zero value if it is not there any more
	Becomes []string   // what is on it, and what becomes of that
}

// ReadQuestion takes the question of a step that chooses disks apart. Any other question has no disks, and takes any
// answer.
func ReadQuestion(text string, f fleet.Facts) Question {
	intro, rest, found := strings.Cut(text, ":\n")
	lines := strings.Split(rest, "\n")
	answer, asks := strings.CutPrefix(lines[len(lines)-1], toGoOn)
	if !found || !asks {
		return Question{Intro: text}
	}
	q := Question{Intro: intro}
	left := " " + answer + " "
	for _, line := range lines[:len(lines)-1] {
		name, becomes, split := strings.Cut(strings.TrimPrefix(line, "disk "), ": ")
		if !split {
			return Question{Intro: text}
		}
		name = strings.TrimSuffix(name, allLost)
		if !strings.Contains(left, " "+name+" ") {
			return Question{Intro: text}
		}
		q.names = append(q.names, name)
		q.Disks = append(q.Disks, AskedDisk{Name: name, Disk: diskCalled(f, name), Becomes: strings.Split(strings.TrimSuffix(becomes, "."), "; ")})
	}
	return q
}

func diskCalled(f fleet.Facts, name string) fleet.Disk {
	for _, d := range f.Disks {
		if rescue.AnswerName(d) == name {
			return d
		}
	}
	return fleet.Disk{}
}

// Lost says whether everything on the disk is lost, and not only something hidden.
func (d AskedDisk) Lost(question string) bool {
	return strings.Contains(question, "\ndisk "+d.Name+allLost+": ")
}

// Answer is what goes on: the names of all disks.
func (q Question) Answer() string { return strings.Join(q.names, " ") }

// Accepts says whether the step goes on with this answer.
func (q Question) Accepts(answer string) bool {
	return len(q.names) == 0 || answer != "" && namesExactly(answer, q.names)
}
