package server

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// enrolment joins the gateway's applicants to the registry.
type enrolment struct{ registry *fleet.Registry }

// Enrol implements ingest.Enrolment.
func (e enrolment) Enrol(ctx context.Context, token string, r sign.Request, info *sentinelpb.AgentInfo) (sentinel.AgentID, error) {
	return e.registry.Enrol(ctx, fleet.Application{Token: token, Request: r, Hostname: info.GetHostname(), Info: agentInfo(info)})
}

func agentInfo(in *sentinelpb.AgentInfo) postgres.AgentInfo {
	return postgres.AgentInfo{Version: in.GetVersion(), OS: in.GetOs(), Arch: in.GetArch(), Platform: in.GetPlatform()}
}
