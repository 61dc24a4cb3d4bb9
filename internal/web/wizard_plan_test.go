package web

import (
	"fmt"
	"slices"
	"testing"

	"github.com/talos-manager/talos-manager/internal/operation"
)

// However many servers a plan is for, the table of what is lost leaves out none that loses data without a question.
func TestTheTableOfLossesHasAllThatLoseUnasked(t *testing.T) {
	var d wizardPlanData
	for i := range mostInstalls {
		row := planRow{}
		row.Server = fmt.Sprintf("server-%d", i)
		row.Loss.Unasked = i >= 20
		if i%3 == 0 {
			row.Problems = []operation.Problem{{}}
		}
		d.Rows = append(d.Rows, row)
	}
	if n := len(d.losing()); n != len(d.Rows) {
		t.Errorf("%d of %d servers", n, len(d.Rows))
	}
	if n := len(d.shown()); n != rowsShown {
		t.Errorf("the table of times has %d", n)
	}
	for i := range d.Rows {
		d.Rows[i].Loss.Unasked = i == mostInstalls-1
	}
	lost := d.losing()
	if len(lost) != firstRows+1 || !slices.ContainsFunc(lost, func(row planRow) bool { return row.Loss.Unasked }) {
		t.Errorf("%d servers", len(lost))
	}
}
