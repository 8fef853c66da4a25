package live

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
)

// Change is one message of the stream ALERTS.
type Change struct {
	// N orders the changes of an incident. It grows with each, and is never below the
	// service's clock in milliseconds: also where the stream has forgotten the one before.
	N int64 `json:"n"`
	alerting.Transition
}

// ParseChange reads a message of the stream. The error is Invalid.
func ParseChange(raw []byte) (Change, error) {
	var c Change
	if _, err := alerting.ParseIncident(raw); err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("read a change: %w", err)
	}
	return c, nil
}

// Over reports whether nothing is left of the incident.
func (c Change) Over() bool {
	return (c.State == alerting.Inactive || c.State == alerting.Resolved) && c.Machine.State == alerting.Inactive
}

// known is what an owner knows of an incident in the stream.
type known struct {
	n    int64
	seq  uint64 // in the stream; 0: not there
	data []byte // of the last change
	over bool
	at   time.Time // of the change, by the service's clock

	tidy uint64 // seq when the owner tidied up last
}

// said is one change that was made not long ago.
type said struct {
	fingerprint string
	n           int64
	data        []byte
	at          time.Time
}
