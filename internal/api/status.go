package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Status is the state of the server that answers and of what it works with.
type Status struct {
	Version       string         `json:"version" doc:"Of the server that answers"`
	UptimeSeconds float64        `json:"uptime_seconds"`
	Time          time.Time      `json:"time" doc:"By the database's clock"`
	Database      DatabaseStatus `json:"database"`
	Broker        *BrokerStatus  `json:"broker,omitempty" doc:"Missing where the broker does not answer"`
	Agents        map[string]int `json:"agents" doc:"How many are in each state"`
	Records       Totals         `json:"records" doc:"What the books of all agents add up to"`
	DeadLetters   int64          `json:"dead_letters"`
	Orphans       int64          `json:"orphans" doc:"Of the dead letters, those of no agent"`
	Sessions      int64          `json:"sessions" doc:"Of people who are signed in"`
}

// DatabaseStatus is the state of the database.
type DatabaseStatus struct {
	Engine  string `json:"engine" enum:"native,timescale"`
	Version string `json:"version" doc:"Of PostgreSQL"`
	Schema  int64  `json:"schema" doc:"The newest migration"`
	Bytes   int64  `json:"bytes"`
}

// BrokerStatus is the state of the stream between gateways and workers.
type BrokerStatus struct {
	Messages  uint64           `json:"messages"`
	Bytes     uint64           `json:"bytes"`
	MaxBytes  uint64           `json:"max_bytes"`
	Consumers []ConsumerStatus `json:"consumers"`
}

// ConsumerStatus is how far one of those who read the stream is behind.
type ConsumerStatus struct {
	Name       string  `json:"name"`
	Pending    uint64  `json:"pending" doc:"Messages that it is not done with"`
	LagSeconds float64 `json:"lag_seconds" doc:"Age of the oldest of them"`
}

// Totals are the sums over all books.
type Totals struct {
	Appended    uint64 `json:"appended"`
	Stored      uint64 `json:"stored"`
	Quarantined uint64 `json:"quarantined"`
	Lost        uint64 `json:"lost" doc:"Rejected ones included"`
	InFlight    uint64 `json:"in_flight"`
	Samples     uint64 `json:"samples"`
}

func (r resources) status() {
	type output struct{ Body Status }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/status", "get-status", "Show the state of the service and its pipeline"),
		func(ctx context.Context, _ *struct{}) (*output, error) {
			row, err := r.deps.DB.Status(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			b := row.Book
			s := Status{Version: r.deps.Version, UptimeSeconds: time.Since(r.deps.Started).Seconds(), Time: row.Now,
				Database: DatabaseStatus{Engine: row.Engine, Version: row.Version, Schema: row.Schema, Bytes: row.Bytes},
				Agents:   map[string]int{}, DeadLetters: row.Letters, Orphans: row.Orphans, Sessions: row.Sessions,
				Records: Totals{b.Appended, b.StoredCycles + b.StoredReports, b.Quarantined, row.Lost, b.InFlight, b.StoredSamples}}
			for state, n := range row.Agents {
				s.Agents[string(state)] = n
			}
			stats, err := r.deps.Broker.Stats(ctx)
			if err != nil {
				r.deps.Log.Warn("the broker does not tell its state", "request", requestID(ctx), "error", err)
				return &output{s}, nil
			}
			s.Broker = &BrokerStatus{Messages: stats.Messages, Bytes: stats.Bytes, MaxBytes: stats.MaxBytes, Consumers: []ConsumerStatus{}}
			for _, c := range stats.Consumers {
				s.Broker.Consumers = append(s.Broker.Consumers, ConsumerStatus{c.Name, c.Pending, c.Lag.Seconds()})
			}
			return &output{s}, nil
		})
}

// Status returns the state of the service.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/status", nil, nil, &s)
	return s, err
}

// Probe is what can be known of a server before it is asked for anything.
type Probe struct {
	Time        time.Time // by its clock, true to the second
	CertExpires time.Time
}

// Probe connects and looks at what the server shows of itself.
func (c *Client) Probe(ctx context.Context) (Probe, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base+"/openapi.json", nil)
	if err != nil {
		return Probe{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Probe{}, c.unreachable(ctx, err)
	}
	resp.Body.Close()
	var p Probe
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		p.Time = t
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		p.CertExpires = resp.TLS.PeerCertificates[0].NotAfter
	}
	return p, nil
}
