package workflow

import (
	"encoding/json"
	"time"
)

// MemoValue is the name of the value in which the engine keeps how its operation stands.
const MemoValue = memoKey

// WaitingSince reads from that value since when the operation's step waits without a break; zero: it does not.
func WaitingSince(value []byte) time.Time {
	var m memo
	if len(value) == 0 || json.Unmarshal(value, &m) != nil {
		return time.Time{}
	}
	return m.Waiting
}
