package fleet

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Change changes an agent's labels or forbids it to speak. The error is Invalid for
// labels that series could not have, NotFound for an agent that is gone.
func (r *Registry) Change(ctx context.Context, by postgres.Entry, a postgres.Agent, ch postgres.AgentChange) (postgres.Agent, error) {
	if ch.Labels != nil {
		if err := checkLabels(a.Hostname, *ch.Labels); err != nil {
			return a, err
		}
	}
	return r.db.ChangeAgent(ctx, by, a.ID, ch)
}
