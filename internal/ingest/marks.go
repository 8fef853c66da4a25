package ingest

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// takeMarks passes on what a worker's commit settled to the agents that are
// connected here.
func (g *Gateway) takeMarks(data []byte) {
	var m sentinelpb.AgentMarks
	if err := proto.Unmarshal(data, &m); err != nil {
		g.deps.Log.Warn("marks could not be read", "error", err)
		return
	}
	for _, am := range m.GetMarks() {
		g.mu.Lock()
		s := g.sessions[sentinel.AgentID(am.GetAgentId())]
		g.mu.Unlock()
		if s != nil && am.GetMark() != nil {
			s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Mark{Mark: am.GetMark()}})
		}
	}
}

// report queues a report; a newer one of the same agent takes its place.
func (g *Gateway) report(r Report) {
	g.mu.Lock()
	g.reports[r.Agent] = r
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// writeReports stores waiting reports, one second's worth at a time, and sends
// the marks that come back. So a mark that was lost on its way is repeated with
// every heartbeat.
func (g *Gateway) writeReports(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		}
		g.mu.Lock()
		reports := slices.Collect(maps.Values(g.reports))
		clear(g.reports)
		g.mu.Unlock()

		wctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		marks, err := g.deps.Presence.Report(wctx, reports)
		cancel()
		if err != nil && ctx.Err() == nil {
			g.metrics.reportErrors.Inc()
			g.deps.Log.Warn("heartbeats could not be stored", "error", err)
		}
		for agent, list := range marks {
			g.mu.Lock()
			s := g.sessions[agent]
			g.mu.Unlock()
			for _, m := range list {
				if s != nil {
					s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Mark{Mark: protoMark(m, false)}})
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func protoMark(m sentinel.Mark, forked bool) *sentinelpb.Mark {
	p := &sentinelpb.Mark{Epoch: uint64(m.Epoch), Forked: forked}
	for _, r := range m.Settled[:min(len(m.Settled), maxMarkedRanges)] {
		p.Settled = append(p.Settled, &sentinelpb.SeqRange{First: r.First, Last: r.Last})
	}
	return p
}

func positions(list []*sentinelpb.Position) []sentinel.Position {
	var out []sentinel.Position
	for _, p := range list {
		if p.GetEpoch() > 0 && p.GetEpoch() < 1<<63 && p.GetAppended() <= maxSeq {
			out = append(out, sentinel.Position{Epoch: sentinel.Epoch(p.GetEpoch()), Appended: p.GetAppended()})
		}
	}
	return out
}

// boundedInfo cuts what an agent says of itself down to what is worth keeping.
func boundedInfo(in *sentinelpb.AgentInfo) *sentinelpb.AgentInfo {
	cut := func(s string) string {
		if len(s) > 128 {
			s = s[:128]
		}
		clean := make([]rune, 0, len(s))
		for _, r := range s {
			if r >= ' ' && r != utf8.RuneError {
				clean = append(clean, r)
			}
		}
		return string(clean)
	}
	return &sentinelpb.AgentInfo{
		Hostname: cut(in.GetHostname()), Version: cut(in.GetVersion()), Os: cut(in.GetOs()),
		Arch: cut(in.GetArch()), Platform: cut(in.GetPlatform()),
	}
}

func (r Report) hostname() string { return r.Info.GetHostname() }
