package web

import "github.com/talos-manager/talos-manager/internal/fleet"

func failureTitle(kind fleet.Kind) string {
	switch kind {
	case fleet.NotFound:
		return "Not found"
	case fleet.Conflict:
		return "Somebody was faster"
	case fleet.Unavailable:
		return "No answer"
	case fleet.Exhausted:
		return "Too much at once"
	case fleet.Internal:
		return "A fault of this program"
	}
	return "Not done"
}

func failureNext(kind fleet.Kind) string {
	switch kind {
	case fleet.NotFound:
		return "It may have been removed or renamed meanwhile."
	case fleet.Unavailable, fleet.Exhausted:
		return "Nothing was lost; try again in a moment."
	case fleet.Internal:
		return "The log of Talos Manager says more. Nothing is half done: try again."
	}
	return "Nothing was changed."
}
