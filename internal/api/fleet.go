package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// FleetHost is what the fleet's page shows of one host.
type FleetHost struct {
	ID       string            `json:"id" doc:"The agent's identity"`
	Hostname string            `json:"hostname"`
	Labels   map[string]string `json:"labels"`
	Version  string            `json:"version"`
	OS       string            `json:"os"`
	LastSeen *time.Time        `json:"last_seen,omitempty" doc:"Of its last heartbeat; missing where there was none"`
	State    string            `json:"state" enum:"up,silent,never seen,disabled"`
	At       *time.Time        `json:"at,omitempty" doc:"Of the values; missing where there are none of the last ten minutes"`
	CPU      *float64          `json:"cpu,omitempty" doc:"Percent in use, as are memory and disk"`
	Memory   *float64          `json:"memory,omitempty"`
	Disk     *float64          `json:"disk,omitempty" doc:"Of the fullest file system"`
	Load1    *float64          `json:"load1,omitempty"`
	Uptime   *float64          `json:"uptime,omitempty" doc:"Seconds"`
	Spark    []*float64        `json:"spark,omitempty" doc:"CPU in use at the end of each step, null where the host said nothing; missing where it never did"`
}

// Fleet is every host at a glance.
type Fleet struct {
	Time  time.Time      `json:"time" doc:"The end of the last step of spark"`
	Step  float64        `json:"step" doc:"Of spark, in seconds"`
	Count map[string]int `json:"count" doc:"How many of them are in each state"`
	Hosts []FleetHost    `json:"hosts"`
	Cut   bool           `json:"cut,omitempty" doc:"There are more hosts than this"`
}

// FleetQuery selects hosts; zero fields select everything.
type FleetQuery = AgentQuery

const (
	fleetLookback = 10 * time.Minute
	sparkStep     = 5 * time.Minute
	sparkSteps    = 12
	maxFleet      = 5000
)

// fleetMetrics are the values of a host on the fleet's page.
func fleetMetrics() []string {
	return []string{"sentinel_host_cpu_used_percent", "sentinel_host_memory_used_percent", "sentinel_host_disk_used_percent", "node_load1", "sentinel_host_uptime_seconds"}
}

func (r resources) fleet() {
	type input struct {
		Search string   `query:"search" maxLength:"255" doc:"Part of the id or the hostname"`
		Labels []string `query:"label,explode" maxItems:"32" doc:"name=value or name!=value; may stand there several times"`
		State  string   `query:"state" enum:"up,silent,never seen,disabled"`
	}
	type output struct{ Body Fleet }
	view := NewFleetView(r.deps.DB)
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/fleet", "get-fleet", "Show every host at a glance"),
		func(ctx context.Context, in *input) (*output, error) {
			f := postgres.AgentFilter{Search: in.Search, State: postgres.AgentState(in.State), Limit: 1000}
			if err := labelFilter(&f, in.Labels); err != nil {
				return nil, r.fail(ctx, err)
			}
			out, err := view.Read(ctx, f, time.Now())
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &output{out}, nil
		})
}

// FleetView gathers what the fleet's page shows. It is safe for concurrent use.
type FleetView struct {
	db     *postgres.DB
	series hostSeries
	sparks sparks
}

// NewFleetView returns a view of a database.
func NewFleetView(db *postgres.DB) *FleetView {
	return &FleetView{db: db, series: hostSeries{known: make(map[int64]knownSeries)}, sparks: sparks{lines: make(map[int64]sparkLine)}}
}

// Read returns the hosts that a filter selects, at a time.
func (v *FleetView) Read(ctx context.Context, f postgres.AgentFilter, now time.Time) (Fleet, error) {
	out := Fleet{Time: now.Truncate(sparkStep).UTC(), Step: sparkStep.Seconds(), Count: map[string]int{}, Hosts: []FleetHost{}}
	at := make(map[int64]int)
	for {
		page, err := v.db.Agents(ctx, f)
		if err != nil {
			return out, err
		}
		for _, a := range page {
			f.After = a.ID
			at[a.ID] = len(out.Hosts)
			h := FleetHost{ID: string(a.Name), Hostname: a.Hostname, Labels: labelMap(a.Labels), Version: a.Info.Version, OS: a.Info.OS, State: string(a.State(now))}
			if !a.LastSeenAt.IsZero() {
				seen := a.LastSeenAt.UTC()
				h.LastSeen = &seen
			}
			out.Count[h.State]++
			out.Hosts = append(out.Hosts, h)
		}
		if len(page) < f.Limit {
			break
		}
		if len(out.Hosts) >= maxFleet {
			out.Cut = true
			break
		}
	}
	return out, v.values(ctx, &out, at, now)
}

// values fills in what the hosts measure.
func (v *FleetView) values(ctx context.Context, out *Fleet, at map[int64]int, now time.Time) error {
	series, err := v.series.of(ctx, v.db, out.Hosts, at, now)
	if err != nil {
		return err
	}
	var cpu []postgres.FoundSeries
	for _, s := range series {
		if s.Name == fleetMetrics()[0] {
			cpu = append(cpu, s)
		}
	}
	values, err := v.db.ReadLast(ctx, series, now.Add(-fleetLookback), now.Add(time.Minute))
	if err != nil {
		return err
	}
	for i, s := range series {
		h := &out.Hosts[at[s.Agent.ID]]
		if values[i].Time.IsZero() {
			continue
		}
		value := values[i].Value
		for j, field := range []**float64{&h.CPU, &h.Memory, &h.Disk, &h.Load1, &h.Uptime} {
			if fleetMetrics()[j] == s.Name {
				*field = &value
			}
		}
		if h.At == nil || h.At.Before(values[i].Time) {
			t := values[i].Time
			h.At = &t
		}
	}
	lines, err := v.sparks.until(ctx, v.db, cpu, out.Time, now)
	for i, s := range cpu {
		if lines != nil && lines[i] != nil {
			out.Hosts[at[s.Agent.ID]].Spark = lines[i]
		}
	}
	return err
}

// Fleet returns every host at a glance.
func (c *Client) Fleet(ctx context.Context, fq FleetQuery) (Fleet, error) {
	var f Fleet
	q := url.Values{"label": fq.Labels}
	for key, v := range map[string]string{"search": fq.Search, "state": fq.State} {
		if v != "" {
			q.Set(key, v)
		}
	}
	err := c.call(ctx, http.MethodGet, "/fleet", q, nil, &f)
	return f, err
}
