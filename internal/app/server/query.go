package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
)

// prometheus is the interface that speaks Prometheus' words, for who may read.
func prometheus(engine *query.Engine, db *postgres.DB, rules query.Rules, version string, deps api.Deps, log *slog.Logger) http.Handler {
	h := query.HTTP{Engine: engine, Metadata: db, Rules: rules, Version: version, Log: log}
	return api.Guard(deps, postgres.Viewer, h.Handler(), query.Refuse)
}

// selecting lets the REST interface find series as PromQL does.
func selecting(engine *query.Engine) func(context.Context, string, int) ([]api.Selected, error) {
	return func(ctx context.Context, selector string, limit int) ([]api.Selected, error) {
		series, labels, err := engine.Select(ctx, selector, limit)
		if err != nil {
			return nil, err
		}
		out := make([]api.Selected, len(series))
		for i, s := range series {
			out[i] = api.Selected{Series: s, Labels: labels[i]}
		}
		return out, nil
	}
}
