package agent

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/uplink"
)

// Enrol buys this agent's identity with the token of server.enrolment_token_file and
// keeps it. An agent that has one already keeps it, and nothing is asked. The error
// is Unauthenticated where the service refuses the token, Unavailable where it does
// not answer: asked again it is the same request.
func Enrol(ctx context.Context, c Section, version string) (id sentinel.AgentID, before bool, err error) {
	store, err := c.store()
	if err != nil {
		return "", false, err
	}
	cred, err := store.Load()
	if err == nil {
		return cred.Agent, true, nil
	}
	if sentinel.CodeOf(err) != sentinel.NotFound {
		return "", false, err
	}
	cred, err = uplink.Enrol(ctx, c.Server, store, hostInfo(version))
	return cred.Agent, false, err
}
